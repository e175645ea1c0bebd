import { randomBytes } from 'node:crypto';
import { onTestFinished } from 'vitest';
import { tombstonesLast } from '../../../src/conflicts/sending.js';
import type { HttpPeerOptions } from '../../../src/replication/http/options.js';
import { HttpPeer } from '../../../src/replication/http/peer.js';
import { newAgent } from '../../../src/replication/http/agent.js';
import { UnsentSource } from '../../../src/replication/local/unsent.js';
import type { ReplicationOptions } from '../../../src/replication/options.js';
import type { Source, Target } from '../../../src/replication/peer.js';
import type { Counters } from '../../../src/replication/progress.js';
import type { Refusal } from '../../../src/replication/replication.js';
import { startReplication } from '../../../src/replication/run.js';
import type { Database } from '../../../src/store/types/database.js';
import { HASTY, localPeer, localPeerOptions } from '../../support/peers.js';
import { newFolder, openDatabases } from '../../support/store.js';

/** A server that is somebody's upstream. */
export interface Upstream {
  /** Without a path. */
  readonly origin: string;
  readonly headers: Readonly<Record<string, string>>;
}

/** What one run did, without what earlier ones did. */
export interface Flow {
  readonly asked: number;
  readonly written: number;
  readonly refused: readonly Refusal[];
}

export type Flows = Awaited<ReturnType<typeof newFlows>>;

const NOTHING: Pick<Counters, 'missingChecked' | 'docsWritten'> = { missingChecked: 0, docsWritten: 0 };

/** A database here that is tracked, and a new one upstream, with what flows between them. */
export async function newFlows({ origin, headers }: Upstream) {
  const name = `flow-${randomBytes(6).toString('hex')}`;
  const dispatcher = newAgent();
  const at: HttpPeerOptions = { url: `${origin}/${name}/`, headers, dispatcher };
  const remote = new HttpPeer(at);
  const databases = await openDatabases(await newFolder());
  const signal = new AbortController().signal;
  onTestFinished(async () => {
    await fetch(at.url, { method: 'DELETE', headers });
    await dispatcher.destroy();
  });
  await fetch(`${at.url}?q=1`, { method: 'PUT', headers });
  await databases.create(name);
  await databases.use(name, (db) => db.trackUnsent(true));
  const options = localPeerOptions(databases, name);
  const local = localPeer(databases, name, { origin: 'upstream' });

  async function run(source: Source, target: Target, more: ReplicationOptions): Promise<Flow> {
    const refused: Refusal[] = [];
    let before = NOTHING;
    const replication = startReplication({
      id: target === local ? 'pull' : 'push',
      source,
      target,
      options: more,
      order: tombstonesLast,
      tuning: HASTY,
      listener: {
        onBegin: () => (before = replication.progress),
        onRefused: (refusal) => void refused.push(refusal),
      },
    });
    await replication.done;
    const { missingChecked, docsWritten } = replication.progress;
    return {
      asked: missingChecked - before.missingChecked,
      written: docsWritten - before.docsWritten,
      refused,
    };
  }

  return {
    name,
    remote,
    /** The same for another account. */
    as: (other: Upstream['headers']): HttpPeer => new HttpPeer({ ...at, headers: other }),
    signal,
    access: options.access,
    use: <T>(work: (db: Database) => Promise<T>): Promise<T> => databases.use(name, work),
    pull: (source: Source = remote, more: ReplicationOptions = {}): Promise<Flow> => run(source, local, more),
    /** Brings what is not sent, and notes that it is. */
    async push(target: Target = remote): Promise<Flow> {
      const source = new UnsentSource(options);
      const flow = await run(source, target, {});
      await databases.use(name, (db) => db.unsent.sentThrough(db.updateSeq));
      return flow;
    },
    /** Asks the upstream database. */
    async ask(method: string, path: string, json?: unknown): Promise<unknown> {
      const body = json === undefined ? null : JSON.stringify(json);
      const type = { 'content-type': 'application/json' };
      const answer = await fetch(at.url + path, { method, headers: { ...headers, ...type }, body });
      return answer.json();
    },
  };
}

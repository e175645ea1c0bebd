import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { Peer } from '../../src/replication/peer.js';
import { startReplication } from '../../src/replication/run.js';
import type { Databases } from '../../src/store/databases.js';
import { startApp, type TestApp } from '../http/app.js';
import { HASTY, httpPeer, localPeer } from '../support/peers.js';
import '../support/seed.js';
import { attachmentsMember, following, revision } from './acceptance.js';
import { expectNoneAhead, expectSame } from './replicas.js';

const never = new AbortController().signal;
const CANCELLED = new Error('cancelled');

let app: TestApp;
let databases: Databases;
beforeAll(async () => {
  app = await startApp();
  ({ databases } = app);
});
afterAll(() => app.stop());

/** One revision that is added to the source. */
interface Step {
  readonly id: number;
  /** Which of the document's revisions it goes on from; none where it is too high. */
  readonly parent: number;
  readonly deleted: boolean;
  /** Bytes of what is attached. */
  readonly attached: readonly number[];
  readonly length: number;
}

const step = fc.record<Step>({
  id: fc.nat(7),
  parent: fc.nat(4),
  deleted: fc.boolean(),
  attached: fc.oneof(
    { weight: 3, arbitrary: fc.constant([]) },
    { weight: 1, arbitrary: fc.array(fc.nat(70_000), { maxLength: 3 }) },
  ),
  length: fc.nat(300),
});

/** What happens to a replication: it is cancelled after so many signs of progress, and the source gets more revisions. */
const rounds = fc.array(fc.record({ steps: fc.array(step, { maxLength: 25 }), cancelAfter: fc.nat(12) }), {
  minLength: 1,
  maxLength: 4,
});

/** The source, and what is known of its trees. */
class Writer {
  readonly #paths = new Map<string, string[][]>();
  #count = 0;

  constructor(private readonly peer: Peer) {}

  async add({ id: number, parent, deleted, attached, length }: Step): Promise<void> {
    const id = `doc ${number}`;
    const paths = this.#paths.get(id) ?? [];
    const hash = createHash('md5').update(`${id} ${++this.#count}`).digest('hex');
    const path = [hash, ...(paths[parent] ?? [])];
    this.#paths.set(id, [...paths, path]);
    const attachments = attached.map((size, at) => following(`a${at}`, Buffer.alloc(size, `${hash}${at}`)));
    const members = [
      ...(deleted ? ['"_deleted":true'] : []),
      `"text":"${'ä'.repeat(length)}"`,
      ...(attachments.length > 0 ? [attachmentsMember(attachments, {}, path.length)] : []),
    ];
    const document = revision(id, path, members.join(','));
    if (attachments.length === 0) expect(await this.peer.write([document], never)).toEqual([]);
    else await this.peer.writeWithAttachments({ ...document, attachments }, never);
  }
}

let count = 0;
const local = (): Peer => localPeer(databases, `db${++count}`);
const remote = (): Peer =>
  httpPeer(`http://127.0.0.1:${app.port}/db${++count}/`, { headers: { 'x-test-user': 'admin' } });

it.each([
  ['a database here to another', local, local],
  ['a database here to a server', local, remote],
  ['a server to a database here', remote, local],
])('brings everything from %s, however often it is interrupted', async (_name, newSource, newTarget) => {
  await fc.assert(
    fc.asyncProperty(rounds, async (script) => {
      const [source, target] = [newSource(), newTarget()];
      await source.create({}, never);
      const writer = new Writer(source);
      const replicate = (onProgress: () => void) =>
        startReplication({
          id: 'property',
          source,
          target,
          options: { createTarget: true },
          tuning: { ...HASTY, batchSize: 3, batchBytes: 300, workers: 3, checkpointInterval: 1 },
          listener: { onProgress },
        });
      for (const { steps, cancelAfter } of script) {
        for (const one of steps) await writer.add(one);
        let left = cancelAfter;
        const running = replicate(() => {
          if (left-- === 0) void running.cancel(CANCELLED);
        });
        await running.done.catch((error: unknown) => expect(error).toBe(CANCELLED));
        await expectNoneAhead(source, target, 'property').catch((error: unknown) => {
          // Cancelled before the target was made.
          if ((error as { status?: number }).status !== 404) throw error;
        });
      }
      await replicate(() => undefined).done;
      await expectSame(source, target);
      await expectNoneAhead(source, target, 'property');
      expect(await replicate(() => undefined).done).toMatchObject({ noChanges: true });
    }),
    { numRuns: 8 },
  );
});

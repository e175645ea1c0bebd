import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { historyOf } from '../../src/replication/checkpoint-log.js';
import type { LocalLog } from '../../src/replication/peer.js';
import { type Fault, type FaultyProxy, startFaultyProxy } from '../support/faulty-proxy.js';
import type { Changes } from './support/couch.js';
import { rowsOf } from './support/replication-checks.js';
import { Restartable } from './support/restartable.js';
import { until } from './support/wait.js';

const JUDGE = { validate_doc_update: 'function (doc) { if (doc.bad) throw { forbidden: "no bad ones" }; }' };
const GOOD = 20;

/** Has both databases. */
let sides: Restartable;
/** Replicates between them. */
let replicator: Restartable;
let line: FaultyProxy;
beforeAll(async () => {
  [sides, replicator] = await Promise.all([Restartable.start(), Restartable.start()]);
  line = await startFaultyProxy(sides.port);
});
afterAll(async () => {
  await line.close();
  await Promise.all([sides.remove(), replicator.remove()]);
});

let count = 0;

/** A source with a document that its target refuses, and others around it. */
async function filled(): Promise<{ readonly source: string; readonly target: string; readonly bad: string }> {
  count++;
  const [source, target] = [`source${String(count)}`, `target${String(count)}`];
  const { couch } = sides;
  for (const name of [source, target]) await couch.put(`/${name}`);
  await couch.put(`/${target}/_design/judge`, JUDGE);
  const good = Array.from({ length: GOOD }, (_, n) => ({ _id: `good${String(n)}`, n }));
  await couch.post(`/${source}/_bulk_docs`, { docs: good.slice(0, GOOD / 2) });
  const { rev: bad } = (await couch.put(`/${source}/bad`, { bad: true })) as { rev: string };
  await couch.post(`/${source}/_bulk_docs`, { docs: good.slice(GOOD / 2) });
  return { source, target, bad };
}

const replicate = (source: string, target: string): Promise<unknown> => {
  const side = (url: string): object => ({ url, auth: { basic: sides.auth } });
  const at = (name: string): object => side(`http://127.0.0.1:${String(line.port)}/${name}`);
  // The only checkpoint is the one at the end.
  const rare = { checkpoint_interval: 3_600_000 };
  return replicator.couch.post('/_replicate', { source: at(source), target: at(target), ...rare });
};

/** Lets one request have a fault. @returns when it is there */
const fault = (method: string, path: string, how: Fault): Promise<void> =>
  new Promise((resolve) => {
    line.faults = (asked, url) => {
      if (asked !== method || !url.startsWith(path)) return undefined;
      line.faults = () => undefined;
      resolve();
      return how;
    };
  });

/** What the replicator has on the list of a replication. */
async function rejectionsOf(source: string): Promise<readonly unknown[]> {
  const { couch } = replicator;
  const { replications } = (await couch.get('/_gateway/replications?limit=1000')) as {
    readonly replications: readonly { readonly id: string; readonly source: string }[];
  };
  const lists = replications.filter((one) => one.source.includes(`/${source}/`));
  const pages = lists.map(({ id }) => couch.get(`/_gateway/replications/${id}/rejections`));
  return ((await Promise.all(pages)) as { readonly rejections: readonly unknown[] }[]).flatMap(
    ({ rejections }) => rejections,
  );
}

/** Up to where the checkpoints of a side say that everything was dealt with. */
async function checkpointsOf(database: string): Promise<readonly unknown[]> {
  const { rows } = (await sides.couch.get(`/${database}/_local_docs?include_docs=true`)) as {
    readonly rows: readonly { readonly doc: LocalLog }[];
  };
  return rows.flatMap(({ doc }) => historyOf(doc).map((entry) => entry.recorded_seq));
}

const idsOf = async (database: string): Promise<readonly string[]> =>
  (await rowsOf(sides.couch, database)).map(({ id }) => id).sort();

/** The request that is under way when the replicator is killed, and what there is then. */
interface Moment {
  readonly when: string;
  readonly method: string;
  readonly side: 'source' | 'target';
  readonly path: string;
  /** Whether the side does what it is asked for; the replicator does not hear of it. */
  readonly isDone: boolean;
  readonly isListed: boolean;
  readonly sourceHasCheckpoint: boolean;
  readonly targetHasCheckpoint: boolean;
}

const MOMENTS: readonly Moment[] = [
  {
    when: 'before it hears of the refusal',
    ...{ method: 'POST', side: 'target', path: '_bulk_docs', isDone: true },
    ...{ isListed: false, sourceHasCheckpoint: false, targetHasCheckpoint: false },
  },
  {
    when: 'before the checkpoint is begun',
    ...{ method: 'POST', side: 'source', path: '_ensure_full_commit', isDone: false },
    ...{ isListed: true, sourceHasCheckpoint: false, targetHasCheckpoint: false },
  },
  {
    when: 'before the source has it',
    ...{ method: 'PUT', side: 'source', path: '_local/', isDone: false },
    ...{ isListed: true, sourceHasCheckpoint: false, targetHasCheckpoint: false },
  },
  {
    when: 'before the target has it, too',
    ...{ method: 'PUT', side: 'target', path: '_local/', isDone: false },
    ...{ isListed: true, sourceHasCheckpoint: true, targetHasCheckpoint: false },
  },
  {
    when: 'before it hears that the target has it',
    ...{ method: 'PUT', side: 'target', path: '_local/', isDone: true },
    ...{ isListed: true, sourceHasCheckpoint: true, targetHasCheckpoint: true },
  },
];

describe('a refused document is listed once, and no checkpoint is ahead of the list', () => {
  it.each(MOMENTS)('where the replicator is killed $when', async (moment) => {
    const { source, target, bad } = await filled();
    const before = await idsOf(source);
    const end = ((await sides.couch.get(`/${source}/_changes`)) as Changes).last_seq;
    const listed = (attempts: number): readonly object[] => {
      const rejection = { id: 'bad', rev: bad, status: 403, reason: 'no bad ones', attempts };
      return attempts === 0 ? [] : [rejection];
    };
    const requireMoment = async (): Promise<void> => {
      expect(await rejectionsOf(source)).toMatchObject(listed(Number(moment.isListed)));
      expect(await checkpointsOf(source)).toEqual(moment.sourceHasCheckpoint ? [end] : []);
      expect(await checkpointsOf(target)).toEqual(moment.targetHasCheckpoint ? [end] : []);
    };

    const how: Fault = moment.isDone ? { kind: 'stall', after: 0 } : { kind: 'silence' };
    const side = { source, target }[moment.side];
    const reached = fault(moment.method, `/${side}/${moment.path}`, how);
    const killed = expect(replicate(source, target)).rejects.toThrow();
    await reached;
    if (moment.isDone)
      await until('it is done', async () =>
        moment.targetHasCheckpoint
          ? (await checkpointsOf(target)).length > 0
          : (await idsOf(target)).length > GOOD,
      );
    await requireMoment();
    await replicator.restart('SIGKILL');
    await killed;
    await requireMoment();

    const { targetHasCheckpoint: isPassed } = moment;
    expect(await replicate(source, target)).toMatchObject(isPassed ? { no_changes: true } : { ok: true });
    expect(await rejectionsOf(source)).toMatchObject(listed(Number(moment.isListed) + Number(!isPassed)));
    expect(await checkpointsOf(target)).toEqual([end]);
    const taken = before.filter((id) => id !== 'bad');
    expect(await idsOf(target)).toEqual(['_design/judge', ...taken]);
    expect(await replicate(source, target)).toMatchObject({ no_changes: true });
  });
});

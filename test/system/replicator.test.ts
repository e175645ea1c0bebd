import { expect, it } from 'vitest';
import { Restartable } from './support/restartable.js';
import { until } from './support/wait.js';

const DOCUMENTS = 1500;
/** Small steps, so that there is a middle to be killed in. */
const STEPS = { worker_processes: 1, worker_batch_size: 20, checkpoint_interval: 50 };

interface Log {
  readonly rows: readonly {
    readonly doc?: { readonly history?: readonly { start_last_seq: string | number }[] };
  }[];
}

it('goes on where it was after a kill in the middle, and with what is continuous', async () => {
  const [source, gateway] = await Promise.all([Restartable.start(), Restartable.start()]);
  const { couch } = gateway;
  const { username, password } = source.auth;
  const from = source.url.replace('://', `://${username}:${password}@`);
  const here = gateway.url.replace('://', `://${gateway.auth.username}:${gateway.auth.password}@`);
  const countOf = async (database: string): Promise<number> =>
    ((await couch.get(`/${database}`)) as { doc_count: number }).doc_count;
  const stateOf = async (id: string): Promise<unknown> =>
    ((await couch.get(`/_scheduler/docs/_replicator/${id}`)) as { state?: string }).state;
  try {
    await source.couch.put('/db');
    const docs = Array.from({ length: DOCUMENTS }, (_, n) => ({ _id: `doc${String(n)}`, n }));
    await source.couch.post('/db/_bulk_docs', { docs });
    await couch.put('/once');
    await couch.put('/always');
    await couch.put('/_replicator/once', { source: `${from}/db`, target: `${here}/once`, ...STEPS });
    await couch.put('/_replicator/always', {
      source: `${from}/db`,
      target: `${here}/always`,
      continuous: true,
    });

    await until('a part is there', async () => (await countOf('once')) > DOCUMENTS / 4);
    await gateway.restart('SIGKILL');
    expect(await countOf('once')).toBeLessThan(DOCUMENTS);

    await until('it is completed', async () => (await stateOf('once')) === 'completed');
    expect(await countOf('once')).toBe(DOCUMENTS);
    const document = (await couch.get('/_replicator/once')) as {
      _replication_stats: { docs_written: number };
    };
    expect(document._replication_stats.docs_written).toBeLessThanOrEqual(DOCUMENTS);
    const { rows } = (await couch.get('/once/_local_docs?include_docs=true')) as Log;
    const starts = rows.flatMap(({ doc }) => doc?.history ?? []).map((entry) => entry.start_last_seq);
    expect(starts).toContain(0);
    expect(
      starts.some((seq) => seq !== 0 && seq !== '0'),
      JSON.stringify(starts),
    ).toBe(true);

    await until('all is copied', async () => (await countOf('always')) === DOCUMENTS);
    await source.couch.put('/db/later', {});
    await until('what came later is copied, too', async () => (await countOf('always')) === DOCUMENTS + 1);
    expect(await stateOf('always')).toBe('running');
    await gateway.restart('SIGTERM');
    await source.couch.put('/db/last', {});
    await until('it goes on after a stop', async () => (await countOf('always')) === DOCUMENTS + 2);
    // What is completed is not done again.
    expect(await countOf('once')).toBe(DOCUMENTS);
  } finally {
    await Promise.all([source.remove(), gateway.remove()]);
  }
}, 120_000);

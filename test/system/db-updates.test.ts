import { expect, it } from 'vitest';
import { Restartable } from './support/restartable.js';
import { until } from './support/wait.js';

const ROUNDS = 3;
const DATABASES = 12;

interface Updates {
  readonly results: readonly { readonly db_name: string; readonly type: string }[];
  readonly last_seq: string;
}

it(`tells of every database that changed before each of ${String(ROUNDS)} kills`, async () => {
  const gateway = await Restartable.start();
  const { couch } = gateway;
  const updates = async (since: string): Promise<Updates> =>
    (await couch.get(`/_db_updates?since=${since}`)) as Updates;
  const names = Array.from({ length: DATABASES }, (_, n) => `db${String(n)}`);
  const writeAll = (round: string): Promise<unknown> =>
    Promise.all(names.map((name) => couch.put(`/${name}/${round}`, {})));
  try {
    for (const name of names) await couch.put(`/${name}`);
    await couch.put('/_global_changes');
    for (let round = 0; round < ROUNDS; round += 1) {
      await couch.put(`/made${String(round)}`);
      if (round > 0) await couch.delete(`/made${String(round - 1)}`);
      // Those are told of; the next ones come within the half second in which nothing is.
      await writeAll(`first${String(round)}`);
      const { last_seq: since } = await until('all are told of', async () => {
        const told = await updates('0');
        return told.results.filter(({ type }) => type === 'updated').length >= DATABASES && told;
      });
      await writeAll(`second${String(round)}`);
      await gateway.restart('SIGKILL');
      const { results } = await updates(since);
      const updated = results.filter(({ type }) => type === 'updated').map(({ db_name }) => db_name);
      expect(new Set(updated), `round ${String(round)}`).toEqual(new Set([...names, `made${String(round)}`]));
    }
    const kinds = (await updates('0')).results.filter(({ type }) => type !== 'updated');
    expect(kinds.map(({ type, db_name }) => `${type} ${db_name}`)).toEqual([
      'created made0',
      'created made1',
      'deleted made0',
      'created made2',
      'deleted made1',
    ]);
    // A stop is no crash: nothing is told twice.
    const { last_seq: end } = await updates('0');
    await gateway.restart('SIGTERM');
    expect((await updates(end)).results).toEqual([]);
  } finally {
    await gateway.remove();
  }
});

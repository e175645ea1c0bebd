import { afterAll, beforeAll, expect, test } from 'vitest';
import { startApp, type TestApp } from '../../http/app.js';
import { clash, nodeOf } from './support.js';

// The requests that Fauxton's conflict browser makes, as they were seen on their way.

let app: TestApp;
beforeAll(async () => {
  app = await startApp();
  await app.request('PUT', '/db');
});
afterAll(() => app.stop());

interface Shown {
  readonly _rev: string;
  readonly _deleted?: true;
  readonly _conflicts?: readonly string[];
  readonly [member: string]: unknown;
}

const get = async <T>(path: string): Promise<T> =>
  (await app.request('GET', `/db/${path}`, { headers: { accept: 'application/json' } })).body as T;

/** Its first page: the winner, and the other leaves that it may be compared with. */
async function opened(id: string): Promise<{ winner: Shown; others: readonly string[] }> {
  const winner = await get<Shown>(id);
  const leaves = await get<readonly { readonly ok: Shown }[]>(`${id}?revs=true&open_revs=all`);
  const living = leaves.flatMap(({ ok }) => (ok._deleted === true ? [] : [ok._rev]));
  const { _conflicts: conflicts = [] } = await get<Shown>(`${id}?conflicts=true`);
  expect([winner._rev, ...conflicts].sort()).toEqual(living.toSorted());
  return { winner, others: conflicts };
}

/** One leaf wins by the deletion of all others. */
async function select(id: string, losers: readonly string[]): Promise<void> {
  const docs = losers.map((_rev) => ({ _id: id, _rev, _deleted: true }));
  const { status, body } = await app.request('POST', '/db/_bulk_docs', { json: { docs } });
  expect(status).toBe(201);
  expect(body).toEqual(losers.map(() => expect.objectContaining({ ok: true, id }) as unknown));
  const { body: list } = await app.request('GET', '/_gateway/databases/db/conflicts');
  expect(list).toMatchObject({ total: 0 });
}

test('Fauxton shows the leaves of a conflict, and has any of them win', async () => {
  await clash(app, 'db', 'order', { a: { n: 1 }, b: { n: 2 }, c: { n: 3 } });
  const { winner, others } = await opened('order');
  expect([winner.n, others]).toEqual([3, [nodeOf('b'), nodeOf('a')]]);
  expect(await get(`order?rev=${nodeOf('a')}`)).toMatchObject({ n: 1 });
  await select('order', [winner._rev, nodeOf('b')]);
  expect(await opened('order')).toMatchObject({ winner: { n: 1 }, others: [] });
});

test('Fauxton shows no conflict in what was merged, and the leaves again once that is undone', async () => {
  await clash(app, 'db', 'merged');
  const resolve = await app.request('POST', '/_gateway/databases/db/conflicts/merged/resolve', {
    json: { doc: { n: 12 } },
  });
  expect(await opened('merged')).toMatchObject({ winner: { n: 12 }, others: [] });
  const { journal } = resolve.body as { journal: number };
  await app.request('POST', `/_gateway/databases/db/journal/${journal}/undo`, { json: {} });
  const { winner, others } = await opened('merged');
  const [other = ''] = others;
  const both = [winner, await get<Shown>(`merged?rev=${other}`)];
  expect(both.map(({ n }) => n).sort()).toEqual([1, 2]);
  await select('merged', others);
  expect(await opened('merged')).toMatchObject({ winner: { n: winner.n }, others: [] });
});

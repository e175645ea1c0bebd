import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { startUsers, type Users } from '../auth/users/gateway.js';
import { until } from '../system/support/wait.js';

const DESIGN = {
  filters: {
    least: `function (doc, req) { return doc.n >= Number(req.query.least) && req.query.flag === 'true'; }`,
    mine: `function (doc, req) { return doc.owner === req.userCtx.name; }`,
    asked: `function (doc, req) {
      return doc.n === 1 && req.method === 'GET' && req.path.join('/') === 'source/_changes' &&
        req.info.db_name === 'source' && /^[0-9a-f]{32}$/.test(req.uuid);
    }`,
    keyed: `function (doc, { query: { key, startkey, descending } }) {
      return doc.n === 1 && JSON.stringify([key, startkey, descending]) === '[[1],2,true]';
    }`,
    broken: `function () { throw { forbidden: 'not this one' }; }`,
  },
  views: { even: { map: 'function (doc) { if (doc.n % 2 === 0) emit(doc.n); }' } },
};
const COUNT = 300;
const idOf = (n: number): string => `d${String(n).padStart(3, '0')}`;

let server: Users;
beforeAll(async () => {
  server = await startUsers();
  await server.put('jan', { password: 'pw' });
  await server.ask('PUT', '/source');
  await server.ask('PUT', '/source/_security', { json: { members: { names: ['jan'] } } });
  for (const design of ['d', 'gone']) await server.ask('PUT', `/source/_design/${design}`, { json: DESIGN });
  const docs = Array.from({ length: COUNT }, (_, n) => ({ _id: idOf(n), n, owner: n < 2 ? 'jan' : 'bo' }));
  await server.ask('POST', '/source/_bulk_docs', { json: { docs } });
});
afterAll(() => server.stop());

let target: string;
let count = 0;
beforeEach(async () => {
  target = `target${++count}`;
  await server.ask('PUT', `/${target}`);
  await server.ask('PUT', `/${target}/_security`, { json: { members: { names: ['jan'] } } });
});

const replicate = (options: object) =>
  server.ask('POST', '/_replicate', {
    as: 'jan:pw',
    json: { source: 'source', target, retries_per_request: 0, ...options },
  });
const copied = async () => {
  const { body } = await server.ask('GET', `/${target}/_all_docs`);
  return (body as { rows: { id: string }[] }).rows.map(({ id }) => id);
};

describe('a replication from a database here', () => {
  it.each<[what: string, options: object, ids: readonly number[]]>([
    [
      'a filter function lets pass, with its parameters as text',
      { filter: 'd/least', query_params: { least: 298, flag: true } },
      [298, 299],
    ],
    ['a filter function lets pass for whoever asks', { filter: 'd/mine' }, [0, 1]],
    ['a filter function lets pass for what it sees of the request', { filter: 'd/asked' }, [1]],
    [
      'a view has something of',
      { filter: '_view', query_params: { view: 'd/even' } },
      Array.from({ length: COUNT / 2 }, (_, n) => 2 * n),
    ],
    [
      'a filter function lets pass for the keys among its parameters',
      { filter: 'd/keyed', query_params: { key: [1], startkey: '2', descending: true } },
      [1],
    ],
    [
      'are named by a parameter',
      { filter: '_doc_ids', query_params: { doc_ids: JSON.stringify([idOf(3), idOf(5)]) } },
      [3, 5],
    ],
    ['a selector fits', { selector: { n: { $gt: 297 } } }, [298, 299]],
    [
      'are named, however many',
      { doc_ids: Array.from({ length: 250 }, (_, n) => idOf(n)) },
      Array.from({ length: 250 }, (_, n) => n),
    ],
  ])('brings documents that %s', async (_what, options, ids) => {
    expect(await replicate(options)).toMatchObject({ status: 200, body: { ok: true } });
    expect(await copied()).toEqual(ids.map(idOf));
    expect(await replicate(options)).toMatchObject({ status: 200, body: { ok: true, no_changes: true } });
  });

  it.each([
    ['fails', { filter: 'd/broken' }, 'unnamed_error'],
    ['has no ids', { filter: '_doc_ids' }, 'bad_request'],
    ['is not there', { filter: 'd/nosuch' }, 'not_found'],
    ['is in no design document', { filter: 'nosuch/mine' }, 'not_found'],
    ['is a view that is not there', { filter: '_view', query_params: { view: 'd/nosuch' } }, 'not_found'],
  ])('brings nothing where the filter %s', async (_how, options, error) => {
    expect((await replicate(options)).body).toMatchObject({ error });
    expect(await copied()).toEqual([]);
  });

  it('ends when the design document of its filter is deleted', async () => {
    const continuous = { filter: 'gone/mine', continuous: true };
    expect((await replicate(continuous)).status).toBe(202);
    await until('it has copied', async () => (await copied()).length === 2);
    const { body } = await server.ask('GET', '/source/_design/gone');
    await server.ask('DELETE', `/source/_design/gone?rev=${(body as { _rev: string })._rev}`);
    await until('it is over', async () => {
      const { body: jobs } = await server.ask('GET', '/_scheduler/jobs');
      return (jobs as { total_rows: number }).total_rows === 0;
    });
    expect((await replicate(continuous)).body).toMatchObject({ error: 'not_found' });
  });
});

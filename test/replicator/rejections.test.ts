import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { startUsers, type Users } from '../auth/users/gateway.js';
import { until } from '../system/support/wait.js';

/** Refuses what is bad, in the words of the document. */
const JUDGE = {
  validate_doc_update: 'function (doc) { if (doc.bad) throw { forbidden: doc.bad }; }',
};

let server: Users;
beforeAll(async () => {
  server = await startUsers({ replication: { maxRejections: 3 } });
  for (const name of ['jan', 'bo']) await server.put(name, { password: 'pw' });
});
afterAll(() => server.stop());

let count = 0;
let source: string;
let target: string;
beforeEach(async () => {
  count++;
  [source, target] = [`source${count}`, `target${count}`];
  for (const name of [source, target]) {
    await server.ask('PUT', `/${name}`);
    await server.ask('PUT', `/${name}/_security`, { json: { members: { names: ['jan', 'bo'] } } });
  }
  await server.ask('PUT', `/${target}/_design/judge`, { json: JUDGE });
});

interface Listed {
  readonly id: string;
  readonly source: string;
  readonly rejections: number;
  readonly unlisted: number;
}
interface Row {
  readonly id: string;
  readonly rev: string;
  readonly attempts: number;
}
interface Page {
  readonly total: number;
  readonly unlisted: number;
  readonly rejections: readonly Row[];
}

const JAN = 'jan:pw';
const put = async (id: string, json: unknown, database = source): Promise<string> => {
  const { status, body } = await server.ask('PUT', `/${database}/${id}`, { json });
  expect(status, JSON.stringify(body)).toBe(201);
  return (body as { rev: string }).rev;
};
const replicate = async (more: object = {}, as = JAN) => {
  const { status, body } = await server.ask('POST', '/_replicate', { as, json: { source, target, ...more } });
  expect(status, JSON.stringify(body)).toBeLessThan(300);
  return body as { history: { doc_write_failures: number }[] };
};
const listed = async (as = JAN): Promise<Listed | undefined> => {
  const { body } = await server.ask('GET', '/_gateway/replications?limit=1000', { as });
  const { replications } = body as { replications: Listed[] };
  return replications.find((one) => one.source.includes(`/${source}/`));
};
const pathOf = async (more = ''): Promise<string> => {
  const found = await until('there is a list', () => listed('admin:secret'));
  return `/_gateway/replications/${found.id}/rejections${more}`;
};
const page = async (query = '', as = JAN): Promise<Page> =>
  (await server.ask('GET', await pathOf(query), { as })).body as Page;

describe('what a target refuses for good', () => {
  it('is listed one by one with the reason, in pages, and only counted where there is no more room', async () => {
    for (const id of ['a', 'b', 'c', 'd']) await put(id, { bad: `no ${id}` });
    await put('good', { n: 1 });
    expect((await replicate()).history[0]).toMatchObject({ docs_written: 1, doc_write_failures: 4 });
    expect(await listed()).toMatchObject({ owner: 'jan', rejections: 3, unlisted: 1 });
    const all = await page();
    expect(all).toMatchObject({ total: 3, unlisted: 1, start: 0 });
    expect(all.rejections[0]).toEqual({
      id: 'a',
      rev: expect.stringMatching(/^1-/) as unknown,
      status: 403,
      error: 'forbidden',
      reason: 'no a',
      first: expect.stringMatching(/^\d{4}-.*Z$/) as unknown,
      last: expect.stringMatching(/^\d{4}-.*Z$/) as unknown,
      attempts: 1,
    });
    const second = await page('?start=1&limit=1');
    expect(second.rejections.map(({ id }) => id)).toEqual(['b']);
    expect((await server.ask('GET', await pathOf('?start=x'), { as: JAN })).status).toBe(400);
  });

  it('is shown to those whose replication it is, and to server admins', async () => {
    await put('a', { bad: 'no' });
    await replicate();
    expect(await page('', 'admin:secret')).toMatchObject({ total: 1 });
    expect(await listed('bo:pw')).toBeUndefined();
    for (const [method, more] of [
      ['GET', ''],
      ['DELETE', ''],
      ['DELETE', '/a'],
      ['POST', '/a/retry'],
    ] as const) {
      const ask = async (as: string | null) =>
        (await server.ask(method, await pathOf(more), { as, ...(method === 'POST' && { json: {} }) })).status;
      expect(await ask('bo:pw'), method).toBe(404);
      expect(await ask(null), method).toBe(401);
    }
    expect(await page()).toMatchObject({ total: 1 });
  });

  it('leaves the list when it is written after all, or a revision that follows on it', async () => {
    const rev = await put('a', { bad: 'no' });
    const other = await put('b', { bad: 'no' });
    await replicate();
    await put('a', { n: 1, _rev: rev });
    const newer = await put('b', { bad: 'still no', _rev: other });
    await replicate();
    expect((await page()).rejections).toMatchObject([{ id: 'b', rev: newer, reason: 'still no' }]);
    // Of several branches only the one that was written.
    await server.ask('POST', `/${source}/_bulk_docs`, {
      json: { new_edits: false, docs: [{ _id: 'b', _rev: `1-${'f'.repeat(32)}`, n: 1 }] },
    });
    await replicate();
    expect((await page()).rejections).toMatchObject([{ id: 'b', rev: newer }]);
    await put('b', { _rev: newer, n: 1 });
    await replicate();
    expect(await listed()).toBeUndefined();
  });

  it('can be dropped: a document, or all of it', async () => {
    for (const id of ['a', 'b', 'c', 'd']) await put(id, { bad: 'no' });
    await replicate();
    expect(await server.ask('DELETE', await pathOf('/a'), { as: JAN })).toMatchObject({ status: 200 });
    expect(await server.ask('DELETE', await pathOf('/a'), { as: JAN })).toMatchObject({ status: 404 });
    expect((await page()).rejections.map(({ id }) => id)).toEqual(['b', 'c']);
    expect(await server.ask('DELETE', await pathOf(), { as: JAN })).toMatchObject({ status: 200 });
    expect(await listed()).toBeUndefined();
  });

  it('can be tried again while the replication is there', async () => {
    const names = { source: url(source), target: url(target) };
    await put('a%2F2', { bad: 'no' });
    await server.ask('PUT', `/_replicator/job${count}`, { json: names });
    const path = await pathOf('/a%2F2/retry');
    const retry = async (): Promise<unknown> => (await server.ask('POST', path, { json: {} })).body;
    const refused = { id: 'a/2', attempts: 2, reason: 'no' };
    expect(await retry()).toMatchObject({ ok: false, rejections: [refused] });
    const { body } = await server.ask('GET', `/${target}/_design/judge`);
    const { _rev } = body as { _rev: string };
    await server.ask('DELETE', `/${target}/_design/judge?rev=${_rev}`);
    expect(await retry()).toEqual({ ok: true, rejections: [] });
    expect((await server.ask('GET', `/${target}/a%2F2`)).status).toBe(200);
    expect(await retry()).toMatchObject({ error: 'not_found' });
  });

  it('cannot be tried again when nothing says any more how', async () => {
    await put('a', { bad: 'no' });
    await replicate();
    const { status, body } = await server.ask('POST', await pathOf('/a/retry'), { as: JAN, json: {} });
    expect({ status, body }).toMatchObject({
      status: 404,
      body: { reason: expect.stringContaining('not there any more') as unknown },
    });
  });

  it('is still listed after a restart', async () => {
    await put('a', { bad: 'no' });
    await replicate();
    const before = await page();
    await server.gateway.close();
    server = await startUsers({ replication: { maxRejections: 3 } }, server.folder);
    expect(await page()).toEqual(before);
  });
});

const url = (database: string): string =>
  server.gateway.url.replace('://', '://admin:secret@') + `/${database}`;

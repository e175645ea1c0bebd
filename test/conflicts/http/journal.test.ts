import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Answer, TestApp } from '../../http/app.js';
import { startApp } from '../../http/app.js';
import { clash, nodeOf } from './support.js';

const JOURNAL = '/_gateway/databases/db/journal';
const SECURITY = { admins: { names: ['dbadmin'] }, members: { names: ['member'] } };
const [base, a, b] = [nodeOf('base', 1), nodeOf('a'), nodeOf('b')];

let app: TestApp;
beforeAll(async () => {
  app = await startApp();
  await app.request('PUT', '/db');
  await app.request('PUT', '/db/_security', { json: SECURITY });
});
afterAll(() => app.stop());

const get = (more = '', as = 'dbadmin'): Promise<Answer> => app.request('GET', JOURNAL + more, { as });
const undo = (number: number | string): Promise<Answer> =>
  app.request('POST', `${JOURNAL}/${number}/undo`, { as: 'dbadmin', json: {} });

/** @returns number of the entry */
async function resolved(id: string, json: object, as = 'member'): Promise<number> {
  await clash(app, 'db', id);
  const answer = await app.request('POST', `/_gateway/databases/db/conflicts/${id}/resolve`, { json, as });
  expect(answer.status, answer.text).toBe(201);
  return (answer.body as { journal: number }).journal;
}

interface Page {
  readonly total: number;
  readonly bytes: number;
  readonly next: number | null;
  readonly entries: readonly { readonly number: number; readonly id: string }[];
}

describe('the journal', () => {
  test('has the newest entries first, in pages', async () => {
    const numbers: number[] = [];
    for (const id of ['p1', 'p2', 'p3']) numbers.unshift(await resolved(id, { leaf: a }));
    const { total, bytes, next, entries } = (await get('?limit=2')).body as Page;
    expect([total, next]).toEqual([3, numbers[2]]);
    expect(bytes).toBeGreaterThan(0);
    const { body: counts } = await app.request('GET', '/_gateway/databases/db', { as: 'member' });
    expect(counts).toMatchObject({ conflicts: { total: 0, states: {} }, journal: { entries: 3, bytes } });
    expect(entries.map(({ number }) => number)).toEqual(numbers.slice(0, 2));
    const last = (await get(`?limit=2&start=${String(next)}`)).body as Page;
    expect([last.next, last.entries.map(({ id }) => id)]).toEqual([null, ['p1']]);
    expect((await get('?start=x')).status).toBe(400);
  });

  test('says of an entry what went in, what came out, when and by whom', async () => {
    const number = await resolved('told', { doc: { n: 3 } });
    const merged = (await app.request('GET', '/db/told')).body as { _rev: string };
    expect((await get(`/${number}`)).body).toEqual({
      number,
      id: 'told',
      time: expect.stringMatching(/^20..-.*Z$/) as string,
      kind: 'merge',
      by: 'member',
      outcome: 'merge',
      merged: merged._rev,
      deleted: false,
      tombstones: [{ rev: expect.stringMatching(/^3-/) as string, leaf: a, into: merged._rev }],
      documents: [],
      leaves: [
        { rev: a, base: null, doc: { _id: 'told', _rev: a, n: 1 } },
        { rev: b, base: null, doc: { _id: 'told', _rev: b, n: 2 } },
      ],
      result: { rev: merged._rev, doc: merged },
    });
  });

  test('is for admins of the database', async () => {
    for (const more of ['', '/1']) expect((await get(more, 'member')).status).toBe(403);
    const answer = await app.request('POST', `${JOURNAL}/1/undo`, { as: 'member', json: {} });
    expect(answer.status).toBe(403);
  });

  test.each(['0', '99', 'x', '1e9', '99999999999999999999'])('has no entry %s', async (number) => {
    expect((await get(`/${number}`)).body).toMatchObject({ error: 'not_found' });
    expect((await undo(number)).status).toBe(404);
  });
});

describe('an entry is undone', () => {
  test('so that its leaves are back, and the journal says who did it', async () => {
    const number = await resolved('back', { delete: true });
    const { status, body } = await undo(number);
    expect(status).toBe(201);
    const { revs, journal } = body as { revs: string[]; journal: number };
    const shown = await app.request('GET', '/_gateway/databases/db/conflicts/back');
    expect(shown.body).toMatchObject({
      state: 'kept',
      base,
      journal: [number, journal],
      leaves: [{ doc: { n: 2 } }, { doc: { n: 1 } }],
    });
    const { leaves, tree } = shown.body as { leaves: { rev: string }[]; tree: { restores: string | null }[] };
    expect(leaves.map(({ rev }) => rev).sort()).toEqual(revs.toSorted());
    expect(tree.flatMap(({ restores }) => restores ?? []).sort()).toEqual([a, b]);
    const undone = await get(`/${journal}`);
    expect(undone.body).toMatchObject({ kind: 'undo', by: 'dbadmin', entry: number, revs, result: null });
    const again = await undo(journal);
    expect(again).toMatchObject({ status: 400, body: { error: 'bad_request' } });
    expect(again.body).toMatchObject({ reason: expect.stringMatching(/an undo.* or by hand\.$/) as string });
  });

  test('not with anything that would not be heeded', async () => {
    const number = await resolved('heeded', { leaf: a });
    const ask = (text: string): Promise<Answer> =>
      app.request('POST', `${JOURNAL}/${number}/undo`, {
        as: 'dbadmin',
        text,
        headers: { 'content-type': 'application/json' },
      });
    for (const text of ['{"ifLeaves":[]}', '[]', '{broken']) expect((await ask(text)).status, text).toBe(400);
    expect((await ask('')).status).toBe(201);
  });

  test('not twice, and not where the document has changed since', async () => {
    const number = await resolved('once', { leaf: a });
    expect((await undo(number)).status).toBe(201);
    expect((await undo(number)).status).toBe(409);
    const other = await resolved('edited', { leaf: b });
    const { _rev } = (await app.request('GET', '/db/edited')).body as { _rev: string };
    await app.request('PUT', `/db/edited?rev=${_rev}`, { json: { n: 9 } });
    expect((await undo(other)).status).toBe(409);
  });
});

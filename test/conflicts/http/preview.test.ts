import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { startApp, type TestApp } from '../../http/app.js';
import { clash, nodeOf } from './support.js';

const SECURITY = { admins: { names: ['dbadmin'] }, members: { names: ['member'] } };
const SUM = '({ leaves }) => ({ merge: { n: leaves.reduce((sum, { doc }) => sum + (doc.n || 0), 0) } })';

let app: TestApp;
let id = '';
let made = 0;
beforeAll(async () => {
  app = await startApp({ functions: { timeout: 1000 } });
  await app.request('PUT', '/db');
  await app.request('PUT', '/db/_security', { json: SECURITY });
  const merges = { sum: SUM, loops: '() => { for (;;); }' };
  await app.request('PUT', '/db/_design/d', { json: { merges } });
});
beforeEach(() => {
  id = `doc${made++}`;
});
afterAll(() => app.stop());

const place = (): string => `/_gateway/databases/db/conflicts/${encodeURIComponent(id)}/preview`;

const preview = (json: unknown, as = 'member'): ReturnType<TestApp['request']> =>
  app.request('POST', place(), { json, as });

describe('what a function would make of a conflict', () => {
  test('is shown to members, of functions that are built in and of design documents', async () => {
    await clash(app, 'db', id, { a: { n: 1, a: 1 }, b: { n: 1, b: 1 } });
    const leaves = [nodeOf('b'), nodeOf('a')];
    expect((await preview({ function: 'three-way' })).body).toMatchObject({
      outcome: 'merge',
      leaves,
      doc: { _id: id, n: 1, a: 1, b: 1 },
    });
    expect((await preview({ design: 'd/sum' })).body).toMatchObject({ outcome: 'merge', doc: { n: 2 } });
    const { body } = await preview({ resolution: { pick: nodeOf('a') } });
    expect(body).toMatchObject({ outcome: 'pick', doc: { n: 1, a: 1 } });
    const given = await app.request('GET', place(), { as: 'member' });
    expect(given.body).toMatchObject({ id, leaves: leaves.map((rev) => ({ rev })) });
    expect((await app.request('GET', `/db/${id}?conflicts=true`)).body).toHaveProperty('_conflicts');
  });

  test('is not shown to whoever may not write the document', async () => {
    await clash(app, 'db', id);
    expect((await preview({ function: 'three-way' }, 'stranger')).status).toBe(403);
    expect((await app.request('GET', place(), { as: 'stranger' })).status).toBe(403);
    id = `_design/${id}`;
    await clash(app, 'db', id, { a: { n: 1 }, b: { n: 2 } });
    expect((await preview({ function: 'three-way' })).status).toBe(403);
    expect((await app.request('GET', place(), { as: 'member' })).status).toBe(403);
    expect((await preview({ function: 'three-way' }, 'dbadmin')).status).toBe(200);
  });

  test.each<[unknown, RegExp]>([
    [{}, /names a function/],
    [[], /JSON object/],
    [{ function: 1 }, /names a function/],
    [{ function: 'keep' }, /keep/],
    [{ function: 'three-wy' }, /did you mean three-way/],
    [{ function: 'three-way', module: '/etc/passwd' }, /no option module/],
    [{ module: '/etc/passwd' }, /names a function/],
    [{ design: 'd/sum', module: '/etc/passwd' }, /names a function/],
    [{ design: '../sum/d' }, /names a function/],
    [{ function: 'three-way', fields: { '/n': 'x'.repeat(20_000) } }, /too long/],
  ])('is not asked for by %j', async (json, reason) => {
    await clash(app, 'db', id);
    expect(await preview(json)).toMatchObject({
      status: 400,
      body: { error: 'bad_request', reason: expect.stringMatching(reason) as string },
    });
  });

  test('is nothing to remember where there is no such function', async () => {
    await clash(app, 'db', id);
    for (const design of ['d/none', 'none/sum', 'd/toString'])
      expect((await preview({ design })).status).toBe(404);
    const { body } = await app.request('GET', '/_gateway/status');
    expect(body).toMatchObject({ conflicts: { refused_functions: [] } });
  });

  test('is found at once, whatever patterns are given', async () => {
    const name = 'a'.repeat(200);
    await clash(app, 'db', id, { a: { [name]: 1 }, b: { [name]: 2 } }, { [name]: 0 });
    const fields = { [`/${'*a'.repeat(20)}*b`]: 'max' };
    expect((await preview({ function: 'three-way', fields })).body).toMatchObject({ outcome: 'defer' });
  });

  test('keeps nobody else waiting while the function loops', async () => {
    await clash(app, 'db', id);
    const over = new AbortController();
    const looping = preview({ design: 'd/loops' }).finally(() => over.abort());
    let answered = 0;
    while (!over.signal.aborted) {
      expect((await app.request('GET', `/db/${id}`)).status).toBe(200);
      answered++;
    }
    expect(answered).toBeGreaterThan(1);
    expect((await looping).body).toMatchObject({ outcome: 'failed' });
  });
});

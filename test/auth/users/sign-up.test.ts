import { afterAll, beforeAll, expect, test } from 'vitest';
import { startUsers, type Asking, type Users } from './gateway.js';

const NOBODY: Asking = { as: null };

let it: Users;
afterAll(() => it.stop());
beforeAll(async () => {
  it = await startUsers({ users: { securityEditable: true } });
  await it.put('ann', { password: 'apple' });
  await it.openToAll();
});

test('so many passwords are hashed for a batch, and no more, but for server admins', async () => {
  const docs = Array.from({ length: 102 }, (_, at) => {
    const name = `many${String(at)}`;
    return { _id: `org.couchdb.user:${name}`, name, type: 'user', roles: [], password: 'x' };
  });
  const send = async (asking: Asking): Promise<object[]> =>
    (await it.ask('POST', '/_users/_bulk_docs', { ...asking, json: { docs } })).body as object[];
  const rows = await send(NOBODY);
  expect(rows[99]).toMatchObject({ ok: true });
  expect(rows.slice(100)).toMatchObject([{ error: 'forbidden' }, { error: 'forbidden' }]);
  expect((await send({})).slice(99)).toMatchObject([{ error: 'conflict' }, { ok: true }, { ok: true }]);
});

test('a user’s document is not left for later, and what is wrong with it is told', async () => {
  const json = { name: 'ann', type: 'user', roles: ['dev'], password: 'x' };
  for (const [method, url] of [
    ['PUT', `${it.documentOf('ann')}?batch=ok`],
    ['POST', '/_users?batch=ok'],
  ] as const) {
    const sent = { ...json, _id: 'org.couchdb.user:ann' };
    expect((await it.ask(method, url, { ...NOBODY, json: sent })).status).toBe(409);
  }
  const later = { ...json, name: 'later', _id: 'org.couchdb.user:later', roles: [] };
  expect(await it.ask('POST', '/_users?batch=ok', { ...NOBODY, json: later })).toMatchObject({
    status: 201,
    body: { rev: expect.stringMatching(/^1-/) as string },
  });
});

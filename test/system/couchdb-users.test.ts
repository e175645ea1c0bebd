import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startUsers, type Users } from '../auth/users/gateway.js';
import { until } from './support/wait.js';

let back: Users;
let front: Users;
let isAway = false;

beforeAll(async () => {
  back = await startUsers();
  front = await startUsers();
});
afterAll(async () => {
  await front.stop();
  if (!isAway) await back.stop();
});

interface Side {
  readonly url: string;
  readonly auth: { readonly basic: { readonly username: string; readonly password?: string } };
}
interface Replication {
  readonly _id: string;
  readonly source: Side;
  readonly target: Side;
}

/** The document of couchdb/README.md, with the servers of this test and their passwords. */
async function documented(): Promise<Replication> {
  const text = await readFile(path.resolve(import.meta.dirname, '../../couchdb/README.md'), 'utf8');
  const [, section = ''] = text.split('## Users that follow the upstream\n');
  const [, json = ''] = /^```json\n(.*?)^```$/ms.exec(section) ?? [];
  const replication = JSON.parse(json) as Replication;
  const { source, target } = replication;
  return { ...replication, source: at(back, source, 'way'), target: at(front, target, 'secret') };
}

function at({ gateway }: Users, { url, auth }: Side, password: string): Side {
  const { pathname } = new URL(url);
  return { url: `${gateway.url}${pathname}`, auth: { basic: { ...auth.basic, password } } };
}

async function logIn(name: string, password: string): Promise<string> {
  const { headers } = await front.ask('POST', '/_session', { as: null, json: { name, password } });
  return headers['set-cookie']?.[0]?.split(';')[0] ?? '';
}

async function nameOf(cookie: string): Promise<string | null> {
  const { body } = await front.ask('GET', '/_session', { as: null, headers: { cookie } });
  return (body as { userCtx: { name: string | null } }).userCtx.name;
}

test('the replication of couchdb/README.md has users of the upstream come, change and go here', async () => {
  const { status } = await back.ask('PUT', '/_node/_local/_config/admins/causeway', { json: 'way' });
  expect(status).toBe(200);
  await back.put('mia', { password: 'pear', roles: ['crew'] });
  await back.put('ben', { password: 'plum' });
  const json = await documented();
  const { status: made, body } = await front.ask('PUT', `/_replicator/${json._id}`, { json });
  expect(made, JSON.stringify(body)).toBe(201);
  const isNow = (as: string, roles: readonly string[] | number): Promise<unknown> =>
    until(`${as} to be ${String(roles)}`, async () => String(await front.whoIs(as)) === String(roles));

  await isNow('mia:pear', ['crew']);
  await isNow('ben:plum', []);
  await back.put('mia', { password: 'apple', roles: ['crew', 'cook'] });
  await isNow('mia:apple', ['crew', 'cook']);
  expect(await front.whoIs('mia:pear')).toBe(401);

  const session = await logIn('mia', 'apple');
  expect(await nameOf(session)).toBe('mia');
  const { _rev } = await back.read('mia');
  expect((await back.ask('DELETE', `${back.documentOf('mia')}?rev=${String(_rev)}`)).status).toBe(200);
  await isNow('mia:apple', 401);
  expect(await nameOf(session)).toBeNull();

  isAway = true;
  await back.stop();
  expect(await front.whoIs('ben:plum')).toEqual([]);
});

import { isDeepStrictEqual } from 'node:util';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { startUsers, type Users } from '../../auth/users/gateway.js';
import { type Fault, type FaultyProxy, startFaultyProxy } from '../../support/faulty-proxy.js';
import { until } from '../../system/support/wait.js';
import { linkOf } from '../pair.js';
import { type Gate, startGate } from './gate.js';
import { contentOf, fill, isHere, mirroring } from './pair.js';

let back: Users;
let front: Users;
let gate: Gate;
let proxy: FaultyProxy;

beforeAll(async () => {
  back = await startUsers();
  gate = await startGate(back.gateway.url);
  proxy = await startFaultyProxy(Number(new URL(gate.url).port));
  const upstream = { pollInterval: 1000, longestRetry: 300_000 };
  front = await startUsers(mirroring(`http://127.0.0.1:${proxy.port}/`, { upstream }));
  await until('the upstream to be seen', async () => (await linkOf(front)).state === 'online');
});
beforeEach(() => {
  proxy.faults = () => undefined;
  gate.open();
});
afterAll(async () => {
  await front.stop();
  await proxy.close();
  gate.close();
  await back.stop();
});

interface Shown {
  readonly state: string;
  readonly reason: string | null;
  readonly ahead: number;
  readonly last_synced: string | null;
  readonly rejections: number;
  readonly left_out: number;
}

const shown = async (name: string): Promise<Shown> =>
  (await front.ask('GET', `/_gateway/databases/${name}`)).body as Shown;

/** A database in both places, between which changes flow. */
async function prepare(name: string): Promise<void> {
  await back.ask('PUT', `/${name}`);
  await fill(back, name, 3);
  await isHere({ front, back }, name);
  await until('it to be in step', async () => (await shown(name)).last_synced !== null);
}

/** Has it look at once. */
const sync = (name: string): Promise<unknown> =>
  front.ask('POST', `/_gateway/databases/${name}/sync`, { json: {} });

const inBoth = (name: string): Promise<unknown> =>
  until('both to have the same', async () =>
    isDeepStrictEqual(await contentOf(front, name), await contentOf(back, name)),
  );

const answer = (status: number, body: string): Fault => ({ kind: 'answer', status, body });
const UNKNOWN = answer(401, '{"error":"unauthorized","reason":"Name or password is incorrect."}');
const FORBIDDEN = answer(403, '{"error":"forbidden","reason":"You are not allowed to do that."}');

test.each([
  [
    'an account that may read no more',
    'unread',
    '',
    FORBIDDEN,
    // Whichever direction asks first.
    /the account admin (read,.*|write to) unread: .*not allowed/,
  ],
  [
    'an account that may not write',
    'unwritten',
    '_bulk_docs',
    FORBIDDEN,
    /the account admin write to unwritten: .*not allowed/,
  ],
  [
    'an account that may keep no checkpoints',
    'unkept',
    '_local/',
    FORBIDDEN,
    /the account admin .*unkept: .*not allowed/,
  ],
  [
    'a page in the place of the database',
    'page',
    '',
    answer(200, '<p>Hello'),
    /not JSON|not what it should be/,
  ],
  ['another way that it is sent', 'moved', '', answer(302, ''), /302/],
])('%s is told, and asked seldom, while nothing is lost', async (_, name, path, fault, reason) => {
  await prepare(name);
  let asked = 0;
  proxy.faults = (__, at) => {
    if (!at.startsWith(`/${name}/${path}`)) return undefined;
    // Who may read it is asked for clients.
    if (at !== `/${name}/_security`) asked++;
    return fault;
  };
  await front.ask('PUT', `/${name}/first`, { json: {} });
  await until('the failure', async () => (await shown(name)).state === 'failing');
  expect((await shown(name)).reason).toMatch(reason);
  let written = 1;
  const write = async (): Promise<void> => {
    await front.ask('PUT', `/${name}/more-${written++}`, { json: {} });
  };
  // It is tried again as time passes, after ever longer waits, and not for each write.
  await until('much to be written while it is hardly asked', async () => {
    asked = 0;
    for (let at = 0; at < 30; at++) await write();
    return asked < 2;
  });
  expect(await shown(name)).toMatchObject({ state: 'failing', ahead: written });
  proxy.faults = () => undefined;
  await sync(name);
  await inBoth(name);
  await until('it to be well', async () => (await shown(name)).state === 'warm');
});

test('a database of which the account may not know who may read it is for server admins (I9)', async () => {
  await front.put('ann', { password: 'pear' });
  await back.ask('PUT', '/open');
  await back.ask('PUT', '/open/_security', { json: { members: { names: ['ann'] } } });
  await prepare('open');
  const ann = async (path: string): Promise<number> =>
    (await front.ask('GET', path, { as: 'ann:pear' })).status;
  expect([await ann('/open'), await ann('/_gateway/databases/open')]).toEqual([200, 200]);
  proxy.faults = (_, path) => (path === '/open/_security' ? FORBIDDEN : undefined);
  await sync('open');
  await until('it to be closed', async () => (await ann('/open')) === 403);
  expect(await ann('/_gateway/databases/open')).toBe(403);
  expect((await shown('open')).state).toBe('warm');
});

test('what the account may not do is forbidden to whoever asks for it, and does not happen here either', async () => {
  await prepare('own');
  const refusal = answer(401, '{"error":"unauthorized","reason":"You are not a server admin."}');
  proxy.faults = (method, path) =>
    method === 'PUT' && /^\/(unmade|own\/_security)$/.test(path) ? refusal : undefined;
  const members = { members: { names: ['ann'] } };
  for (const [path, json] of [
    ['/unmade', undefined],
    ['/own/_security', members],
  ] as const) {
    const { status, body } = await front.ask('PUT', path, { json });
    expect([path, status]).toEqual([path, 403]);
    expect(body).toMatchObject({ reason: expect.stringMatching(/account.*not a server admin/) as string });
  }
  expect((await front.ask('GET', '/own/_security')).body).not.toEqual(members);
  for (const path of ['/unmade', '/_gateway/databases/unmade'])
    expect((await front.ask('GET', path)).status).toBe(404);
});

test('where a CouchDB does not say by its status that the account may not set a security object, it is said', async () => {
  await back.ask('PUT', '/unsaid');
  await back.ask('PUT', '/unsaid/_security', { json: { members: { roles: ['people'] } } });
  await prepare('unsaid');
  const failure = answer(500, '{"error":"error","reason":"no_majority"}');
  proxy.faults = (method, path) => (method === 'PUT' && path === '/unsaid/_security' ? failure : undefined);
  const set = async (): Promise<unknown> => {
    const { status, body } = await front.ask('PUT', '/unsaid/_security', { json: {} });
    return [status, (body as { reason: string }).reason];
  };
  // Its nodes may be away, too.
  expect(await set()).toEqual([502, 'The upstream failed: no_majority']);
  const { body } = await back.ask('GET', '/unsaid/_security');
  proxy.faults = (method, path) => {
    if (path === '/_session') return answer(200, '{"userCtx":{"name":"admin","roles":["people"]}}');
    return method === 'PUT' && path === '/unsaid/_security' ? failure : undefined;
  };
  const refusal =
    'The upstream refuses this to the account of the gateway: You are not a db or server admin.';
  expect(await set()).toEqual([403, refusal]);
  expect((await front.ask('GET', '/unsaid/_security')).body).toEqual(body);
});

test('I6: what is too large, or broken, for the upstream is listed, and does not stop what is behind it', async () => {
  await prepare('large');
  proxy.faults = (method, _, length = 0) =>
    method === 'POST' && length > 20_000 ? answer(413, '{"error":"too_large","reason":"large"}') : undefined;
  await front.ask('PUT', '/large/a', { json: { text: 'x'.repeat(30_000) } });
  for (const id of ['b', 'c']) await front.ask('PUT', `/large/${id}`, { json: {} });
  await until('the others', async () => 'c' in (await contentOf(back, 'large')));
  await until('the list', async () => (await shown('large')).rejections === 1);
  expect(await contentOf(back, 'large')).not.toHaveProperty('a');
  expect((await shown('large')).state).toBe('warm');
  proxy.faults = () => undefined;
  await front.ask('POST', '/_gateway/databases/large/rejections/a/retry', { json: {} });
  await inBoth('large');
  expect((await shown('large')).rejections).toBe(0);
});

test('I6: an attachment that breaks off is brought later, and does not stop what is behind it', async () => {
  await prepare('broken');
  proxy.faults = (_, path) => (path.startsWith('/broken/a?') ? { kind: 'truncated', after: 100 } : undefined);
  const file = { data: Buffer.alloc(3000, 'x').toString('base64'), content_type: 'text/plain' };
  await back.ask('PUT', '/broken/a', { json: { _attachments: { file } } });
  await back.ask('PUT', '/broken/b', { json: {} });
  await until('the other', async () => 'b' in (await contentOf(front, 'broken')));
  expect(await contentOf(front, 'broken')).not.toHaveProperty('a');
  proxy.faults = () => undefined;
  await sync('broken');
  await inBoth('broken');
  const { body } = await front.ask('GET', '/broken/a?attachments=true');
  expect(body).toMatchObject({ _attachments: { file: { data: file.data } } });
});

test('what is purged upstream while it is on its way does not come in behind the purge', async () => {
  await prepare('late');
  gate.holds = (_, path) => path.startsWith('/late/_bulk_get') && 'answer';
  const { body } = await back.ask('PUT', '/late/a', { json: {} });
  await until('it to be on its way', () => gate.waiting > 0);
  let isFollowed = false;
  proxy.faults = (_, path) => {
    isFollowed ||= path.startsWith('/late/_purged_infos');
    return undefined;
  };
  await back.ask('POST', '/late/_purge', { json: { a: [(body as { rev: string }).rev] } });
  await until('the purge to be followed', () => isFollowed);
  gate.open();
  await back.ask('PUT', '/late/b', { json: {} });
  await until('what came after it', async () => 'b' in (await contentOf(front, 'late')));
  expect(await contentOf(front, 'late')).not.toHaveProperty('a');
});

test('I4: a purge is followed though the upstream does not know the account when it is asked what was purged', async () => {
  await prepare('doubted');
  const { d1 } = await contentOf(front, 'doubted');
  proxy.faults = (_, path) => (path.startsWith('/doubted/_purged_infos') ? UNKNOWN : undefined);
  await back.ask('POST', '/doubted/_purge', { json: { d1: [d1] } });
  await until('it to be told', async () => (await shown('doubted')).state === 'failing');
  expect((await shown('doubted')).reason).toMatch(/Name or password is incorrect/);
  expect(await contentOf(front, 'doubted')).toHaveProperty('d1');
  proxy.faults = () => undefined;
  await sync('doubted');
  await until('it to be gone', async () => !('d1' in (await contentOf(front, 'doubted'))));
});

test('I4: what the upstream announces and never delivers keeps a mirror from getting warm, until an admin has it left out', async () => {
  const name = 'lost';
  const path = `/_gateway/databases/${name}/rejections`;
  const file = { data: Buffer.alloc(3000, 'x').toString('base64'), content_type: 'text/plain' };
  await back.ask('PUT', `/${name}`);
  await fill(back, name, 3);
  const edit = async (id: string, rev?: string): Promise<string> => {
    const json = { _rev: rev, _attachments: { file } };
    return ((await back.ask('PUT', `/${name}/${id}`, { json })).body as { rev: string }).rev;
  };
  const [a, b, c] = [await edit('a'), await edit('b'), await edit('c')];
  const missing = answer(404, '{"error":"not_found","reason":"missing"}');
  proxy.faults = (_, at) => (/^\/lost\/[abc]\?/.test(at) ? missing : undefined);
  interface Listed {
    readonly undelivered: readonly { id: string; rev: string; reason: string }[];
    readonly left_out: readonly { id: string; rev: string; reason: string }[];
  }
  const listed = async (): Promise<Listed> => (await front.ask('GET', path)).body as Listed;
  await front.ask('GET', `/${name}/d1`);
  await until('all to be missed', async () => (await listed()).undelivered.length === 3);
  // The next revision has nothing attached, and comes with others.
  await back.ask('PUT', `/${name}/c`, { json: { _rev: c } });
  await until('one to come', async () => (await listed()).undelivered.length === 2);
  expect((await listed()).undelivered).toMatchObject([
    { id: 'a', rev: a, reason: expect.stringContaining('announces') as string },
    { id: 'b', rev: b },
  ]);
  expect(await shown(name)).toMatchObject({ warm: false, undelivered: 2, left_out: 0 });
  const drop = async (id: string): Promise<number> => (await front.ask('DELETE', `${path}/${id}`)).status;
  expect([await drop('a'), await drop('b'), await drop('d1')]).toEqual([200, 200, 404]);
  await isHere({ front, back }, name);
  expect(await shown(name)).toMatchObject({ state: 'warm', undelivered: 0, left_out: 2 });
  expect((await listed()).left_out).toMatchObject([
    { id: 'a', rev: a, reason: expect.stringContaining('announces') as string },
    { id: 'b', rev: b },
  ]);
  expect(Object.keys(await contentOf(front, name))).toEqual(['c', 'd0', 'd1', 'd2']);
  // With its next revision, or when somebody asks for it.
  proxy.faults = () => undefined;
  await edit('a', a);
  await until('the next revision', async () => (await shown(name)).left_out === 1);
  expect((await front.ask('POST', `${path}/b/retry`, { json: {} })).status).toBe(200);
  await inBoth(name);
  expect(await shown(name)).toMatchObject({ undelivered: 0, left_out: 0 });
});

import { expect, onTestFinished, test } from 'vitest';
import type { Fault } from '../../support/faulty-proxy.js';
import { until } from '../../system/support/wait.js';
import { linkOf } from '../pair.js';
import { overLine } from './over-line.js';
import { contentOf, fill, isHere } from './pair.js';

const line = overLine({ upstream: { pollInterval: 1000, longestRetry: 300_000 } });
const { shown, prepare, sync, inBoth } = line;

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
  [
    'a page that says that there is nothing',
    'nothing',
    '',
    answer(404, '<p>Not found'),
    /^something else than a CouchDB answers with 404$/,
  ],
  ['another way that it is sent', 'moved', '', answer(302, ''), /302/],
])('%s is told, and asked seldom, while nothing is lost', async (_, name, path, fault, reason) => {
  await prepare(name);
  let asked = 0;
  line.proxy.faults = (__, at) => {
    if (!at.startsWith(`/${name}/${path}`)) return undefined;
    // Who may read it is asked for clients.
    if (at !== `/${name}/_security`) asked++;
    return fault;
  };
  await line.front.ask('PUT', `/${name}/first`, { json: {} });
  await until('the failure', async () => (await shown(name)).state === 'failing');
  expect((await shown(name)).reason).toMatch(reason);
  let written = 1;
  const write = async (): Promise<void> => {
    await line.front.ask('PUT', `/${name}/more-${written++}`, { json: {} });
  };
  // It is tried again as time passes, after ever longer waits, and not for each write.
  await until('much to be written while it is hardly asked', async () => {
    asked = 0;
    for (let at = 0; at < 30; at++) await write();
    return asked < 2;
  });
  expect(await shown(name)).toMatchObject({ state: 'failing', ahead: written });
  line.proxy.faults = () => undefined;
  await sync(name);
  await inBoth(name);
  await until('it to be well', async () => (await shown(name)).state === 'warm');
});

test('what answers a mirror as no CouchDB does is looked at, and found to be something else', async () => {
  await prepare('elsewhere');
  line.proxy.faults = () => answer(404, '<p>Not found');
  await line.front.ask('PUT', '/elsewhere/waits', { json: {} });
  await until('the upstream to be lost', async () => (await linkOf(line.front)).state === 'offline');
  expect((await linkOf(line.front)).reason).toBe('it answers with 404');
  expect(await shown('elsewhere')).toMatchObject({ ahead: 1 });
  line.proxy.faults = () => undefined;
  await inBoth('elsewhere');
});

test('a database of which the account may not know who may read it is for server admins (I9)', async () => {
  await line.front.put('ann', { password: 'pear' });
  await line.back.ask('PUT', '/open');
  await line.back.ask('PUT', '/open/_security', { json: { members: { names: ['ann'] } } });
  await prepare('open');
  const ann = async (path: string): Promise<number> =>
    (await line.front.ask('GET', path, { as: 'ann:pear' })).status;
  expect([await ann('/open'), await ann('/_gateway/databases/open')]).toEqual([200, 200]);
  line.proxy.faults = (_, path) => (path === '/open/_security' ? FORBIDDEN : undefined);
  await sync('open');
  await until('it to be closed', async () => (await ann('/open')) === 403);
  expect(await ann('/_gateway/databases/open')).toBe(403);
  expect((await shown('open')).state).toBe('warm');
});

test('what the account may not do is forbidden to whoever asks for it, and does not happen here either', async () => {
  await prepare('own');
  const refusal = answer(401, '{"error":"unauthorized","reason":"You are not a server admin."}');
  line.proxy.faults = (method, path) =>
    method === 'PUT' && /^\/(unmade|own\/_security)$/.test(path) ? refusal : undefined;
  const members = { members: { names: ['ann'] } };
  for (const [path, json] of [
    ['/unmade', undefined],
    ['/own/_security', members],
  ] as const) {
    const { status, body } = await line.front.ask('PUT', path, { json });
    expect([path, status]).toEqual([path, 403]);
    expect(body).toMatchObject({ reason: expect.stringMatching(/account.*not a server admin/) as string });
  }
  expect((await line.front.ask('GET', '/own/_security')).body).not.toEqual(members);
  for (const path of ['/unmade', '/_gateway/databases/unmade'])
    expect((await line.front.ask('GET', path)).status).toBe(404);
});

test('many databases that the upstream is slow to make are waited for without a warning', async () => {
  const warnings: string[] = [];
  const note = ({ name }: Error): void => void warnings.push(name);
  process.on('warning', note);
  onTestFinished(() => void process.off('warning', note));
  line.gate.holds = (method, path) => method === 'PUT' && path.startsWith('/slow-');
  const made = Array.from({ length: 14 }, (_, at) => line.front.ask('PUT', `/slow-${at}`));
  await until('all to wait', () => line.gate.waiting === made.length);
  line.gate.open();
  expect((await Promise.all(made)).map(({ status }) => status)).toEqual(made.map(() => 201));
  expect(warnings).not.toContain('MaxListenersExceededWarning');
});

test('where a CouchDB does not say by its status that the account may not set a security object, it is said', async () => {
  await line.back.ask('PUT', '/unsaid');
  await line.back.ask('PUT', '/unsaid/_security', { json: { members: { roles: ['people'] } } });
  await prepare('unsaid');
  const failure = answer(500, '{"error":"error","reason":"no_majority"}');
  line.proxy.faults = (method, path) =>
    method === 'PUT' && path === '/unsaid/_security' ? failure : undefined;
  const set = async (): Promise<unknown> => {
    const { status, body } = await line.front.ask('PUT', '/unsaid/_security', { json: {} });
    return [status, (body as { reason: string }).reason];
  };
  // Its nodes may be away, too.
  expect(await set()).toEqual([502, 'The upstream failed: no_majority']);
  const { body } = await line.back.ask('GET', '/unsaid/_security');
  line.proxy.faults = (method, path) => {
    if (path === '/_session') return answer(200, '{"userCtx":{"name":"admin","roles":["people"]}}');
    return method === 'PUT' && path === '/unsaid/_security' ? failure : undefined;
  };
  const refusal =
    'The upstream refuses this to the account of the gateway: You are not a db or server admin.';
  expect(await set()).toEqual([403, refusal]);
  expect((await line.front.ask('GET', '/unsaid/_security')).body).toEqual(body);
});

test('I6: what is too large, or broken, for the upstream is listed, and does not stop what is behind it', async () => {
  await prepare('large');
  line.proxy.faults = (method, _, length = 0) =>
    method === 'POST' && length > 20_000 ? answer(413, '{"error":"too_large","reason":"large"}') : undefined;
  await line.front.ask('PUT', '/large/a', { json: { text: 'x'.repeat(30_000) } });
  for (const id of ['b', 'c']) await line.front.ask('PUT', `/large/${id}`, { json: {} });
  await until('the others', async () => 'c' in (await contentOf(line.back, 'large')));
  await until('the list', async () => (await shown('large')).rejections === 1);
  expect(await contentOf(line.back, 'large')).not.toHaveProperty('a');
  expect((await shown('large')).state).toBe('warm');
  line.proxy.faults = () => undefined;
  await line.front.ask('POST', '/_gateway/databases/large/rejections/a/retry', { json: {} });
  await inBoth('large');
  expect((await shown('large')).rejections).toBe(0);
});

test('I6: an attachment that breaks off is brought later, and does not stop what is behind it', async () => {
  await prepare('broken');
  line.proxy.faults = (_, path) =>
    path.startsWith('/broken/a?') ? { kind: 'truncated', after: 100 } : undefined;
  const file = { data: Buffer.alloc(3000, 'x').toString('base64'), content_type: 'text/plain' };
  await line.back.ask('PUT', '/broken/a', { json: { _attachments: { file } } });
  await line.back.ask('PUT', '/broken/b', { json: {} });
  await until('the other', async () => 'b' in (await contentOf(line.front, 'broken')));
  expect(await contentOf(line.front, 'broken')).not.toHaveProperty('a');
  line.proxy.faults = () => undefined;
  await sync('broken');
  await inBoth('broken');
  const { body } = await line.front.ask('GET', '/broken/a?attachments=true');
  expect(body).toMatchObject({ _attachments: { file: { data: file.data } } });
});

test('what is purged upstream while it is on its way does not come in behind the purge', async () => {
  await prepare('late');
  line.gate.holds = (_, path) => path.startsWith('/late/_bulk_get') && 'answer';
  const { body } = await line.back.ask('PUT', '/late/a', { json: {} });
  await until('it to be on its way', () => line.gate.waiting > 0);
  let isFollowed = false;
  line.proxy.faults = (_, path) => {
    isFollowed ||= path.startsWith('/late/_purged_infos');
    return undefined;
  };
  await line.back.ask('POST', '/late/_purge', { json: { a: [(body as { rev: string }).rev] } });
  await until('the purge to be followed', () => isFollowed);
  line.gate.open();
  await line.back.ask('PUT', '/late/b', { json: {} });
  await until('what came after it', async () => 'b' in (await contentOf(line.front, 'late')));
  expect(await contentOf(line.front, 'late')).not.toHaveProperty('a');
});

test('I4: a purge is followed though the upstream does not know the account when it is asked what was purged', async () => {
  await prepare('doubted');
  const { d1 } = await contentOf(line.front, 'doubted');
  line.proxy.faults = (_, path) => (path.startsWith('/doubted/_purged_infos') ? UNKNOWN : undefined);
  await line.back.ask('POST', '/doubted/_purge', { json: { d1: [d1] } });
  await until('it to be told', async () => (await shown('doubted')).state === 'failing');
  expect((await shown('doubted')).reason).toMatch(/Name or password is incorrect/);
  expect(await contentOf(line.front, 'doubted')).toHaveProperty('d1');
  line.proxy.faults = () => undefined;
  await sync('doubted');
  await until('it to be gone', async () => !('d1' in (await contentOf(line.front, 'doubted'))));
});

test('I4: what the upstream announces and never delivers keeps a mirror from getting warm, until an admin has it left out', async () => {
  const name = 'lost';
  const path = `/_gateway/databases/${name}/rejections`;
  const file = { data: Buffer.alloc(3000, 'x').toString('base64'), content_type: 'text/plain' };
  await line.back.ask('PUT', `/${name}`);
  await fill(line.back, name, 3);
  const edit = async (id: string, rev?: string): Promise<string> => {
    const json = { _rev: rev, _attachments: { file } };
    return ((await line.back.ask('PUT', `/${name}/${id}`, { json })).body as { rev: string }).rev;
  };
  const [a, b, c] = [await edit('a'), await edit('b'), await edit('c')];
  const missing = answer(404, '{"error":"not_found","reason":"missing"}');
  line.proxy.faults = (_, at) => (/^\/lost\/[abc]\?/.test(at) ? missing : undefined);
  interface Listed {
    readonly undelivered: readonly { id: string; rev: string; reason: string }[];
    readonly left_out: readonly { id: string; rev: string; reason: string }[];
  }
  const listed = async (): Promise<Listed> => (await line.front.ask('GET', path)).body as Listed;
  await line.front.ask('GET', `/${name}/d1`);
  await until('all to be missed', async () => (await listed()).undelivered.length === 3);
  // The next revision has nothing attached, and comes with others.
  await line.back.ask('PUT', `/${name}/c`, { json: { _rev: c } });
  await until('one to come', async () => (await listed()).undelivered.length === 2);
  expect((await listed()).undelivered).toMatchObject([
    { id: 'a', rev: a, reason: expect.stringContaining('announces') as string },
    { id: 'b', rev: b },
  ]);
  expect(await shown(name)).toMatchObject({ warm: false, undelivered: 2, left_out: 0 });
  const drop = async (id: string): Promise<number> =>
    (await line.front.ask('DELETE', `${path}/${id}`)).status;
  expect([await drop('a'), await drop('b'), await drop('d1')]).toEqual([200, 200, 404]);
  await isHere(line, name);
  expect(await shown(name)).toMatchObject({ state: 'warm', undelivered: 0, left_out: 2 });
  expect((await listed()).left_out).toMatchObject([
    { id: 'a', rev: a, reason: expect.stringContaining('announces') as string },
    { id: 'b', rev: b },
  ]);
  expect(Object.keys(await contentOf(line.front, name))).toEqual(['c', 'd0', 'd1', 'd2']);
  // With its next revision, or when somebody asks for it.
  line.proxy.faults = () => undefined;
  await edit('a', a);
  await until('the next revision', async () => (await shown(name)).left_out === 1);
  expect((await line.front.ask('POST', `${path}/b/retry`, { json: {} })).status).toBe(200);
  await inBoth(name);
  expect(await shown(name)).toMatchObject({ undelivered: 0, left_out: 0 });
});

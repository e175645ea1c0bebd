import { expect, test } from 'vitest';
import type { Fault } from '../../support/faulty-proxy.js';
import { until } from '../../system/support/wait.js';
import { linkOf } from '../pair.js';
import { overLine, refusal } from './over-line.js';
import { contentOf, fill } from './pair.js';

const line = overLine({
  // Nothing but what is tested here wakes a mirror.
  upstream: { pollInterval: 60_000, probeInterval: 200, mirrorIdle: 200, allowDelete: true },
  perUser: { enable: true },
  databases: [
    { match: 'offline-*', mode: 'mirror', createOffline: true },
    { match: 'userdb-*', mode: 'proxy' },
    { match: '*', mode: 'mirror' },
  ],
});
const { shown, prepare, sync, inBoth } = line;

/** Something goes wrong with so many requests. @returns how many it went wrong with */
function failing(
  fault: Fault,
  times: number,
  isMeant: (method: string, path: string) => boolean,
): () => number {
  let count = 0;
  line.proxy.faults = (method, path) =>
    isMeant(method, path) && count < times ? (count++, fault) : undefined;
  return () => count;
}

const MISSING = refusal(404, 'not_found', 'Database does not exist.');

test.each<[string, string, (method: string, path: string) => boolean, Fault]>([
  [
    'the answer is lost',
    'offline-lost',
    (method, path) => method === 'PUT' && path === '/offline-lost',
    { kind: 'reset', after: 0 },
  ],
  [
    'its security object is refused for a moment',
    'offline-refused',
    (method, path) => method === 'PUT' && path === '/offline-refused/_security',
    refusal(401, 'unauthorized', 'Name or password is incorrect.'),
  ],
])('what is made while the upstream is away is made there, though %s', async (_, name, isMeant, fault) => {
  line.proxy.faults = () => refusal(503, 'fault', 'injected');
  await line.front.ask('GET', '/');
  await until('the upstream to be lost', async () => (await linkOf(line.front)).state === 'offline');
  expect((await line.front.ask('PUT', `/${name}`)).status).toBe(201);
  const security = { admins: { names: [], roles: [] }, members: { names: ['ann'], roles: [] } };
  expect((await line.front.ask('PUT', `/${name}/_security`, { json: security })).status).toBe(200);
  await fill(line.front, name, 3);
  const failures = failing(fault, 1, isMeant);
  await until('the failure', () => failures() === 1);
  await until('all there', async () => Object.keys(await contentOf(line.back, name)).length === 3);
  expect((await line.back.ask('GET', `/${name}/_security`)).body).toEqual(security);
  await until('it to be well', async () => (await shown(name)).state === 'warm');
});

test.each([
  [503, 503, 'service_unavailable'],
  [504, 502, 'bad_gateway'],
])(
  'what stands before the upstream and answers with %i is told of with %i, and when to try again',
  async (status, told, error) => {
    const refused = failing(
      { kind: 'answer', status, body: '<p>No server' },
      1,
      (method) => method === 'PUT',
    );
    const answer = await line.front.ask('PUT', '/unmade');
    expect(refused()).toBe(1);
    expect(answer).toMatchObject({
      status: told,
      headers: { 'retry-after': '5' },
      body: { error, reason: `The upstream answers with ${status}.` },
    });
  },
);

test('what two make at once while the upstream is away is made there once', async () => {
  const name = 'offline-twice';
  line.proxy.faults = () => refusal(503, 'fault', 'injected');
  await line.front.ask('GET', '/');
  await until('the upstream to be lost', async () => (await linkOf(line.front)).state === 'offline');
  const both = await Promise.all([1, 2].map(() => line.front.ask('PUT', `/${name}`)));
  expect(both.map(({ status }) => status).sort()).toEqual([201, 412]);
  await fill(line.front, name, 3);
  let made = 0;
  line.proxy.faults = (method, path) => {
    if (method === 'PUT' && path === `/${name}`) made++;
    return undefined;
  };
  await until('all there', async () => Object.keys(await contentOf(line.back, name)).length === 3);
  await until('it to be well', async () => (await shown(name)).state === 'warm');
  expect(made).toBe(1);
});

test.each([
  [401, 'unauthorized'],
  [403, 'forbidden'],
  [429, 'too_many_requests'],
])('nobody is locked out for long by a %i for the security object', async (status, error) => {
  const name = `members-${status}`;
  await line.front.put('ann', { password: 'pear' });
  await line.back.ask('PUT', `/${name}`);
  await line.back.ask('PUT', `/${name}/_security`, { json: { members: { names: ['ann'] } } });
  await prepare(name);
  const ann = async (): Promise<number> =>
    (await line.front.ask('GET', `/${name}`, { as: 'ann:pear' })).status;
  const failures = failing(refusal(status, error, 'Not now.'), 1, (_, path) => path === `/${name}/_security`);
  await sync(name);
  await until('the failure', () => failures() === 1);
  await until('it to be in step', async () => (await shown(name)).state === 'warm');
  await until('her to be let in', async () => (await ann()) === 200, { ceiling: 5000 });
});

test.each<[string, string, (path: string) => boolean, string]>([
  ['a database', 'missed', (path) => path === '/missed/', 'Database does not exist.'],
  ['the mark in a database', 'unmarked', (path) => path.startsWith('/unmarked/_local/causeway-'), 'missing'],
])('a mirror goes on by itself, though %s is missing for a moment', async (_, name, isMeant, reason) => {
  await prepare(name);
  const failures = failing(refusal(404, 'not_found', reason), 6, (__, path) => isMeant(path));
  await line.front.ask('PUT', `/${name}/here`, { json: {} });
  await sync(name);
  await until('the failure', () => failures() === 6);
  await until('it to go up', async () => 'here' in (await contentOf(line.back, name)), { ceiling: 5000 });
  expect((await shown(name)).state).toBe('warm');
});

test('I4: a purge is followed though something between says that there is no list of purges', async () => {
  await prepare('listless');
  const { d1 } = await contentOf(line.front, 'listless');
  const failures = failing({ kind: 'answer', status: 404, body: '<h1>Not found</h1>' }, 1, (_, path) =>
    path.startsWith('/listless/_purged_infos'),
  );
  await line.back.ask('POST', '/listless/_purge', { json: { d1: [d1] } });
  await sync('listless');
  await until('the failure', () => failures() === 1);
  await until('it to be gone', async () => !('d1' in (await contentOf(line.front, 'listless'))), {
    ceiling: 5000,
  });
});

test('I6: what is too large for a moment is not given up', async () => {
  await prepare('large');
  failing(
    refusal(413, 'too_large', 'Not now.'),
    1,
    (method, path) => method === 'POST' && path.endsWith('/_bulk_docs'),
  );
  await line.front.ask('PUT', '/large/a', { json: {} });
  await inBoth('large');
  expect((await shown('large')).rejections).toBe(0);
});

test('what went up does not wait once more, though what the upstream noted of it is missing for a moment', async () => {
  await prepare('noted');
  await line.front.ask('PUT', '/noted/a', { json: {} });
  await inBoth('noted');
  await until('it to be noted', async () => (await shown('noted')).ahead === 0);
  const asked = new Set<string>();
  line.proxy.faults = (method, path) => {
    // The mark is another matter.
    if (method !== 'GET' || !/^\/noted\/_local\/(?!causeway-)/.test(path) || asked.has(path))
      return undefined;
    asked.add(path);
    return refusal(404, 'not_found', 'missing');
  };
  const { last_synced: before } = await shown('noted');
  await sync('noted');
  await until('it to be in step again', async () => (await shown('noted')).last_synced !== before);
  expect(asked.size).toBe(2);
  expect((await shown('noted')).ahead).toBe(0);
});

test('what is deleted is deleted upstream, though it is missing there for a moment', async () => {
  await prepare('deleted');
  failing(MISSING, 1, (method) => method === 'DELETE');
  expect((await line.front.ask('DELETE', '/deleted')).status).toBe(200);
  expect((await line.back.ask('GET', '/deleted')).status).toBe(404);
});

test('a user gets their database, though it is missing for a moment', async () => {
  const path = `/userdb-${Buffer.from('eva').toString('hex')}`;
  const failures = failing(MISSING, 1, (method, at) => method === 'GET' && at === `${path}/_security`);
  await line.front.put('eva', { password: 'pear' });
  await until('the failure', () => failures() === 1);
  await until('it to be hers', async () => {
    const { body } = await line.back.ask('GET', `${path}/_security`);
    return (body as { members?: { names?: string[] } }).members?.names?.includes('eva');
  });
});

test('a security object that is set is not put back by a copy that was read before', async () => {
  await prepare('secured');
  line.gate.holds = (method, path, isClients) =>
    !isClients && method === 'GET' && path === '/secured/_security' && 'answer';
  await sync('secured');
  await until('it to be read', () => line.gate.waiting > 0);
  const members = { admins: { names: [], roles: [] }, members: { names: ['ann'], roles: [] } };
  expect((await line.front.ask('PUT', '/secured/_security', { json: members })).status).toBe(200);
  const { last_synced: before } = await shown('secured');
  line.gate.open();
  await until('it to be in step again', async () => (await shown('secured')).last_synced !== before);
  expect((await line.front.ask('GET', '/secured/_security')).body).toEqual(members);
});

import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { startUsers, type Users } from '../../auth/users/gateway.js';
import { type Fault, type FaultyProxy, startFaultyProxy } from '../../support/faulty-proxy.js';
import { until } from '../../system/support/wait.js';
import { linkOf } from '../pair.js';
import { contentOf, fill, mirroring } from './pair.js';

let back: Users;
let front: Users;
let proxy: FaultyProxy;

beforeAll(async () => {
  back = await startUsers();
  proxy = await startFaultyProxy(back.port);
  front = await startUsers(
    mirroring(`http://127.0.0.1:${proxy.port}/`, {
      // Nothing but what is tested here wakes a mirror.
      upstream: { pollInterval: 60_000, probeInterval: 200, mirrorIdle: 200 },
      databases: [
        { match: 'offline-*', mode: 'mirror', createOffline: true },
        { match: '*', mode: 'mirror' },
      ],
    }),
  );
  await seen();
});
beforeEach(async () => {
  proxy.faults = () => undefined;
  await seen();
});
afterAll(async () => {
  await front.stop();
  await proxy.close();
  await back.stop();
});

const seen = (): Promise<unknown> =>
  until('the upstream to be seen', async () => (await linkOf(front)).state === 'online');

interface Shown {
  readonly state: string;
}

const shown = async (name: string): Promise<Shown> =>
  (await front.ask('GET', `/_gateway/databases/${name}`)).body as Shown;

const answer = (status: number, error: string, reason: string): Fault => ({
  kind: 'answer',
  status,
  body: JSON.stringify({ error, reason }),
});

/** Something goes wrong with so many requests. @returns how many it went wrong with */
function failing(
  fault: Fault,
  times: number,
  isMeant: (method: string, path: string) => boolean,
): () => number {
  let count = 0;
  proxy.faults = (method, path) => (isMeant(method, path) && count < times ? (count++, fault) : undefined);
  return () => count;
}

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
    answer(401, 'unauthorized', 'Name or password is incorrect.'),
  ],
])('what is made while the upstream is away is made there, though %s', async (_, name, isMeant, fault) => {
  proxy.faults = () => answer(503, 'fault', 'injected');
  await front.ask('GET', '/');
  await until('the upstream to be lost', async () => (await linkOf(front)).state === 'offline');
  expect((await front.ask('PUT', `/${name}`)).status).toBe(201);
  const security = { admins: { names: [], roles: [] }, members: { names: ['ann'], roles: [] } };
  expect((await front.ask('PUT', `/${name}/_security`, { json: security })).status).toBe(200);
  await fill(front, name, 3);
  const failures = failing(fault, 1, isMeant);
  await until('the failure', () => failures() === 1);
  await until('all there', async () => Object.keys(await contentOf(back, name)).length === 3);
  expect((await back.ask('GET', `/${name}/_security`)).body).toEqual(security);
  await until('it to be well', async () => (await shown(name)).state === 'warm');
});

import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { startUsers, type Users } from '../../auth/users/gateway.js';
import { type FaultyProxy, startFaultyProxy } from '../../support/faulty-proxy.js';
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
  const upstream = { pollInterval: 50, longestRetry: 300_000 };
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

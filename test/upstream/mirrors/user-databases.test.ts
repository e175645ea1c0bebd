import { afterAll, beforeAll, expect, test } from 'vitest';
import { createLogger } from '../../../src/observe/log.js';
import { until } from '../../system/support/wait.js';
import { startUsers } from '../../auth/users/gateway.js';
import { startGate } from './gate.js';
import { type Mirrored, mirroring, startMirrored } from './pair.js';

let pair: Mirrored;
beforeAll(async () => {
  pair = await startMirrored({
    perUser: { enable: true, deleteDbs: true },
    databases: [
      { match: 'userdb-70726f78*', mode: 'proxy' },
      { match: 'userdb-6f6666*', mode: 'mirror', createOffline: true },
      { match: '*', mode: 'mirror' },
    ],
  });
});
afterAll(() => pair.stop());

const databaseOf = (user: string): string => `/userdb-${Buffer.from(user).toString('hex')}`;

const ownersAt = (side: 'front' | 'back', user: string): Promise<unknown> =>
  until(`the database of ${user} at the ${side}`, async () => {
    const { body } = await pair[side].ask('GET', `${databaseOf(user)}/_security`);
    const { members } = body as { members?: { names?: string[] } };
    return members?.names?.includes(user);
  });

test('a database of a user is made, secured and deleted upstream, too, also where that was away, over a restart', async () => {
  const users = ['jan', 'proxied', 'offline'];
  await pair.goAway();
  for (const user of users) await pair.front.put(user, { password: 'pear' });
  // The rule lets it be made here meanwhile.
  await ownersAt('front', 'offline');
  const written = { as: 'offline:pear', json: {} };
  expect((await pair.front.ask('PUT', `${databaseOf('offline')}/early`, written)).status).toBe(201);
  await pair.restart();
  await pair.comeBack();
  for (const user of users) {
    await ownersAt('back', user);
    await ownersAt('front', user);
    const { status } = await pair.front.ask('GET', `/_gateway/databases${databaseOf(user)}`);
    expect(status).toBe(200);
  }
  const { body } = await pair.front.ask('GET', `/_gateway/databases${databaseOf('jan')}`);
  expect(body).toMatchObject({ mode: 'mirror' });
  expect((body as { state: string }).state).toMatch(/^warm/);
  await until('what was written meanwhile', async () => {
    const { status } = await pair.back.ask('GET', `${databaseOf('offline')}/early`);
    return status === 200;
  });
  for (const user of users) {
    const { _rev } = await pair.front.read(user);
    await pair.front.ask('DELETE', `${pair.front.documentOf(user)}?rev=${String(_rev)}`);
    await until(`the database of ${user} to go`, async () => {
      const { status } = await pair.back.ask('GET', databaseOf(user));
      return status === 404;
    });
  }
});

test('an account that may make no databases is told of, once, and each is made when it may', async () => {
  const { back } = pair;
  await back.put('gate', { password: 'way' });
  const lines: string[] = [];
  const log = createLogger({ level: 'error' }, { write: (line: string) => void lines.push(line) });
  const upstream = { username: 'gate', password: 'way' };
  const values = mirroring(back.gateway.url, { upstream, perUser: { enable: true } });
  const front = await startUsers(values, undefined, { log });
  try {
    await front.put('lee', { password: 'pear' });
    await until('the refusal to be told', () => Promise.resolve(lines.length > 0));
    await front.put('moa', { password: 'pear' });
    await until('that of another one', () => Promise.resolve(lines.length > 1));
    expect(lines.map((line) => JSON.parse(line) as unknown)).toMatchObject(
      ['lee', 'moa'].map((user) => ({
        user,
        reason: expect.stringContaining('refuses this to the account of the gateway') as string,
      })),
    );
    expect((await front.ask('GET', databaseOf('lee'))).status).toBe(404);
    await back.ask('PUT', '/_node/_local/_config/admins/gate', { json: 'way' });
    for (const user of ['lee', 'moa']) await ownersAt('back', user);
    expect(lines).toHaveLength(2);
  } finally {
    await front.stop();
  }
});

test('a gateway stops while the upstream gives no answer about the database of a user', async () => {
  const gate = await startGate(pair.back.gateway.url);
  const front = await startUsers(mirroring(gate.url, { perUser: { enable: true } }));
  try {
    gate.holds = (method, path) => method === 'PUT' && path.startsWith(databaseOf('kim'));
    await front.put('kim', { password: 'pear' });
    await until('the upstream to be asked', () => Promise.resolve(gate.waiting > 0));
  } finally {
    await front.stop();
    expect(gate.waiting).toBe(1);
    gate.close();
  }
});

import { afterAll, beforeAll, expect, test } from 'vitest';
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

test('a database of a user is made, secured and deleted upstream, too, also where that was away', async () => {
  await pair.goAway();
  for (const user of ['jan', 'proxied']) await pair.front.put(user, { password: 'pear' });
  await pair.comeBack();
  for (const user of ['jan', 'proxied']) {
    await ownersAt('back', user);
    await ownersAt('front', user);
    const { status } = await pair.front.ask('GET', `/_gateway/databases${databaseOf(user)}`);
    expect(status).toBe(200);
  }
  const { body } = await pair.front.ask('GET', `/_gateway/databases${databaseOf('jan')}`);
  expect(body).toMatchObject({ mode: 'mirror' });
  expect((body as { state: string }).state).toMatch(/^warm/);
  for (const user of ['jan', 'proxied']) {
    const { _rev } = await pair.front.read(user);
    await pair.front.ask('DELETE', `${pair.front.documentOf(user)}?rev=${String(_rev)}`);
    await until(`the database of ${user} to go`, async () => {
      const { status } = await pair.back.ask('GET', databaseOf(user));
      return status === 404;
    });
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

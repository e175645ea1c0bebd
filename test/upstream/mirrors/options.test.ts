import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import { until } from '../../system/support/wait.js';
import { contentOf, fill, isHere, type Mirrored, startMirrored } from './pair.js';

let pair: Mirrored;
beforeAll(async () => {
  pair = await startMirrored({
    databases: [
      { match: 'pulled', mode: 'mirror', direction: 'pull' },
      { match: 'pushed', mode: 'mirror', direction: 'push' },
      { match: 'red', mode: 'mirror', selector: { color: 'red' } },
      { match: 'eager', mode: 'mirror', start: 'eager' },
      { match: 'offline-*', mode: 'mirror', createOffline: true },
      { match: '*', mode: 'mirror' },
    ],
  });
});
afterAll(() => pair.stop());

test('a mirror that is only pulled takes no documents of clients, and their checkpoints', async () => {
  const { front, back } = pair;
  await back.ask('PUT', '/pulled');
  await fill(back, 'pulled', 3);
  const refusal = { error: 'forbidden', reason: expect.stringContaining('the rule for pulled') as string };
  const early = await front.ask('PUT', '/pulled/a', { json: {} });
  expect([early.status, early.body]).toEqual([403, refusal]);
  await isHere(pair, 'pulled');
  const late = await front.ask('PUT', '/pulled/a', { json: {} });
  expect([late.status, late.body]).toEqual([403, refusal]);
  const bulk = await front.ask('POST', '/pulled/_bulk_docs', { json: { docs: [{ _id: 'a' }] } });
  expect([bulk.status, bulk.body]).toEqual([201, [{ id: 'a', ...refusal }]]);
  expect((await front.ask('PUT', '/pulled/_local/x', { json: {} })).status).toBe(201);
  await back.ask('PUT', '/pulled/more', { json: {} });
  await until('more', async () => 'more' in (await contentOf(front, 'pulled')));
});

test('a mirror that is only pushed is here at once, and gets nothing from the upstream', async () => {
  const { front, back } = pair;
  expect((await front.ask('PUT', '/pushed')).status).toBe(201);
  await back.ask('PUT', '/pushed/theirs', { json: {} });
  await fill(front, 'pushed', 3);
  await until('all there', async () => Object.keys(await contentOf(back, 'pushed')).length === 4);
  expect(Object.keys(await contentOf(front, 'pushed'))).toHaveLength(3);
});

test('a mirror of a part has what fits, and takes nothing else', async () => {
  const { front, back } = pair;
  await back.ask('PUT', '/red');
  await back.ask('PUT', '/red/apple', { json: { color: 'red' } });
  await back.ask('PUT', '/red/leaf', { json: { color: 'green' } });
  expect((await front.ask('GET', '/red/apple')).status).toBe(200);
  await isHere(pair, 'red');
  expect(Object.keys(await contentOf(front, 'red'))).toEqual(['apple']);
  expect((await front.ask('PUT', '/red/grass', { json: { color: 'green' } })).status).toBe(403);
  expect((await front.ask('PUT', '/red/cherry', { json: { color: 'red' } })).status).toBe(201);
  await until('it to go up', async () => 'cherry' in (await contentOf(back, 'red')));
  const { status, body } = await front.ask('DELETE', '/red');
  expect([status, body]).toMatchObject([403, { reason: expect.stringContaining('upstream') as string }]);
});

test('databases are only deleted where the configuration lets them, and all are listed', async () => {
  const { front, back } = pair;
  await back.ask('PUT', '/listed');
  expect((await front.ask('GET', '/_all_dbs')).body).toEqual(
    expect.arrayContaining(['listed', 'pulled', 'red']),
  );
  await front.ask('GET', '/listed');
  await isHere(pair, 'listed');
  const names = (await front.ask('GET', '/_all_dbs')).body as string[];
  expect(names.filter((name) => name === 'listed')).toEqual(['listed']);
  const { status, body } = await front.ask('DELETE', '/listed');
  expect([status, body]).toMatchObject([403, { reason: expect.stringContaining('allowDelete') as string }]);
  const { body: infos } = await front.ask('POST', '/_dbs_info', { json: { keys: ['listed', 'nowhere'] } });
  expect(infos).toMatchObject([{ key: 'listed', info: { db_name: 'listed' } }, { error: 'not_found' }]);
});

test('rights are those of the upstream, before the mirror is here and after', async () => {
  const { front, back } = pair;
  await front.put('ann', { password: 'pear' });
  await back.ask('PUT', '/secret');
  await back.ask('PUT', '/secret/_security', { json: { members: { names: ['somebody'] } } });
  expect((await front.ask('GET', '/secret', { as: 'ann:pear' })).status).toBe(403);
  expect((await front.ask('GET', '/secret')).status).toBe(200);
  await isHere(pair, 'secret');
  expect((await front.ask('GET', '/secret', { as: 'ann:pear' })).status).toBe(403);
  const open = { json: { members: { names: ['ann'] } } };
  expect((await front.ask('PUT', '/secret/_security', open)).status).toBe(200);
  expect((await front.ask('GET', '/secret', { as: 'ann:pear' })).status).toBe(200);
  expect((await back.ask('GET', '/secret/_security')).body).toEqual(open.json);
});

test('what is made while the upstream is away is made there when it is back, and an eager mirror by itself', async () => {
  const { back } = pair;
  await back.ask('PUT', '/eager');
  await fill(back, 'eager', 2);
  await pair.goAway();
  const refused = await pair.front.ask('PUT', '/other');
  expect([refused.status, Number(refused.headers['retry-after']) > 0]).toEqual([503, true]);
  expect((await pair.front.ask('PUT', '/offline-a')).status).toBe(201);
  await fill(pair.front, 'offline-a', 3);
  expect((await pair.front.ask('PUT', '/offline-a')).status).toBe(412);
  await pair.restart();
  await pair.comeBack();
  await until('all there', async () => Object.keys(await contentOf(pair.back, 'offline-a')).length === 3);
  await pair.back.ask('PUT', '/offline-a/later', { json: {} });
  await until('the way back', async () => 'later' in (await contentOf(pair.front, 'offline-a')));
  await until('the eager one', async () => {
    const lives = await Promise.all([pair.front, pair.back].map((server) => server.ask('GET', '/eager')));
    const [one, other] = lives.map(
      ({ body }) => (body as { instance_start_time: string }).instance_start_time,
    );
    return one !== other;
  });
});

test('who may use a database is followed while somebody uses it all the time', async () => {
  const busy = await startMirrored({ upstream: { pollInterval: 200 } });
  onTestFinished(() => busy.stop());
  const { front, back } = busy;
  await back.ask('PUT', '/shared');
  await back.ask('PUT', '/shared/_security', { json: { members: { roles: [] } } });
  await isHere(busy, 'shared');
  const asked = async (): Promise<number> => (await front.ask('GET', '/shared', { as: null })).status;
  await until('everybody to be let in', async () => (await asked()) === 200);
  await until('all to have flowed', async () => {
    const { body } = await front.ask('GET', '/_gateway/databases/shared');
    return (body as { last_synced: string | null }).last_synced !== null;
  });
  for (const [roles, status] of [
    [['crew'], 401],
    [[], 200],
    [['crew'], 401],
  ] as const) {
    await back.ask('PUT', '/shared/_security', { json: { members: { roles } } });
    await until(`the answer ${status}`, async () => (await asked()) === status);
  }
});

import { afterAll, beforeAll, expect, test } from 'vitest';
import { openDatabases } from '../../support/store.js';
import { until } from '../../system/support/wait.js';
import { fill, isHere, type Mirrored, startMirrored } from './pair.js';

let both: Mirrored;

beforeAll(async () => {
  both = await startMirrored({ upstream: { pollInterval: 500 } });
});
afterAll(() => both.stop());

const REV = '2-a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2';

/** Sends one and the same revision, as a replication does. */
const send = async (name: string): Promise<unknown> => {
  const docs = [{ _id: 'a', _rev: REV, _revisions: { start: 2, ids: [REV.slice(2), 'a1'] } }];
  return (await both.front.ask('POST', `/${name}/_bulk_docs`, { json: { docs, new_edits: false } })).status;
};

const act = (name: string, action: string): Promise<unknown> =>
  both.front.ask('POST', `/_gateway/databases/${name}/${action}`, { json: {} });

const purge = async (server: Mirrored['front'], name: string, id: string, rev: string): Promise<number> =>
  (await server.ask('POST', `/${name}/_purge`, { json: { [id]: [rev] } })).status;

interface Shown {
  readonly ahead: number;
  readonly rejections: number;
  readonly last_synced: string | null;
}

const shown = async (name: string): Promise<Shown> =>
  (await both.front.ask('GET', `/_gateway/databases/${name}`)).body as Shown;

/** Has a new session run to its end. */
async function runAnew(name: string): Promise<void> {
  const { last_synced: before } = await shown(name);
  await act(name, 'sync');
  await until('another session', async () => (await shown(name)).last_synced !== before);
}

async function prepare(name: string): Promise<void> {
  await both.back.ask('PUT', `/${name}`);
  await fill(both.back, name, 3);
  await isHere(both, name);
}

const statusOf = async (server: Mirrored['front'], name: string): Promise<number> =>
  (await server.ask('GET', `/${name}/a`)).status;

test('I1: what is sent again after it was purged through the gateway stays, whatever is purged upstream, and is told', async () => {
  await prepare('again');
  expect(await send('again')).toBe(201);
  await until('it to be upstream', async () => (await statusOf(both.back, 'again')) === 200);
  expect(await purge(both.front, 'again', 'a', REV)).toBe(201);
  expect([await statusOf(both.front, 'again'), await statusOf(both.back, 'again')]).toEqual([404, 404]);
  await act('again', 'pause');
  expect(await send('again')).toBe(201);
  await both.restart();
  expect(await statusOf(both.front, 'again')).toBe(200);
  await act('again', 'resume');
  await until('it to be told', async () => (await shown('again')).rejections === 1);
  expect(await statusOf(both.front, 'again')).toBe(200);
  // Nothing waits any more, and the list of purges that is read now has this one, too.
  expect(await purge(both.back, 'again', 'none', '1-n')).toBe(201);
  await until('nothing to wait', async () => (await shown('again')).ahead === 0);
  await runAnew('again');
  expect(await statusOf(both.front, 'again')).toBe(200);
  expect(
    (await both.front.ask('POST', '/_gateway/databases/again/rejections/a/retry', { json: {} })).status,
  ).toBe(200);
  expect(await statusOf(both.back, 'again')).toBe(200);
});

test('I4: what was sent before a crash does not stay when it is purged upstream, though nobody could note that it was', async () => {
  await prepare('noted');
  expect(await send('noted')).toBe(201);
  await until('it to be upstream', async () => (await statusOf(both.back, 'noted')) === 200);
  await until('nothing to wait', async () => (await shown('noted')).ahead === 0);
  await both.front.stop();
  const databases = await openDatabases(both.front.folder);
  await databases.use('noted', (db) => db.unsent.voidAll());
  await databases.close();
  expect(await purge(both.back, 'noted', 'a', REV)).toBe(201);
  await both.restart();
  await until('it to be gone', async () => (await statusOf(both.front, 'noted')) === 404);
  expect(await shown('noted')).toMatchObject({ ahead: 0, rejections: 0 });
});

import { afterAll, beforeAll, expect, onTestFinished, test, vi } from 'vitest';
import { Purging } from '../../../src/conflicts/purging.js';
import { until } from '../../system/support/wait.js';
import { startUsers, type Users } from '../../auth/users/gateway.js';
import { startRecorder } from './recorder.js';
import { linkOf } from '../pair.js';
import { isHere, type Mirrored, mirroring, startMirrored, type Values } from '../mirrors/pair.js';

/** A change of it has everything looked at anew; no branch is younger. */
const conflicts: NonNullable<Values['conflicts']> = {};
const merging = (own: typeof conflicts): Values => ({
  upstream: { pollInterval: 500 },
  databases: [{ match: '*', mode: 'mirror', merge: { function: 'three-way', fields: { '/n': 'counter' } } }],
  journal: { minAge: 0 },
  conflicts: own,
});

let both: Mirrored;
beforeAll(async () => {
  both = await startMirrored(merging(conflicts));
});
afterAll(() => both.stop());

type Server = Pick<Users, 'ask'>;

const docs = (id: string, line: readonly string[], n: number): object => ({
  _id: id,
  _revisions: { start: line.length, ids: line },
  n,
});

async function write(server: Server, name: string, ...all: object[]): Promise<void> {
  const { status, body } = await server.ask('POST', `/${name}/_bulk_docs`, {
    json: { docs: all, new_edits: false },
  });
  expect([status, body]).toEqual([201, []]);
}

async function leaves(server: Server, name: string, id = 'a'): Promise<readonly string[]> {
  const { body } = await server.ask('GET', `/${name}/${id}?open_revs=all&revs=true`);
  return (body as { ok: { _rev: string; _deleted?: true } }[])
    .map(({ ok }) => `${ok._rev.slice(0, 8)}${ok._deleted === true ? ' deleted' : ''}`)
    .sort();
}

const shown = async (server: Server, name: string): Promise<{ branches: number; refused: string | null }> => {
  const { body } = await server.ask('GET', `/_gateway/databases/${name}`);
  return (body as { conflicts: { purged: { branches: number; refused: string | null } } }).conflicts.purged;
};

const MERGED = ['3-c0a1e5', '3-c105ed deleted'];
const ALONE = ['3-c0a1e5'];

const have = (server: Server, name: string, expected: readonly string[], id = 'a'): Promise<unknown> =>
  until(expected.join(), async () => (await leaves(server, name, id)).join() === expected.join());

const isSettled = (server: Server, name: string): Promise<unknown> =>
  until('everything to be upstream', async () => {
    const { body } = await server.ask('GET', `/_gateway/databases/${name}`);
    const { state, ahead } = body as { state: string; ahead: number };
    return state === 'warm' && ahead === 0;
  });

async function lastSynced(name: string): Promise<string | null> {
  const { body } = await both.front.ask('GET', `/_gateway/databases/${name}`);
  return (body as { last_synced: string | null }).last_synced;
}

/** A document that the gateway has merged, here and there. */
async function merged(name: string, ...ids: string[]): Promise<void> {
  await both.back.ask('PUT', `/${name}`);
  for (const id of ids) await write(both.back, name, docs(id, ['a', 'o'], 1), docs(id, ['b', 'o'], 1));
  await isHere(both, name);
  for (const id of ids) {
    await have(both.front, name, MERGED, id);
    await have(both.back, name, MERGED, id);
  }
  await isSettled(both.front, name);
}

let days = 0;
/** Has what is due purged. */
async function purge(front: Users = both.front, own = conflicts): Promise<void> {
  own.purgeResolvedAfter = ++days / 1e9;
  await front.gateway.reload();
}

test('branches go upstream, here, and from other mirrors of it', async () => {
  await merged('everywhere', 'a', 'b');
  const other = await startUsers(mirroring(both.back.gateway.url, merging({})));
  try {
    await isHere({ front: other, back: both.back }, 'everywhere');
    await have(other, 'everywhere', MERGED);
    await purge();
    for (const server of [both.front, both.back, other]) {
      await have(server, 'everywhere', ALONE);
      await have(server, 'everywhere', ALONE, 'b');
    }
    expect(await shown(both.front, 'everywhere')).toEqual({ branches: 2, refused: null });
    expect(await shown(other, 'everywhere')).toEqual({ branches: 0, refused: null });
    const { body } = await both.front.ask('GET', '/_gateway/status');
    expect(body).toMatchObject({ conflicts: { purged: { branches: 2, refused: 0 } } });
  } finally {
    await other.stop();
  }
});

test('views and feeds show the document as it was, and feeds show it once more', async () => {
  await merged('shown', 'a');
  const map = 'function (doc) { emit(doc.n, null); }';
  await both.front.ask('PUT', '/shown/_design/d', { json: { views: { v: { map } } } });
  const rows = async (): Promise<unknown> => {
    const { body } = await both.front.ask('GET', '/shown/_design/d/_view/v');
    return (body as { rows: unknown }).rows;
  };
  const before = await rows();
  await isSettled(both.front, 'shown');
  const { body } = await both.front.ask('GET', '/shown');
  const { update_seq: since } = body as { update_seq: string };
  await purge();
  await have(both.front, 'shown', ALONE);
  expect(before).toMatchObject([{ id: 'a', key: 1 }]);
  expect(await rows()).toEqual(before);
  const feed = await both.front.ask('GET', `/shown/_changes?style=all_docs&since=${since}`);
  expect(feed.body).toMatchObject({ results: [{ id: 'a', changes: [{}] }] });
});

test('a leaf that a client brings again goes up, and is told from a conflict there too', async () => {
  await merged('again', 'a');
  await purge();
  await have(both.back, 'again', ALONE);
  // Directly, so that the upstream has it before the gateway can do anything about it.
  await write(both.back, 'again', docs('a', ['a', 'o'], 1));
  for (const server of [both.front, both.back]) await have(server, 'again', MERGED);
  await isSettled(both.front, 'again');
  const { body } = await both.front.ask('GET', '/_gateway/databases/again');
  expect(body).toMatchObject({ rejections: 0, conflicts: { total: 0 } });
});

test('tombstones that a client brings again are harmless, and refused by nobody', async () => {
  await merged('replica', 'a');
  const { body } = await both.front.ask('GET', '/replica/a?open_revs=all&revs=true');
  const all = (body as { ok: object }[]).map(({ ok }) => ok);
  await purge();
  await have(both.back, 'replica', ALONE);
  await have(both.front, 'replica', ALONE);
  await write(both.front, 'replica', ...all);
  await have(both.back, 'replica', MERGED);
  await isSettled(both.front, 'replica');
  expect((await both.front.ask('GET', '/_gateway/databases/replica')).body).toMatchObject({ rejections: 0 });
  expect(await shown(both.front, 'replica')).toMatchObject({ branches: 1 });
});

/** Has what is due of a database looked at, from the beginning to the end. */
async function looked(name: string): Promise<void> {
  const looks = vi.spyOn(Purging.prototype, 'purge');
  onTestFinished(() => looks.mockRestore());
  await purge();
  await until('a look', () =>
    looks.mock.calls.some(
      ([db], at) => db.name === name && looks.mock.settledResults[at]?.type === 'fulfilled',
    ),
  );
  looks.mockRestore();
}

test('nothing is purged while the upstream is away, or the document has not gone up', async () => {
  await merged('away', 'a', 'b');
  await both.goAway();
  await looked('away');
  expect(await leaves(both.front, 'away')).toEqual(MERGED);
  await both.comeBack();
  // It is as it was while the upstream is away, too.
  await until('the upstream to be seen', async () => (await linkOf(both.front)).state === 'online');
  await both.front.ask('POST', '/_gateway/databases/away/pause', { json: {} });
  await looked('away');
  expect(await leaves(both.front, 'away')).toEqual(MERGED);
  const before = await lastSynced('away');
  await both.front.ask('POST', '/_gateway/databases/away/resume', { json: {} });
  await until('it to be in step', async () => (await lastSynced('away')) !== before);
  await isSettled(both.front, 'away');
  await purge();
  for (const server of [both.front, both.back]) await have(server, 'away', ALONE);
});

test('a document that has not gone up keeps its branches, and others do not wait for it', async () => {
  const recorder = await startRecorder(both.back.gateway.url);
  const own: typeof conflicts = {};
  const front = await startUsers(mirroring(recorder.url, merging(own)));
  try {
    await both.back.ask('PUT', '/waiting');
    for (const id of ['a', 'b'])
      await write(both.back, 'waiting', docs(id, ['a', 'o'], 1), docs(id, ['b', 'o'], 1));
    await isHere({ front, back: both.back }, 'waiting');
    for (const id of ['a', 'b']) await have(both.back, 'waiting', MERGED, id);
    await isSettled(front, 'waiting');
    recorder.holds = ({ revs }) => revs.some((text) => text.startsWith('a '));
    const { body } = await front.ask('GET', '/waiting/a');
    await front.ask('PUT', '/waiting/a', { json: { ...(body as object), n: 5 } });
    await until('the edit on its way', () => recorder.waiting > 0);
    await purge(front, own);
    for (const server of [front, both.back]) await have(server, 'waiting', ALONE, 'b');
    expect(await leaves(front, 'waiting')).toHaveLength(2);
    expect(await leaves(both.back, 'waiting')).toEqual(MERGED);
  } finally {
    await front.stop();
    recorder.close();
  }
});

test('an account that may not purge has nothing purged, which is said', async () => {
  await both.back.put('worker', { password: 'secret' });
  await both.back.ask('PUT', '/forbidden');
  await both.back.ask('PUT', '/forbidden/_security', { json: { admins: { names: ['worker'] } } });
  const own: typeof conflicts = {};
  const { upstream, ...values } = mirroring(both.back.gateway.url, merging(own));
  const front = await startUsers({ ...values, upstream: { ...upstream, username: 'worker' } });
  try {
    await write(both.back, 'forbidden', docs('a', ['a', 'o'], 1), docs('a', ['b', 'o'], 1));
    await isHere({ front, back: both.back }, 'forbidden');
    await have(both.back, 'forbidden', MERGED);
    await isSettled(front, 'forbidden');
    await purge(front, own);
    await until('the refusal', async () => (await shown(front, 'forbidden')).refused !== null);
    expect((await shown(front, 'forbidden')).refused).toContain('The upstream refuses this');
    expect(await leaves(front, 'forbidden')).toEqual(MERGED);
    expect(await leaves(both.back, 'forbidden')).toEqual(MERGED);
  } finally {
    await front.stop();
  }
});

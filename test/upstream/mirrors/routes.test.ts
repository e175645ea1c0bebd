import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Answer } from '../../auth/users/gateway.js';
import { runProgram } from '../../support/server.js';
import { until } from '../../system/support/wait.js';
import { contentOf, fill, isHere, type Mirrored, startMirrored } from './pair.js';

/** Refuses what is bad, in the words of the document. */
const JUDGE = { validate_doc_update: 'function (doc) { if (doc.bad) throw { forbidden: doc.bad }; }' };

let pair: Mirrored;
beforeAll(async () => {
  pair = await startMirrored({
    upstream: { pollInterval: 200 },
    databases: [
      { match: 'local', mode: 'local' },
      { match: '*', mode: 'mirror' },
    ],
  });
  for (const server of [pair.front, pair.back]) await server.put('jan', { password: 'pw' });
});
afterAll(() => pair.stop());

const placeOf = (name: string, more = ''): string => `/_gateway/databases/${encodeURIComponent(name)}${more}`;
const get = async (name: string, more = '', as = 'admin:secret'): Promise<Answer> =>
  pair.front.ask('GET', placeOf(name, more), { as });
const post = (name: string, more: string): Promise<Answer> =>
  pair.front.ask('POST', placeOf(name, more), { json: {} });

/** A database that is mirrored, with some documents. */
async function mirrored(name: string): Promise<string> {
  const { front, back } = pair;
  await back.ask('PUT', `/${encodeURIComponent(name)}`);
  await back.ask('PUT', `/${encodeURIComponent(name)}/_security`, { json: { members: { names: ['jan'] } } });
  await fill(back, encodeURIComponent(name), 3);
  await front.ask('GET', `/${encodeURIComponent(name)}`);
  await isHere(pair, encodeURIComponent(name));
  return name;
}

/** While the upstream is away. */
async function away<T>(work: () => Promise<T>): Promise<T> {
  await pair.goAway();
  try {
    return await work();
  } finally {
    await pair.comeBack();
  }
}

async function put(name: string, id: string, json: object = {}): Promise<{ rev: string; seq: string }> {
  const path = encodeURIComponent(name);
  const { status, body } = await pair.front.ask('PUT', `/${path}/${id}`, { json });
  expect(status, JSON.stringify(body)).toBe(201);
  const info = await pair.front.ask('GET', `/${path}`);
  return { rev: (body as { rev: string }).rev, seq: (info.body as { update_seq: string }).update_seq };
}

const state = async (name: string): Promise<unknown> => ((await get(name)).body as { state: string }).state;

describe('a mirror', () => {
  test('is shown with its figures, also one with a slash in its name, in the list and in the status', async () => {
    const name = await mirrored('shown/one');
    await until('it to be warm', async () => (await state(name)) === 'warm');
    await until('it to have nothing left', async () => {
      const { ahead, behind } = (await get(name)).body as { ahead: number; behind: number | null };
      return ahead === 0 && behind === 0;
    });
    expect(await get(name)).toMatchObject({
      status: 200,
      body: {
        mode: 'mirror',
        name,
        warm: true,
        reason: null,
        upstream: null,
        oldest_unsent: null,
        oldest_unsent_age: null,
        rejections: 0,
        pull: { documents: 3, seconds_left: 0 },
        push: { documents: 0, seconds_left: 0 },
      },
    });
    const { body } = await pair.front.ask('GET', '/_gateway/databases?limit=1000&state=warm');
    expect((body as { databases: { name: string }[] }).databases.map((one) => one.name)).toContain(name);
    expect((await pair.front.ask('GET', '/_gateway/databases?limit=0')).body).toMatchObject({
      databases: [],
    });
    // One that is misspelt is no list without rows.
    expect(await pair.front.ask('GET', '/_gateway/databases?state=wram')).toMatchObject({
      status: 400,
      body: {
        reason: expect.stringMatching(/^state must be one of warming, warm, failing, paused, /) as string,
      },
    });
    const status = await pair.front.ask('GET', '/_gateway/status');
    expect(status.body).toMatchObject({
      mirrors: {
        states: { warm: expect.any(Number) as number },
        changes_noticed: { by: 'polls', reason: expect.stringContaining('_global_changes') as string },
      },
    });
  });

  test('is none where a database is local, or nowhere', async () => {
    await pair.front.ask('PUT', '/local');
    expect(await get('local')).toMatchObject({ status: 200, body: { name: 'local', mode: 'local' } });
    expect((await get('local', '/pending')).status).toBe(404);
    expect((await post('local', '/pause')).status).toBe(404);
    expect((await get('nowhere', '', 'jan:pw')).status).toBe(404);
  });

  test('is none of the local databases that the status counts', async () => {
    const counted = async (): Promise<unknown> =>
      ((await pair.front.ask('GET', '/_gateway/status')).body as { databases: unknown }).databases;
    const before = await counted();
    await mirrored('uncounted');
    expect(await counted()).toEqual(before);
  });

  test('can be paused, resumed and compared as a whole', async () => {
    const name = await mirrored('paused');
    expect(await post(name, '/pause')).toMatchObject({ status: 200, body: { ok: true } });
    await put(name, 'waits');
    expect(await state(name)).toBe('paused');
    expect(await contentOf(pair.back, name)).not.toHaveProperty('waits');
    await post(name, '/resume');
    await until('it to go up', async () => 'waits' in (await contentOf(pair.back, name)));
    expect((await post(name, '/resync')).status).toBe(200);
    expect((await post(name, '/sync')).status).toBe(200);
    await until('it to be warm', async () => (await state(name)) === 'warm');
  });

  test('is dropped only where nothing waits, or by force; a detached one is local', async () => {
    const name = await mirrored('dropped');
    await post(name, '/pause');
    await put(name, 'waits');
    expect(await post(name, '/evict')).toMatchObject({
      status: 409,
      body: { reason: expect.stringMatching(/have not gone upstream \(1\)/) as string },
    });
    expect(await post(name, '/evict?force=maybe')).toMatchObject({ status: 400 });
    expect((await post(name, '/evict?force=true')).status).toBe(200);
    await isHere(pair, name);
    expect(await contentOf(pair.front, name)).not.toHaveProperty('waits');
    await until('it to be warm', async () => (await state(name)) === 'warm');
    expect((await post(name, '/detach')).status).toBe(200);
    expect((await get(name)).body).toMatchObject({ name, mode: 'local' });
  });
});

/** What a list of mirrors says, or a status of them. */
interface Shown {
  readonly mirrors?: Shown;
  readonly databases?: readonly { readonly name: string }[];
}

describe('an app can ask what is upstream', () => {
  test('by a sequence or a revision, and wait for it', async () => {
    const name = await mirrored('asked');
    const written = await away(async () => {
      const { seq, rev } = await put(name, 'mine');
      const ask = async (query: string): Promise<unknown> =>
        (await get(name, `/synced?${query}`, 'jan:pw')).body;
      expect(await ask(`seq=${seq}`)).toEqual({
        synced: false,
        ahead: 1,
        rejected: 0,
        reason: expect.stringMatching(/^the upstream is offline since .*Z$/) as string,
      });
      expect(await ask(`id=mine&rev=${rev}`)).toMatchObject({ synced: false });
      expect(await ask(`seq=${seq}&timeout=50`)).toMatchObject({ synced: false });
      // What was there before is upstream, but not what was written over meanwhile.
      const [, earlier = ''] = /^(\d+)-/.exec(seq) ?? [];
      const before = `${Number(earlier) - 1}${seq.slice(earlier.length)}`;
      expect(await ask(`seq=${before}`)).toMatchObject({ synced: true, ahead: 1 });
      await put(name, 'mine', { _rev: rev, again: true });
      expect(await ask(`seq=${seq}`)).toMatchObject({ synced: false, ahead: 1 });
      const pending = await get(name, '/pending', 'jan:pw');
      expect(pending.body).toMatchObject({ total: 1, operations: [], next: null, pending: [{ id: 'mine' }] });
      const absence = { state: 'offline', since: expect.stringMatching(/Z$/) as string };
      for (const path of ['/_gateway/databases?limit=1000', '/_gateway/status']) {
        const shown = (await pair.front.ask('GET', path)).body as Shown;
        const { databases } = shown.mirrors ?? shown;
        expect(databases?.find((one) => one.name === name)).toMatchObject({
          state: 'warm',
          upstream: absence,
        });
      }
      const figures = await get(name);
      expect(figures.body).toMatchObject({
        state: 'warm',
        upstream: absence,
        ahead: 1,
        oldest_unsent: expect.stringMatching(/Z$/) as string,
        push: { seconds_left: null },
      });
      return { seq, rev };
    });
    const waited = await get(name, `/synced?seq=${written.seq}&timeout=30000`, 'jan:pw');
    expect(waited.body).toMatchObject({ synced: true });
    expect((await get(name, `/synced?id=mine&rev=${written.rev}`)).body).toMatchObject({ synced: true });
    expect(await contentOf(pair.back, name)).toHaveProperty('mine');
  });

  test('and is not told that it is for a sequence of somebody else, or what is no question', async () => {
    const name = await mirrored('strange');
    expect((await get(name, '/synced?seq=1-ffffffffffff&timeout=20')).body).toMatchObject({ synced: false });
    expect((await get(name, '/synced?seq=nonsense')).status).toBe(400);
    expect((await get(name, '/synced')).status).toBe(400);
    expect((await get(name, '/synced?id=d0')).status).toBe(400);
    expect((await get(name, '/synced?id=d0&rev=9-none')).status).toBe(404);
  });

  test('what waits is listed in pages, the oldest first', async () => {
    const name = await mirrored('pages');
    await post(name, '/pause');
    for (const id of ['a', 'b', 'c']) await put(name, id);
    const first = (await get(name, '/pending?limit=2')).body as { next: number; pending: { id: string }[] };
    expect(first.pending.map(({ id }) => id)).toEqual(['a', 'b']);
    const second = (await get(name, `/pending?limit=2&start=${first.next}`)).body;
    expect(second).toMatchObject({ total: 3, next: null, pending: [{ id: 'c' }] });
  });
});

describe('what the upstream refuses (I6)', () => {
  test('is listed, is not synced, keeps the mirror here, and can be tried again or dropped', async () => {
    const name = await mirrored('refused');
    const judge = await pair.back.ask('PUT', `/${name}/_design/judge`, { json: JUDGE });
    await until(
      'the judge to be here',
      async () => (await pair.front.ask('GET', `/${name}/_design/judge`)).status === 200,
    );
    // Here nobody judges any more.
    await post(name, '/pause');
    const { rev } = judge.body as { rev: string };
    await pair.front.ask('DELETE', `/${name}/_design/judge?rev=${rev}`);
    const bad = await put(name, 'bad', { bad: 'never' });
    await put(name, 'worse', { bad: 'no' });
    await pair.back.ask('PUT', `/${name}/_design/judge`, { json: { ...JUDGE, _rev: rev, newer: true } });
    await post(name, '/resume');
    interface Listed {
      total: number;
      rejections: { id: string; reason: string }[];
    }
    const listed = async (): Promise<Listed> => (await get(name, '/rejections')).body as Listed;
    await until('both to be refused', async () => (await listed()).total === 2);
    await until('them to be passed', async () => ((await get(name)).body as { ahead: number }).ahead === 0);
    expect((await listed()).rejections).toMatchObject([
      { id: 'bad', reason: 'never', status: 403 },
      { id: 'worse', reason: 'no' },
    ]);
    expect((await get(name, `/synced?seq=${bad.seq}`)).body).toMatchObject({ synced: false, rejected: 2 });
    expect((await get(name, `/synced?id=bad&rev=${bad.rev}`)).body).toMatchObject({ synced: false });
    expect((await get(name)).body).toMatchObject({ rejections: 2 });
    expect((await post(name, '/evict')).status).toBe(409);
    expect(await post(name, '/rejections/bad/retry')).toMatchObject({
      status: 200,
      body: { ok: false, rejections: [{ id: 'bad' }] },
    });
    expect((await post(name, '/rejections/other/retry')).status).toBe(404);
    expect((await get(name, '/rejections', 'jan:pw')).status).toBe(403);
    const drop = (): Promise<Answer> => pair.front.ask('DELETE', placeOf(name, '/rejections/worse'));
    expect([(await drop()).status, (await drop()).status]).toEqual([200, 404]);
    expect((await listed()).total).toBe(1);
  });
});

test('the commands show and do the same', async () => {
  const name = await mirrored('commanded');
  const env = { CAUSEWAY_PASSWORD: 'secret' };
  const run = (...args: string[]) => runProgram([...args, '--url', pair.front.gateway.url], { env });
  const status = await run('status');
  expect(status.stdout).toMatch(/\d+ mirrors: .*; changes are noticed by polls \(/);
  await post(name, '/pause');
  expect((await run('mirror', 'list')).stdout).toMatch(
    /^mirror +state +ahead +behind +reason\n[^]*commanded +paused +0/m,
  );
  expect((await run('mirror', 'show', name)).stdout).toContain('"state": "paused"');
  expect(await run('mirror', 'pause', 'nowhere')).toMatchObject({ code: 66 });
  await put(name, 'waits');
  expect(await run('mirror', 'evict', name)).toMatchObject({
    code: 1,
    stderr: expect.stringContaining('have not gone upstream') as string,
  });
  expect(await run('mirror', 'resume', name)).toMatchObject({ code: 0, stdout: 'commanded goes on\n' });
}, 60_000);

import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startUsers, type Users } from '../../auth/users/gateway.js';
import { startApp, type TestApp } from '../../http/app.js';
import { until } from '../../system/support/wait.js';
import { detach, evict, pullAnew, pushAll, resync } from '../../../src/upstream/mirrors/choices.js';
import type { Mirror } from '../../../src/upstream/mirrors/mirror.js';
import { contentOf, fill, mirroring } from './pair.js';

let back: Users;
let app: TestApp;
let front: Pick<Users, 'ask'>;

beforeAll(async () => {
  back = await startUsers();
  app = await startApp(mirroring(back.gateway.url, { upstream: { allowDelete: true } }));
  front = {
    async ask(method, url, asking) {
      const { status, text } = await app.request(method, url, { json: asking?.json });
      return { status, headers: {}, body: text === '' ? '' : (JSON.parse(text) as unknown) };
    },
  };
  await until('the upstream to be seen', () => app.upstream.isOnline);
});
afterAll(async () => {
  await app.stop();
  await back.stop();
});

function mirrorOf(name: string): Mirror {
  const mirror = app.mirrors.get(name);
  if (mirror === undefined) throw new Error('no such mirror');
  return mirror;
}

/** A database in both places, in step. */
async function prepare(name: string): Promise<void> {
  expect((await front.ask('PUT', `/${name}`)).status).toBe(201);
  expect((await back.ask('GET', `/${name}`)).status).toBe(200);
  await fill(front, name, 3);
  await until('all there', async () => Object.keys(await contentOf(back, name)).length === 3);
  await until('all sent', async () => (await mirrorOf(name).status()).ahead === 0);
}

const become = (name: string, state: string): Promise<unknown> =>
  until(state, () => app.mirrors.get(name)?.standing.state === state);

/** Has the mirror find out what became of the upstream database. */
async function write(name: string, id: string): Promise<void> {
  expect((await front.ask('PUT', `/${name}/${id}`, { json: {} })).status).toBe(201);
}

describe('a database that was deleted upstream', () => {
  test('is kept, not made anew by itself, and made again where an admin says so', async () => {
    await prepare('gone');
    await back.ask('DELETE', '/gone');
    await write('gone', 'more');
    await become('gone', 'upstream-missing');
    expect((await front.ask('GET', '/gone/d1')).status).toBe(200);
    await write('gone', 'even-more');
    expect((await back.ask('GET', '/gone')).status).toBe(404);
    await pushAll(mirrorOf('gone'));
    await until('all there', async () => Object.keys(await contentOf(back, 'gone')).length === 5);
  });

  test('is made again for those who may use it here', async () => {
    await prepare('shared');
    const security = { admins: { names: [], roles: [] }, members: { names: ['ann'], roles: [] } };
    expect((await front.ask('PUT', '/shared/_security', { json: security })).status).toBe(200);
    await back.ask('DELETE', '/shared');
    await write('shared', 'more');
    await become('shared', 'upstream-missing');
    await pushAll(mirrorOf('shared'));
    await until('all there', async () => Object.keys(await contentOf(back, 'shared')).length === 4);
    expect((await back.ask('GET', '/shared/_security')).body).toEqual(security);
    expect((await front.ask('GET', '/shared/_security')).body).toEqual(security);
  });

  test('is not purged, or secured, here alone', async () => {
    await prepare('undecided');
    await back.ask('DELETE', '/undecided');
    await write('undecided', 'more');
    await become('undecided', 'upstream-missing');
    const [content, security] = [await contentOf(front, 'undecided'), '/undecided/_security'];
    const { body: before } = await front.ask('GET', security);
    const refused = {
      status: 409,
      body: {
        error: 'conflict',
        reason: 'There is no such database upstream. What becomes of the mirror is to be decided first.',
      },
    };
    const purge = { json: { d1: [content.d1] } };
    expect(await front.ask('POST', '/undecided/_purge', purge)).toMatchObject(refused);
    const members = { json: { members: { names: ['ann'], roles: [] } } };
    expect(await front.ask('PUT', security, members)).toMatchObject(refused);
    expect(await contentOf(front, 'undecided')).toEqual(content);
    expect((await front.ask('GET', security)).body).toEqual(before);
    await detach(mirrorOf('undecided'));
    expect((await front.ask('POST', '/undecided/_purge', purge)).status).toBe(201);
    expect((await front.ask('PUT', security, members)).status).toBe(200);
  });

  test('may be local from then on', async () => {
    await prepare('detached');
    await back.ask('DELETE', '/detached');
    await write('detached', 'more');
    await become('detached', 'upstream-missing');
    await detach(mirrorOf('detached'));
    await back.ask('PUT', '/detached');
    await write('detached', 'last');
    expect(Object.keys(await contentOf(front, 'detached'))).toHaveLength(5);
    expect(app.mirrors.get('detached')).toBeUndefined();
    expect(await contentOf(back, 'detached')).toEqual({});
    expect((await front.ask('DELETE', '/detached')).status).toBe(200);
  });
});

describe('a database that was made anew upstream', () => {
  async function replace(name: string): Promise<void> {
    await prepare(name);
    await back.ask('DELETE', `/${name}`);
    await back.ask('PUT', `/${name}`);
    await back.ask('PUT', `/${name}/new`, { json: {} });
    await write(name, 'unsent');
    await become(name, 'upstream-replaced');
    expect(Object.keys(await contentOf(back, name))).toEqual(['new']);
    expect(Object.keys(await contentOf(front, name))).toEqual(['d0', 'd1', 'd2', 'unsent']);
  }

  test('is mirrored anew where an admin says so, and what was here is kept aside', async () => {
    await replace('anew');
    const kept = await pullAnew(mirrorOf('anew'));
    await become('anew', 'warm');
    expect(Object.keys(await contentOf(front, 'anew'))).toEqual(['new']);
    expect(Object.keys(await contentOf(front, kept))).toEqual(['d0', 'd1', 'd2', 'unsent']);
    expect(app.mirrors.placeOf(kept)).toBe('here');
    expect((await back.ask('GET', `/${kept}`)).status).toBe(404);
  });

  test('gets everything that is here where an admin says so', async () => {
    await replace('filled');
    await pushAll(mirrorOf('filled'));
    await until('both', async () => {
      const contents = [await contentOf(front, 'filled'), await contentOf(back, 'filled')];
      return contents.every((content) => Object.keys(content).length === 5);
    });
  });
});

test('a database that was here before differs from one upstream, until an admin has them merged', async () => {
  await back.ask('PUT', '/both');
  await back.ask('PUT', '/both/there', { json: {} });
  await app.databases.create('both');
  app.mirrors.start();
  await become('both', 'upstream-differs');
  await write('both', 'here');
  expect(Object.keys(await contentOf(back, 'both'))).toEqual(['there']);
  await resync(mirrorOf('both'));
  await until('both', async () => {
    const contents = [await contentOf(front, 'both'), await contentOf(back, 'both')];
    return contents.every((content) => Object.keys(content).length === 2);
  });
});

test('nothing flows while a mirror is paused, and all of it later', async () => {
  await prepare('paused');
  await mirrorOf('paused').pause();
  await write('paused', 'waits');
  await back.ask('PUT', '/paused/too', { json: {} });
  expect((await mirrorOf('paused').status()).ahead).toBe(1);
  expect(await contentOf(front, 'paused')).not.toHaveProperty('too');
  await mirrorOf('paused').resume();
  await until('both', async () => {
    const contents = [await contentOf(front, 'paused'), await contentOf(back, 'paused')];
    return contents.every((content) => Object.keys(content).length === 5);
  });
});

test('a mirror is dropped only where all of it is upstream, or it is said that this does not matter', async () => {
  await prepare('evicted');
  await mirrorOf('evicted').pause();
  await write('evicted', 'unsent');
  await expect(evict(mirrorOf('evicted'), { force: false })).rejects.toMatchObject({ status: 409 });
  expect((await front.ask('GET', '/evicted/unsent')).status).toBe(200);
  await evict(mirrorOf('evicted'), { force: true });
  expect(app.databases.exists('evicted')).toBe(false);
  // The test's users mean nothing upstream; who asks as nobody is told so there.
  await until('it to be mirrored anew', async () => {
    await front.ask('GET', '/evicted/d1');
    return app.mirrors.get('evicted')?.standing.isWarm === true;
  });
  expect(Object.keys(await contentOf(front, 'evicted'))).toEqual(['d0', 'd1', 'd2']);
});

test('what is done with a database as a whole is done upstream first', async () => {
  await prepare('whole');
  expect((await front.ask('PUT', '/whole')).status).toBe(412);
  const security = { admins: { names: ['ann'] }, members: { names: ['bo'] } };
  expect((await front.ask('PUT', '/whole/_security', { json: security })).status).toBe(200);
  expect((await back.ask('GET', '/whole/_security')).body).toEqual(security);
  const { d1 } = await contentOf(front, 'whole');
  expect((await front.ask('POST', '/whole/_purge', { json: { d1: [d1] } })).status).toBe(201);
  for (const server of [front, back]) expect((await server.ask('GET', '/whole/d1')).status).toBe(404);
  expect((await front.ask('DELETE', '/whole')).status).toBe(200);
  expect((await back.ask('GET', '/whole')).status).toBe(404);
  expect([app.databases.exists('whole'), app.mirrors.get('whole')]).toEqual([false, undefined]);
});

import { once } from 'node:events';
import http from 'node:http';
import { expect, test } from 'vitest';
import type { Users } from '../../auth/users/gateway.js';
import type { Fault } from '../../support/faulty-proxy.js';
import { until } from '../../system/support/wait.js';
import { overLine } from './over-line.js';
import { contentOf, fill, isHere } from './pair.js';

const line = overLine({ upstream: { pollInterval: 500, maxMirrorsRunning: 1 } });
const { shown } = line;

/** Writes until it is stopped. @returns what stops it, and has the ids of what was written */
function writeAlways(name: string): () => Promise<readonly string[]> {
  const written: string[] = [];
  let isOver = false;
  const write = async (server: Users, writer: string): Promise<void> => {
    for (let at = 0; !isOver; at++) {
      const { status } = await server.ask('PUT', `/${name}/${writer}${at}`, { json: {} });
      if (status === 201) written.push(`${writer}${at}`);
      // Nobody writes faster than others can follow.
      await shown(name);
    }
  };
  const writers = [write(line.front, 'here'), write(line.back, 'there')];
  return async () => {
    isOver = true;
    await Promise.all(writers);
    return written;
  };
}

const FAULTS: readonly Fault[] = [
  { kind: 'answer', status: 500 },
  { kind: 'cut', after: 0 },
  { kind: 'reset', after: 50 },
  { kind: 'answer', status: 429, retryAfter: 0 },
  { kind: 'truncated', after: 50 },
];

test('I4: a mirror gets warm, and flows, in one go where the first and then every sixth request of each kind fails, while everybody writes', async () => {
  await line.back.ask('PUT', '/bad');
  const file = { data: Buffer.alloc(3000, 'x').toString('base64'), content_type: 'text/plain' };
  await line.back.ask('PUT', '/bad/file', { json: { _attachments: { file } } });
  await fill(line.back, 'bad', 100);
  // The first request, which has the mirror made, is a client's.
  const counts = new Map([['GET/bad', 1]]);
  line.proxy.faults = (method, path) => {
    const kind = /^\/bad(\/_[^/?]*)?/.exec(path)?.[0];
    if (kind === undefined || path.startsWith('/bad/here')) return undefined;
    const count = (counts.get(method + kind) ?? 0) + 1;
    counts.set(method + kind, count);
    return count % 6 === 1 ? FAULTS[Math.floor(count / 6) % FAULTS.length] : undefined;
  };
  const stop = writeAlways('bad');
  await until('it to be warm', async () => (await shown('bad')).warm);
  const written = await stop();
  await until('everything', async () => {
    const [here, there] = [await contentOf(line.front, 'bad'), await contentOf(line.back, 'bad')];
    return written.every((id) => id in there && here[id] === there[id]);
  });
  expect((await shown('bad')).last_error).toBeNull();
  expect((await line.front.ask('GET', '/bad/file?attachments=true')).body).toMatchObject({
    _attachments: { file: { data: file.data } },
  });
  // Otherwise it was not what this is about.
  for (const kind of [
    'GET/bad',
    'GET/bad/_local',
    'PUT/bad/_local',
    'GET/bad/_security',
    'POST/bad/_bulk_get',
  ])
    expect([kind, (counts.get(kind) ?? 0) > 1]).toEqual([kind, true]);
});

test('I4: a request that takes long keeps writers, and other mirrors, waiting for a while only, and the switch comes when it is over', async () => {
  await line.back.ask('PUT', '/slow');
  await fill(line.back, 'slow', 10);
  line.gate.holds = (_, path) => path === '/slow/upload';
  const upload = line.front.ask('PUT', '/slow/upload', { json: {} });
  await until('it to be under way', () => line.gate.waiting > 0);
  const stop = writeAlways('slow');
  await until('it to be here, but for what is under way', async () => {
    const { pull } = (await line.front.ask('GET', '/_gateway/databases/slow')).body as {
      pull: { documents: number };
    };
    return pull.documents > 10;
  });
  for (let at = 0; at < 20; at++)
    expect((await line.front.ask('PUT', `/slow/on-${at}`, { json: {} })).status).toBe(201);
  await line.back.ask('PUT', '/other');
  await isHere(line, 'other');
  expect(await shown('slow')).toMatchObject({ warm: false, last_error: null });
  line.gate.open();
  await isHere(line, 'slow');
  expect((await upload).status).toBe(201);
  const written = [...(await stop()), 'upload'];
  const here = await contentOf(line.front, 'slow');
  expect(written.filter((id) => !(id in here) && !id.startsWith('there'))).toEqual([]);
  expect((await shown('slow')).last_error).toBeNull();
});

test('I4: writes that waited while a mirror was dropped are waited for by the next one', async () => {
  await line.back.ask('PUT', '/dropped');
  await fill(line.back, 'dropped', 10);
  await isHere(line, 'dropped');
  const slow = http.request(`${line.front.gateway.url}/dropped/slow`, {
    method: 'PUT',
    auth: 'admin:secret',
    headers: { 'content-type': 'application/json', 'content-length': 2 },
  });
  const answered = once(slow, 'response');
  slow.write('{');
  let held: string | undefined;
  line.gate.holds = (_, path, isClients) => {
    if (isClients && path.startsWith('/dropped/waited-')) held ??= path;
    return path === held;
  };
  const evicted = until('it to be dropped', async () => {
    const { status } = await line.front.ask('POST', '/_gateway/databases/dropped/evict?force=true', {
      json: {},
    });
    return status === 200;
  });
  // The last of these waits for the mirror to be dropped, and goes upstream then.
  const write = async (): Promise<void> => {
    for (let at = 0; held === undefined; at++)
      expect((await line.front.ask('PUT', `/dropped/waited-${at}`, { json: {} })).status).toBe(201);
  };
  const writing = write();
  slow.end('}');
  await answered;
  await evicted;
  await until('it to be on its way', () => line.gate.waiting > 0);
  await until('the next copy', async () => {
    await line.front.ask('GET', '/dropped/d1');
    const { pull } = (await line.front.ask('GET', '/_gateway/databases/dropped')).body as {
      pull?: { documents: number };
    };
    return pull !== undefined && pull.documents >= 10;
  });
  for (let at = 0; at < 5; at++)
    expect((await line.front.ask('PUT', `/dropped/on-${at}`, { json: {} })).status).toBe(201);
  expect(await shown('dropped')).toMatchObject({ warm: false });
  line.gate.open();
  await writing;
  await isHere(line, 'dropped');
  expect((await line.front.ask('GET', held ?? '')).status).toBe(200);
});

test('what is purged upstream while the first copy is under way is not here when it gets warm', async () => {
  await line.back.ask('PUT', '/purged');
  await fill(line.back, 'purged', 10);
  const { d3 } = await contentOf(line.back, 'purged');
  line.gate.holds = (_, path) => path.startsWith('/purged/_bulk_get') && 'answer';
  await line.front.ask('GET', '/purged/d1');
  await until('it to be on its way', () => line.gate.waiting > 0);
  await line.back.ask('POST', '/purged/_purge', { json: { d3: [d3] } });
  line.gate.open();
  await isHere(line, 'purged');
  expect(await contentOf(line.front, 'purged')).toEqual(await contentOf(line.back, 'purged'));
});

test('what is purged upstream while very much is brought is followed before all is there, though the first look is refused', async () => {
  await line.back.ask('PUT', '/much');
  await fill(line.back, 'much', 10);
  const { d3 } = await contentOf(line.back, 'much');
  line.gate.holds = (_, path) => path.startsWith('/much/_bulk_get');
  let isFollowed = false;
  let isRefused = false;
  line.proxy.faults = (method, path) => {
    if (!isRefused && line.gate.waiting > 0 && method === 'GET' && path === '/much/') {
      isRefused = true;
      return { kind: 'answer', status: 403 };
    }
    isFollowed ||= path === '/much/_purged_infos' && line.gate.waiting > 0;
    return undefined;
  };
  await line.front.ask('GET', '/much/d1');
  await until('it to be on its way', () => line.gate.waiting > 0);
  await line.back.ask('POST', '/much/_purge', { json: { d3: [d3] } });
  await until('the purge to be followed', () => isFollowed);
  expect(isRefused).toBe(true);
  line.gate.open();
  await isHere(line, 'much');
  expect(await contentOf(line.front, 'much')).toEqual(await contentOf(line.back, 'much'));
});

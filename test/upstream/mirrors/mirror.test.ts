import { isDeepStrictEqual } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { until } from '../../system/support/wait.js';
import { contentOf, fill, isHere, type Mirrored, startMirrored } from './pair.js';

let pair: Mirrored;
beforeAll(async () => {
  pair = await startMirrored();
});
afterAll(() => pair.stop());

test('a database is mirrored when it is first asked for, and kept in step both ways', async () => {
  const { front, back } = pair;
  await back.ask('PUT', '/notes');
  await fill(back, 'notes', 300);
  expect((await front.ask('GET', '/notes/d7')).status).toBe(200);
  await isHere(pair, 'notes');
  expect(await contentOf(front, 'notes')).toEqual(await contentOf(back, 'notes'));
  await front.ask('PUT', '/notes/here', { json: {} });
  await back.ask('PUT', '/notes/there', { json: {} });
  await until('both', async () => {
    const [one, other] = [await contentOf(front, 'notes'), await contentOf(back, 'notes')];
    return Object.keys(one).length === 302 && isDeepStrictEqual(one, other);
  });
});

test('it goes on while the upstream is away, over a restart, and flows when that is back', async () => {
  await pair.goAway();
  expect((await pair.front.ask('PUT', '/notes/away', { json: {} })).status).toBe(201);
  await pair.restart();
  expect((await pair.front.ask('GET', '/notes/away')).status).toBe(200);
  expect((await pair.front.ask('PUT', '/notes/later', { json: {} })).status).toBe(201);
  expect((await pair.front.ask('GET', '/unknown')).status).toBe(503);
  await pair.comeBack();
  await until('everything', async () => {
    const content = await contentOf(pair.back, 'notes');
    return 'away' in content && 'later' in content;
  });
});

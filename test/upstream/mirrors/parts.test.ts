import { afterAll, beforeAll, expect, test } from 'vitest';
import { until } from '../../system/support/wait.js';
import { contentOf, isHere, type Mirrored, startMirrored } from './pair.js';

let pair: Mirrored;
beforeAll(async () => {
  pair = await startMirrored({
    upstream: { allowDelete: true },
    databases: [
      { match: 'red*', mode: 'mirror', selector: { color: 'red' } },
      { match: '*', mode: 'mirror' },
    ],
  });
});
afterAll(() => pair.stop());

const put = async (server: 'front' | 'back', path: string, json: object): Promise<string> => {
  const { status, body } = await pair[server].ask('PUT', path, { json });
  expect([path, status]).toEqual([path, 201]);
  return (body as { rev: string }).rev;
};

const idsOf = async (server: 'front' | 'back', name: string): Promise<string[]> =>
  Object.keys(await contentOf(pair[server], name));

test('a partial mirror follows what fits in both directions, and refuses the rest', async () => {
  await pair.back.ask('PUT', '/red-ones');
  const rev = await put('back', '/red-ones/a', { color: 'red' });
  await put('back', '/red-ones/b', { color: 'blue' });
  await isHere(pair, 'red-ones');
  expect(await idsOf('front', 'red-ones')).toEqual(['a']);

  await put('back', '/red-ones/a', { _rev: rev, color: 'blue' });
  await put('back', '/red-ones/c', { color: 'red' });
  await put('front', '/red-ones/d', { color: 'red' });
  await until('both directions', async () => {
    const [here, there] = [await idsOf('front', 'red-ones'), await idsOf('back', 'red-ones')];
    return here.join() === 'c,d' && there.join() === 'a,b,c,d';
  });

  const refused = {
    status: 403,
    body: { error: 'forbidden', reason: expect.stringContaining('selector') as string },
  };
  expect(await pair.front.ask('PUT', '/red-ones/e', { json: { color: 'blue' } })).toMatchObject(refused);
  const headers = { 'content-type': 'text/plain' };
  expect(await pair.front.ask('PUT', '/red-ones/e/f', { text: 'bytes', headers })).toMatchObject(refused);
  const docs = [
    { _id: 'e', _rev: '1-a', color: 'blue' },
    { _id: 'g', _rev: '1-a', color: 'red' },
  ];
  const { body } = await pair.front.ask('POST', '/red-ones/_bulk_docs', { json: { docs, new_edits: false } });
  expect(body).toMatchObject([{ id: 'e', error: 'forbidden' }]);
  const source = `${pair.back.gateway.url}/red-ones`.replace('//', '//admin:secret@');
  const copied = await pair.front.ask('POST', '/_replicate', { json: { source, target: 'red-ones' } });
  expect(copied.body).toMatchObject({ history: [{ doc_write_failures: 2 }] });
  expect(await idsOf('front', 'red-ones')).toEqual(['c', 'd', 'g']);
  expect((await pair.front.ask('DELETE', '/red-ones')).status).toBe(403);
});

test('what is purged upstream goes here, over a time in which nothing flowed', async () => {
  await pair.back.ask('PUT', '/purged');
  const rev = await put('back', '/purged/a', { n: 1 });
  await put('back', '/purged/b', {});
  await isHere(pair, 'purged');
  await pair.back.ask('POST', '/purged/_purge', { json: { a: [rev] } });
  await pair.goAway();
  await put('front', '/purged/c', {});
  await pair.comeBack();
  await until('what is left', async () => {
    const [here, there] = [await idsOf('front', 'purged'), await idsOf('back', 'purged')];
    return here.join() === 'b,c' && there.join() === 'b,c';
  });
});

test('another selection has the mirror filled and emptied by that', async () => {
  await pair.back.ask('PUT', '/red-then');
  await put('back', '/red-then/a', { color: 'red' });
  await put('back', '/red-then/b', { color: 'blue' });
  await isHere(pair, 'red-then');
  await put('front', '/red-then/c', { color: 'red', size: 1 });
  await until('c', async () => (await idsOf('back', 'red-then')).length === 3);
  const select = (selector: Record<string, unknown>): Promise<void> =>
    pair.restart({ databases: [{ match: '*', mode: 'mirror', selector }] });
  await select({ $or: [{ color: 'blue' }, { size: 1 }] });
  await until('the others', async () => (await idsOf('front', 'red-then')).join() === 'b,c');
  await select({ _id: { $gt: null } });
  await until('everything', async () => (await idsOf('front', 'red-then')).join() === 'a,b,c');
  await select({ color: 'red' });
  await until('those of the beginning', async () => (await idsOf('front', 'red-then')).join() === 'a,c');
});

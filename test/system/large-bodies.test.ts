import { rm } from 'node:fs/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { temporaryFolder } from '../support/server.js';
import { Restartable } from './support/restartable.js';

/** As long as a document may be, nearly. */
const LENGTH = 7_900_000;
const LEAVES = 5;
const ENTRIES = 8;
const TINY = 40;
const LARGE = 40;

/** With so little for its objects the server ends where it holds more than a few of them at a time. */
const SMALL_HEAP = { NODE_OPTIONS: '--max-old-space-size=160' };

let data: string;

beforeAll(async () => {
  data = await temporaryFolder();
  const gateway = await Restartable.start({ data });
  const text = 'large '.repeat(Math.ceil(LENGTH / 6));
  const write = (database: string, ...docs: object[]): Promise<unknown> =>
    gateway.couch.post(`/${database}/_bulk_docs`, { docs, new_edits: false });
  await gateway.couch.put('/leaves');
  for (let at = 0; at < LEAVES; at += 1) await write('leaves', { _id: 'a', _rev: `1-${String(at)}`, text });
  await gateway.couch.put('/mixed');
  await write('mixed', ...Array.from({ length: TINY }, (_, at) => ({ _id: `a${String(at)}`, _rev: '1-a' })));
  for (let at = 0; at < LARGE; at += 1) await write('mixed', { _id: `b${String(at)}`, _rev: '1-a', text });
  await gateway.couch.close();
  await gateway.stop();
});
afterAll(() => rm(data, { recursive: true, force: true }));

test.each([
  ['many revisions of few documents', 'POST', '/leaves/_bulk_get', LEAVES * ENTRIES],
  ['the rows of a listing', 'GET', '/mixed/_all_docs?include_docs=true', LARGE],
  ['the rows of a feed', 'GET', '/mixed/_changes?include_docs=true', LARGE],
] as const)('%s are not all in memory at once', async (_, method, path, count) => {
  const server = await Restartable.start({ data, env: SMALL_HEAP });
  try {
    const docs = Array.from({ length: ENTRIES }, () => ({ id: 'a' }));
    const { body } = await server.couch.open(method, path, method === 'POST' ? { body: { docs } } : {});
    let bytes = 0;
    for await (const chunk of body) bytes += (chunk as Buffer).length;
    expect(bytes).toBeGreaterThan(count * LENGTH);
  } finally {
    await server.couch.close();
    await server.stop();
  }
});

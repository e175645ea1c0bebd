import { rm } from 'node:fs/promises';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { temporaryFolder } from '../support/server.js';
import { load } from './support/couch.js';
import { documents } from './support/documents.js';
import { INSPECTABLE } from './support/inspector.js';
import { measureStalled, measureStream } from './support/memory.js';
import { megabytes } from './support/proc.js';
import { Restartable } from './support/restartable.js';

const FEW = 2_000;
const MANY = 20_000;
const STALLED = 60;
/** What the size of V8's heap differs by from one run to another. */
const NOISE = 24e6;

let data: string;

beforeAll(async () => {
  data = await temporaryFolder();
  const gateway = await Restartable.start({ data });
  for (const [name, count, size] of [
    ['few', FEW, 500],
    ['many', MANY, 500],
    ['large', 4000, 10_000],
  ] as const) {
    await gateway.couch.put(`/${name}`);
    await load(gateway.couch, name, documents(count, size));
  }
  await gateway.couch.close();
  await gateway.stop();
});
afterAll(async () => {
  await rm(data, { recursive: true, force: true });
});

it.each([
  '_changes',
  '_changes?include_docs=true',
  '_all_docs?include_docs=true',
  '_changes?style=all_docs&descending=true',
])('streaming %s needs no more memory for ten times the rows', { timeout: 300_000 }, async (path) => {
  const few = await measureStream(data, `/few/${path}`, MANY / FEW);
  const many = await measureStream(data, `/many/${path}`, 1);
  expect(few.rows).toBeGreaterThan(MANY);
  expect(many.rows).toBeGreaterThan(MANY);
  expect(many.peak, `${megabytes(many.peak)} against ${megabytes(few.peak)}`).toBeLessThan(few.peak + NOISE);
});

it('a reader that does not read is not written to', { timeout: 300_000 }, async () => {
  const gateway = await Restartable.start({ data, env: INSPECTABLE });
  try {
    // 40 MB each; what the server has made ready for each may be some of it.
    const kept = await measureStalled(gateway, '/large/_all_docs?include_docs=true', STALLED);
    expect(kept, `${megabytes(kept)} for ${String(STALLED)} readers`).toBeLessThan(150e6);
  } finally {
    await gateway.kill();
  }
});

import assert from 'node:assert/strict';
import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import { type Changes, type Couch, type Info, load } from '../support/couch.js';
import { documents } from '../support/documents.js';
import { measureStream } from '../support/memory.js';
import { processorTicks } from '../support/proc.js';
import { Restartable } from '../support/restartable.js';
import type { SoakContext } from './context.js';

const MANY = 1_000_000;
const FEW = 10_000;
const STEP = 10_000;
/** Bytes by which a listing of so many rows may need more than one of few. */
const MORE = 50e6;

/** How often a page is asked for to see what it costs. */
const PAGES = 2000;

const LISTINGS = ['_all_docs', '_all_docs?include_docs=true', '_changes', '_changes?include_docs=true'];

/** One million documents of 500 bytes: loaded, listed and followed, in memory that 10,000 would need too. */
export async function rows(context: SoakContext): Promise<boolean> {
  await context.needDisk(4e9);
  const data = path.join(context.folder, 'rows');
  await mkdir(data, { recursive: true });
  if (!(await fill(context, data))) return false;
  for (const listing of LISTINGS) {
    const started = performance.now();
    const many = await measureStream(data, `/many/${listing}`, 1);
    const seconds = (performance.now() - started) / 1000;
    const few = await measureStream(data, `/few/${listing}`, 1);
    assert(many.rows > MANY, `${listing} has ${String(many.rows)} rows`);
    await context.record({
      listing,
      rows: many.rows,
      seconds: Math.round(seconds),
      peakMegabytes: Math.round(many.peak / 1e6),
      peakMegabytesOfFew: Math.round(few.peak / 1e6),
    });
    assert(many.peak < few.peak + MORE, `${listing} needs more memory for more rows`);
    if (context.isSpent) {
      context.say('go on with the same call');
      return false;
    }
  }
  await countPending(context, data);
  await follow(context, data);
  return true;
}

/** Writes what is not there yet; false when the time is over before it is all there. */
async function fill(context: SoakContext, data: string): Promise<boolean> {
  const gateway = await Restartable.start({ data });
  try {
    for (const [name, count] of [
      ['few', FEW],
      ['many', MANY],
    ] as const) {
      const { status } = await gateway.couch.request('PUT', `/${name}`);
      assert(status === 201 || status === 412);
      const done = await fillDatabase(context, gateway.couch, name, count);
      if (!done) return false;
    }
    return true;
  } finally {
    await gateway.couch.close();
    await gateway.stop();
  }
}

async function fillDatabase(
  context: SoakContext,
  couch: Couch,
  name: string,
  count: number,
): Promise<boolean> {
  const present = await docCount(couch, name);
  let loaded = present - (present % STEP);
  if (present >= count) return true;
  const started = performance.now();
  const all = documents(count, 500);
  for (let skipped = 0; skipped < loaded; skipped += 1) all.next();
  while (loaded < count) {
    const docs = Array.from({ length: STEP }, () => all.next().value as Record<string, unknown>);
    await load(couch, name, await missing(couch, name, docs, present));
    loaded += STEP;
    if (loaded % 100_000 === 0) context.say(`${String(loaded)} documents are loaded`);
    if (context.isSpent && loaded < count) {
      context.say('go on with the same call');
      return false;
    }
  }
  assert.equal(await docCount(couch, name), count);
  const perSecond = Math.round((count - present) / ((performance.now() - started) / 1000));
  await context.record({ database: name, documents: count, loadedHere: count - present, perSecond });
  return true;
}

/** Those that a call which was cut off has not written. */
async function missing(
  couch: Couch,
  name: string,
  docs: readonly Record<string, unknown>[],
  present: number,
): Promise<Record<string, unknown>[]> {
  if (present === 0) return [...docs];
  const { rows: found } = (await couch.post(`/${name}/_all_docs`, { keys: docs.map(({ _id }) => _id) })) as {
    rows: { error?: string }[];
  };
  return docs.filter((_, n) => found[n]?.error !== undefined);
}

const docCount = async (couch: Couch, name: string): Promise<number> =>
  ((await couch.get(`/${name}`)) as Info).doc_count;

/** What is pending behind the first page of all rows costs as much to know as behind the last. */
async function countPending(context: SoakContext, data: string): Promise<void> {
  const gateway = await Restartable.start({ data });
  try {
    const { results } = (await gateway.couch.get('/many/_changes?limit=2&descending=true')) as Changes;
    const pages = { first: '0', last: results[1]?.seq ?? '' };
    const ticks = { first: 0, last: 0 };
    // The first round is for the compiler.
    for (const round of [0, 1, 2]) {
      for (const page of ['first', 'last'] as const) {
        const before = await processorTicks(gateway.pid);
        for (let n = 0; n < PAGES; n += 1)
          await gateway.couch.get(`/many/_changes?limit=1&since=${pages[page]}`);
        if (round > 0) ticks[page] += (await processorTicks(gateway.pid)) - before;
      }
    }
    const [first, last] = [ticks.first, ticks.last].map((sum) => Math.round((10_000 * sum) / (2 * PAGES)));
    await context.record({ pendingFirstMicroseconds: first, pendingLastMicroseconds: last });
    assert(ticks.first < 1.5 * ticks.last, 'pending costs more on the first page');
  } finally {
    await gateway.couch.close();
    await gateway.stop();
  }
}

/** A feed from the beginning, that goes on with what is written when it has come to the end. */
async function follow(context: SoakContext, data: string): Promise<void> {
  const gateway = await Restartable.start({ data });
  try {
    const started = performance.now();
    const before = (await gateway.couch.get('/many')) as Info;
    const { body } = await gateway.couch.open('GET', '/many/_changes?feed=continuous&since=0&heartbeat=1000');
    const id = `followed-${String(Date.now())}`;
    let lines = 0;
    let tail = '';
    for await (const chunk of body) {
      const text = String(chunk);
      tail = (tail + text).slice(-2000);
      lines += text.split('\n').filter((line) => line.includes('"seq"')).length;
      if (lines === before.doc_count + before.doc_del_count) await gateway.couch.put(`/many/${id}`, {});
      if (tail.includes(id)) break;
    }
    const { _rev: rev } = (await gateway.couch.get(`/many/${id}`)) as { _rev: string };
    await gateway.couch.delete(`/many/${id}?rev=${rev}`);
    await context.record({ followed: lines, seconds: Math.round((performance.now() - started) / 1000) });
  } finally {
    await gateway.couch.close();
    await gateway.stop();
  }
}

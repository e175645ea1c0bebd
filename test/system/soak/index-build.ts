import assert from 'node:assert/strict';
import { cp, mkdir } from 'node:fs/promises';
import path from 'node:path';
import { folderOf } from '../../../src/store/names.js';
import { PouchProcess } from '../../support/pouch.js';
import { temporaryFolder } from '../../support/server.js';
import { type Changes, type Couch, type Info, load } from '../support/couch.js';
import { documents } from '../support/documents.js';
import { settledMemory } from '../support/memory.js';
import { MemoryWatch } from '../support/proc.js';
import { Pulse } from '../support/pulse.js';
import { Restartable } from '../support/restartable.js';
import type { SoakContext } from './context.js';

const COUNT = 1_000_000;
const STEP = 1000;
const ROUNDS = 3;

/** Documents a second. */
const LEAST = 100_000;

/** Milliseconds in which nearly every answer, and every one, has to come meanwhile. */
const MOSTLY = 50;
const LONGEST = 200;

/** A directory of one million documents that PouchDB wrote is indexed quickly, and everybody else answered meanwhile. */
export async function indexBuild(context: SoakContext): Promise<boolean> {
  await context.needDisk(2e9);
  const folder = path.join(context.folder, 'index');
  await mkdir(folder, { recursive: true });
  const written = path.join(folder, 'pouchdb');
  if (!(await write(context, written))) return false;
  const { from, to } = context.options.rounds ?? { from: 1, to: ROUNDS };
  for (let round = from; round <= to; round += 1) await measure(context, written, round);
  return true;
}

/** Lets PouchDB write what is not there yet; false when the time is over before it is all there. */
async function write(context: SoakContext, folder: string): Promise<boolean> {
  const pouch = new PouchProcess();
  try {
    const present = await pouch.open(folder);
    const all = documents(COUNT);
    let loaded = present - (present % STEP);
    for (let skipped = 0; skipped < loaded; skipped += 1) all.next();
    for (; loaded < COUNT; loaded += STEP) {
      if (context.isSpent) {
        context.say('go on with the same call');
        return false;
      }
      const docs = Array.from({ length: STEP }, () => all.next().value as Record<string, unknown>);
      // What a call that was cut off has written is a conflict.
      await pouch.bulkDocs(folder, docs);
      if ((loaded + STEP) % 100_000 === 0)
        context.say(`PouchDB has written ${String(loaded + STEP)} documents`);
    }
    assert.equal(await pouch.open(folder), COUNT);
    await pouch.close(folder);
    return true;
  } finally {
    await pouch.stop();
  }
}

async function measure(context: SoakContext, written: string, round: number): Promise<void> {
  const data = await temporaryFolder();
  await cp(written, path.join(data, 'databases', folderOf('written')), { recursive: true });
  const gateway = await Restartable.start({ data });
  const { couch } = gateway;
  try {
    await couch.put('/other');
    await load(couch, 'other', documents(STEP));
    const idle = await settledMemory(gateway.pid);
    const memory = new MemoryWatch(gateway.pid);
    const reads = new Pulse(() => couch.get('/other/doc-0000001'));
    const writes = new Pulse((n) => couch.put(`/other/${String(n)}`, { n }));
    const started = performance.now();
    // It waits for the index.
    const { doc_count: count } = (await couch.get('/written')) as Info;
    const seconds = (performance.now() - started) / 1000;
    const [reading, writing] = [await reads.stop(), await writes.stop()];
    const peak = (await memory.stop()) - idle;
    assert.equal(count, COUNT);
    await followEnd(couch);
    const perSecond = Math.round(COUNT / seconds);
    await context.record({ round, perSecond, reading, writing, peakMegabytes: Math.round(peak / 1e6) });
    assert(perSecond >= LEAST, `${String(LEAST)} documents a second are to be indexed`);
    for (const { p99, longest } of [reading, writing]) {
      assert(p99 < MOSTLY, `nearly all answers are to come within ${String(MOSTLY)} ms meanwhile`);
      assert(longest < LONGEST, `all answers are to come within ${String(LONGEST)} ms meanwhile`);
    }
  } finally {
    await gateway.remove();
  }
}

/** The index has all rows, counted. */
async function followEnd(couch: Couch): Promise<void> {
  const { results, pending } = (await couch.get('/written/_changes?limit=1')) as Changes;
  assert.equal(pending, COUNT - 1);
  const [first] = results;
  assert(first !== undefined);
  const last = (await couch.get(`/written/_changes?descending=true&limit=1`)) as Changes;
  assert.equal(Number.parseInt(last.results[0]?.seq ?? '', 10), COUNT);
}

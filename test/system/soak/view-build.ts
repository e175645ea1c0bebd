import assert from 'node:assert/strict';
import { type Couch, load } from '../support/couch.js';
import { documents } from '../support/documents.js';
import { INSPECTABLE, Inspector } from '../support/inspector.js';
import { loopDelay, watchLoop } from '../support/loop-delay.js';
import { settledMemory } from '../support/memory.js';
import { MemoryWatch, processorTicks } from '../support/proc.js';
import { Pulse } from '../support/pulse.js';
import { Restartable } from '../support/restartable.js';
import type { SoakContext } from './context.js';

const COUNT = 100_000;
const ROUNDS = 5;

/** Milliseconds that the event loop may be late, mostly, and bytes that a build may take. */
const MOST_DELAY_MS = 20;
const MOST_MEMORY = 300e6;

/** The first build of three views, while somebody reads documents: how long it takes, and what it takes from others. */
export async function viewBuild(context: SoakContext): Promise<boolean> {
  await context.needDisk(1e9);
  const server = await Restartable.start({ env: INSPECTABLE });
  const inspector = await Inspector.of(server.program);
  try {
    await server.couch.put('/built');
    await load(server.couch, 'built', documents(COUNT));
    const idle = await settledMemory(server.pid);
    const { from, to } = context.options.rounds ?? { from: 1, to: ROUNDS };
    for (let round = from; round <= to; round += 1) {
      const measured = await build(server, inspector, idle, round);
      await context.record({ round, ...measured });
      assert(measured.megabytes * 1e6 < MOST_MEMORY, 'a build is to take less memory');
      assert(measured.delay.p99 <= MOST_DELAY_MS, 'the event loop is not to be that late');
    }
    return true;
  } finally {
    inspector.close();
    await server.remove();
  }
}

async function build({ couch, pid }: Restartable, inspector: Inspector, idle: number, round: number) {
  const path = `/built/_design/build-${String(round)}`;
  await couch.put(path, { views: viewsOf(round) });
  const memory = new MemoryWatch(pid);
  const ticks = await processorTicks(pid);
  await watchLoop(inspector);
  const reads = new Pulse(() => couch.get('/built/doc-0000001'));
  const started = performance.now();
  const rows = await countRows(couch, `${path}/_view/index`);
  const seconds = (performance.now() - started) / 1000;
  const delay = await loopDelay(inspector);
  const reading = await reads.stop();
  assert.equal(rows, COUNT);
  return {
    perSecond: Math.round(COUNT / seconds),
    processorMicroseconds: Math.round((((await processorTicks(pid)) - ticks) * 10_000) / COUNT),
    megabytes: Math.round(((await memory.stop()) - idle) / 1e6),
    delay,
    reading,
  };
}

/** @param mark tells the views from all others, so that they have an index of their own */
const viewsOf = (mark: number): object => ({
  index: { map: `function (doc) { emit(doc.index); /* ${String(mark)} */ }`, reduce: '_count' },
  even: { map: 'function (doc) { emit([doc.even, doc.index], doc.index); }', reduce: '_sum' },
  text: { map: 'function (doc) { if (doc.text) emit(doc.text.slice(0, 20), doc.index); }' },
});

async function countRows(couch: Couch, path: string): Promise<unknown> {
  const { rows } = (await couch.get(path)) as { rows: readonly { readonly value: unknown }[] };
  return rows[0]?.value;
}

import assert from 'node:assert/strict';
import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import { Random } from '../support/random.js';
import { type Couch, type Info, load } from '../support/couch.js';
import { documents } from '../support/documents.js';
import { INSPECTABLE, Inspector } from '../support/inspector.js';
import { anonymousMemory, processorTicks } from '../support/proc.js';
import { Restartable } from '../support/restartable.js';
import { inParallel } from '../support/wait.js';
import type { SoakContext } from './context.js';
import { mixedLoad, percentile } from './mixed-load.js';

const MANY = 200;
const DOCUMENTS = 10_000;
const ROUNDS = 3;
/** Requests a second: about a third of what a server with two cores can do. */
const RATE = 1000;
const WARM_UP_MS = 10_000;
const MEASURED_MS = 20_000;

/** How many times as long a GET may take among so many databases. */
const FACTOR = 5;
const LONGEST_DELAY_MS = 20;

/** The same mixed load on one database and on 200 of them, in turn. */
export async function databases(context: SoakContext): Promise<boolean> {
  await context.needDisk(6e9);
  const data = path.join(context.folder, 'databases');
  await mkdir(data, { recursive: true });
  if (!(await fill(context, data))) return false;
  const { from, to } = context.options.rounds ?? { from: 1, to: ROUNDS };
  const factors: number[] = [];
  for (let round = from; round <= to; round += 1) {
    if (context.isSpent) {
      context.say(`go on with --rounds ${String(round)}-${String(to)}`);
      return false;
    }
    const one = await measure(context, data, ['one'], round);
    const many = await measure(context, data, MANY_NAMES, round);
    factors.push(many.get99 / one.get99);
  }
  const factor = factors.sort((a, b) => a - b)[factors.length >> 1] ?? Infinity;
  await context.record({ factor: rounded(factor) });
  assert(factor < FACTOR, `p99 of GET over ${String(MANY)} databases is ${factor.toFixed(1)} x that of one`);
  return true;
}

const MANY_NAMES = Array.from({ length: MANY }, (_, at) => `many-${String(at).padStart(3, '0')}`);

/** Writes what is not there yet; false when the time is over before it is all there. */
async function fill(context: SoakContext, data: string): Promise<boolean> {
  const gateway = await Restartable.start({ data });
  try {
    await inParallel(MANY_NAMES, 2, async (name) => {
      if (!context.isSpent) await fillDatabase(gateway.couch, name);
    });
    if (context.isSpent) context.say('go on with the same call');
    return !context.isSpent;
  } finally {
    await gateway.couch.close();
    await gateway.stop();
  }
}

/** One that is there, but not whole, is made anew. */
async function fillDatabase(couch: Couch, name: string): Promise<void> {
  const { status, body } = await couch.request('GET', `/${name}`);
  if (status === 200 && (body as Info).doc_count >= DOCUMENTS) return;
  if (status === 200) await couch.delete(`/${name}`);
  await couch.put(`/${name}`);
  await load(couch, name, documents(DOCUMENTS, 500));
}

async function measure(context: SoakContext, data: string, names: readonly string[], round: number) {
  const gateway = await Restartable.start({ data, env: INSPECTABLE });
  try {
    if (names.length === 1) await renew(gateway.couch, names[0] ?? '');
    const inspector = await Inspector.of(gateway.program);
    const random = new Random(context.options.seed + round);
    const { username, password } = gateway.auth;
    const url = gateway.url.replace('://', `://${username}:${password}@`);
    const run = (milliseconds: number) =>
      mixedLoad({ url, databases: names, count: DOCUMENTS, rate: RATE, milliseconds, random });
    await run(WARM_UP_MS);
    await inspector.evaluate(BEGIN);
    const ticks = await processorTicks(gateway.pid);
    const latencies = await run(MEASURED_MS);
    const processorMs = ((await processorTicks(gateway.pid)) - ticks) * 10;
    const delay = (await inspector.evaluate(READ)) as { p99: number; max: number };
    const memory = await anonymousMemory(gateway.pid);
    inspector.close();
    const shown = [...latencies].map(([kind, all]) => {
      const [p50, p99] = [50, 99].map((percent) => rounded(percentile(all, percent)));
      return [kind, { requests: all.length, p50, p99 }] as const;
    });
    await context.record({
      round,
      databases: names.length,
      ...Object.fromEntries(shown),
      delayP99: rounded(delay.p99),
      delayMax: rounded(delay.max),
      processorShare: rounded(processorMs / MEASURED_MS),
      megabytes: Math.round(memory / 1e6),
    });
    assert(delay.p99 < LONGEST_DELAY_MS, `the event loop is late by ${delay.p99.toFixed(1)} ms (p99)`);
    return { get99: percentile(latencies.get('get') ?? [], 99) };
  } finally {
    await gateway.couch.close();
    await gateway.stop();
  }
}

/** All writes of a load go into the one database: it is to have as many documents as others when that begins. */
async function renew(couch: Couch, name: string): Promise<void> {
  await couch.request('DELETE', `/${name}`);
  await fillDatabase(couch, name);
}

/** The histogram holds the times between two beats of 1 ms, in nanoseconds. */
const BEGIN = `
  globalThis.loopDelay = process.getBuiltinModule('node:perf_hooks').monitorEventLoopDelay({ resolution: 1 });
  globalThis.loopDelay.enable()`;
const READ = `
  globalThis.loopDelay.disable();
  ({ p99: loopDelay.percentile(99) / 1e6, max: loopDelay.max / 1e6 })`;

const rounded = (value: number): number => Math.round(value * 100) / 100;

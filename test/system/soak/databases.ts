import assert from 'node:assert/strict';
import { mkdir, readdir, rename, rm } from 'node:fs/promises';
import path from 'node:path';
import { folderOf } from '../../../src/store/names.js';
import { Random } from '../support/random.js';
import { type Info, load } from '../support/couch.js';
import { documents } from '../support/documents.js';
import { INSPECTABLE, Inspector } from '../support/inspector.js';
import { loopDelay, watchLoop } from '../support/loop-delay.js';
import { anonymousMemory, processorTicks } from '../support/proc.js';
import { replaceFolder, Restartable } from '../support/restartable.js';
import { inParallel } from '../support/wait.js';
import type { SoakContext } from './context.js';
import { mixedLoad, percentile } from './mixed-load.js';

const MANY = 200;
const DOCUMENTS = 10_000;
const ROUNDS = 3;
/** Requests a second: they keep the server's event loop busy for some 45 % of the time. */
const RATE = 1000;
/**
 * When a database is opened, LevelDB makes a small table of the last log, and merges it with the others once a hundred
 * look-ups went through it. For 200 databases that takes a third of a core for the first 20 seconds.
 */
const WARM_UP_MS = 30_000;
const MEASURED_MS = 20_000;

/** How many times as long a GET may take among so many databases. */
const FACTOR = 5;
const LONGEST_DELAY_MS = 20;

/** The same mixed load on one database and on 200 of them, in turn. */
export async function databases(context: SoakContext): Promise<boolean> {
  await context.needDisk(6e9);
  const data = path.join(context.folder, 'databases');
  await mkdir(data, { recursive: true });
  await fill(data);
  await copyTo(data, MANY_NAMES);
  const { from, to } = context.options.rounds ?? { from: 1, to: ROUNDS };
  const factors: number[] = [];
  const delays: number[] = [];
  for (let round = from; round <= to; round += 1) {
    if (context.isSpent) {
      context.say(`go on with --rounds ${String(round)}-${String(to)}`);
      return false;
    }
    // All writes of a load go into the one database: it is to have as many documents as others when that begins.
    await rm(path.join(data, 'databases', folderOf(ONE)), { recursive: true, force: true });
    await copyTo(data, [ONE]);
    const one = await measure(context, data, [ONE], round);
    const many = await measure(context, data, MANY_NAMES, round);
    factors.push(many.get99 / one.get99);
    delays.push(many.delay99);
  }
  const [factor, delay] = [median(factors), median(delays)];
  await context.record({ factor: rounded(factor), delayP99: rounded(delay) });
  assert(factor < FACTOR, `p99 of GET over ${String(MANY)} databases is ${factor.toFixed(1)} x that of one`);
  assert(delay < LONGEST_DELAY_MS, `the event loop is late by ${delay.toFixed(1)} ms (p99)`);
  return true;
}

const TEMPLATE = 'template';
const ONE = 'one';
const MANY_NAMES = Array.from({ length: MANY }, (_, at) => `many-${String(at).padStart(3, '0')}`);

/** Makes the databases that are not there yet: one by hand, of which the others are copies. */
async function fill(data: string): Promise<void> {
  const gateway = await Restartable.start({ data });
  try {
    const { couch } = gateway;
    const { status, body } = await couch.request('GET', `/${TEMPLATE}`);
    if (status === 200 && (body as Info).doc_count === DOCUMENTS) return;
    if (status === 200) await couch.delete(`/${TEMPLATE}`);
    await couch.put(`/${TEMPLATE}`);
    await load(couch, TEMPLATE, documents(DOCUMENTS, 500));
  } finally {
    await gateway.couch.close();
    await gateway.stop();
  }
}

/** Puts copies where there are none; no server may be running. */
async function copyTo(data: string, names: readonly string[]): Promise<void> {
  const folder = path.join(data, 'databases');
  const present = new Set(await readdir(folder));
  const half = path.join(data, 'half-copied');
  for (const name of names.map(folderOf)) {
    if (present.has(name)) continue;
    await replaceFolder(half, path.join(folder, folderOf(TEMPLATE)));
    await rename(half, path.join(folder, name));
  }
}

async function measure(context: SoakContext, data: string, names: readonly string[], round: number) {
  const gateway = await Restartable.start({ data, env: INSPECTABLE });
  // The program does not end before it is closed.
  const inspector = await Inspector.of(gateway.program);
  try {
    await inParallel(names, 4, (name) => gateway.couch.get(`/${name}/_all_docs?limit=1`));
    const random = new Random(context.options.seed + round);
    const { username, password } = gateway.auth;
    const url = gateway.url.replace('://', `://${username}:${password}@`);
    const run = (milliseconds: number) =>
      mixedLoad({ url, databases: names, count: DOCUMENTS, rate: RATE, milliseconds, random });
    await run(WARM_UP_MS);
    await watchLoop(inspector);
    const ticks = await processorTicks(gateway.pid);
    const latencies = await run(MEASURED_MS);
    const processorMs = ((await processorTicks(gateway.pid)) - ticks) * 10;
    const delay = await loopDelay(inspector);
    const memory = await anonymousMemory(gateway.pid);
    const shown = [...latencies].map(([kind, all]) => {
      const [p50, p99] = [50, 99].map((percent) => rounded(percentile(all, percent)));
      return [kind, { requests: all.length, p50, p99 }] as const;
    });
    await context.record({
      round,
      databases: names.length,
      ...Object.fromEntries(shown),
      delayP99: delay.p99,
      delayMax: delay.max,
      processorShare: rounded(processorMs / MEASURED_MS),
      megabytes: Math.round(memory / 1e6),
    });
    return { get99: percentile(latencies.get('get') ?? [], 99), delay99: delay.p99 };
  } finally {
    inspector.close();
    await gateway.couch.close();
    await gateway.stop();
  }
}

const median = (values: number[]): number => values.sort((a, b) => a - b)[values.length >> 1] ?? Infinity;

const rounded = (value: number): number => Math.round(value * 100) / 100;

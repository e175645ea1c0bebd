import assert from 'node:assert/strict';
import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import { settledMemory } from '../support/memory.js';
import { MemoryWatch, processorTicks } from '../support/proc.js';
import { Restartable } from '../support/restartable.js';
import { inParallel } from '../support/wait.js';
import type { SoakContext } from './context.js';

const COUNT = 1000;
const ROUNDS = 5;
const LONGEST_MS = 1000;
const MOST_BYTES = 150e6;

/** Starts on 1,000 databases: how long it takes to the first answer, and the memory before and after each was used. */
export async function start(context: SoakContext): Promise<boolean> {
  const data = path.join(context.folder, 'start');
  await mkdir(data, { recursive: true });
  await make(context, data);
  const first: number[] = [];
  for (let round = 1; round <= ROUNDS; round += 1) {
    const { firstAnswerMs, ...figures } = await measure(data);
    first.push(firstAnswerMs);
    await context.record({ round, firstAnswerMs: Math.round(firstAnswerMs), ...figures });
    const peak = Math.max(figures.peakMegabytes, figures.peakMegabytesOfAll) * 1e6;
    assert(peak < MOST_BYTES, `${String(COUNT)} databases take ${String(peak / 1e6)} MB`);
  }
  const median = first.sort((a, b) => a - b)[ROUNDS >> 1] ?? Infinity;
  assert(median < LONGEST_MS, `the first answer comes after ${median.toFixed(0)} ms`);
  return true;
}

const nameAt = (index: number): string => `start-${String(index).padStart(4, '0')}`;

async function make(context: SoakContext, data: string): Promise<void> {
  const gateway = await Restartable.start({ data });
  try {
    const present = new Set((await gateway.couch.get('/_all_dbs')) as string[]);
    const missing = Array.from({ length: COUNT }, (_, at) => nameAt(at)).filter((name) => !present.has(name));
    await inParallel(missing, 8, async (name) => {
      await gateway.couch.put(`/${name}`);
      await gateway.couch.put(`/${name}/doc`, { text: 'x'.repeat(500) });
    });
    if (missing.length > 0) context.say(`${String(missing.length)} databases are made`);
  } finally {
    await gateway.couch.close();
    await gateway.stop();
  }
}

async function measure(data: string) {
  const started = performance.now();
  const gateway = await Restartable.start({ data });
  const watch = new MemoryWatch(gateway.pid);
  try {
    await gateway.couch.get(`/${nameAt(COUNT >> 1)}/doc`);
    const firstAnswerMs = performance.now() - started;
    const processorMs = (await processorTicks(gateway.pid)) * 10;
    const idle = await settledMemory(gateway.pid);
    const peak = await watch.stop();
    const later = new MemoryWatch(gateway.pid);
    const all = Array.from({ length: COUNT }, (_, at) => nameAt(at));
    await inParallel(all, 8, (name) => gateway.couch.get(`/${name}/doc`));
    return {
      firstAnswerMs,
      processorMs,
      idleMegabytes: megabytes(idle),
      peakMegabytes: megabytes(peak),
      peakMegabytesOfAll: megabytes(await later.stop()),
    };
  } finally {
    await gateway.couch.close();
    await gateway.stop();
  }
}

const megabytes = (bytes: number): number => Math.round(bytes / 1e6);

import assert from 'node:assert/strict';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import type { Couch } from '../support/couch.js';
import { anonymousMemory, processorTicks } from '../support/proc.js';
import { Restartable } from '../support/restartable.js';
import { inParallel, until } from '../support/wait.js';
import type { SoakContext } from './context.js';

const COUNT = 1000;
const DOCUMENTS = 20;
/** Milliseconds; the upstream's looks at all of them are in it, where it does not tell of changes. */
const MEASURED = 65_000;
const WRITES = 20;

/** What 1,000 mirrors may take that have nothing to do, in percent of a processor and in bytes. */
const MOST_CPU = 1;
const MOST_MEMORY = 300e6;
/** Milliseconds until a write upstream is here, where the upstream tells of changes. */
const LATEST = 2000;

/** A thousand mirrors at rest, once where the upstream tells of changes and once where all have to be looked at. */
export async function mirrorsIdle(context: SoakContext): Promise<boolean> {
  await context.needHandles(4000);
  await context.needDisk(2e9);
  const folder = path.join(context.folder, 'mirrors-idle');
  await rm(folder, { recursive: true, force: true });
  await mkdir(folder, { recursive: true });
  const back = await Restartable.start();
  try {
    await inParallel(NAMES, 8, (name) => fill(back.couch, name));
    await back.couch.put('/_global_changes');
    const front = await Restartable.start({ args: ['--config', await configFor(back, folder)] });
    try {
      await context.record({ case: 'warm-up', ...(await warmUp(front)) });
      for (const by of ['_db_updates', 'polls'] as const) await measure(context, front, back, by);
    } finally {
      await front.remove();
    }
  } finally {
    await back.remove();
    await rm(folder, { recursive: true, force: true });
  }
  return true;
}

const NAMES = Array.from({ length: COUNT }, (_, at) => `idle-${String(at).padStart(4, '0')}`);

async function fill(couch: Couch, name: string): Promise<void> {
  await couch.put(`/${name}`);
  const docs = Array.from({ length: DOCUMENTS }, (_, at) => ({ _id: `d${at}`, text: 'x'.repeat(200) }));
  await couch.request('POST', `/${name}/_bulk_docs`, { body: { docs } });
}

async function configFor(back: Restartable, folder: string): Promise<string> {
  const { username, password } = back.auth;
  const file = path.join(folder, 'causeway.yaml');
  const rules = '[{match: "*", mode: mirror, start: eager}]';
  const upstream = `{url: "${back.url}", username: ${username}, password: ${password}, mirrorIdle: 5000}`;
  await writeFile(file, `upstream: ${upstream}\ndatabases: ${rules}\nstore: {minFree: 0}\n`);
  return file;
}

interface Shown {
  readonly mirrors: {
    readonly total: number;
    readonly states: Readonly<Record<string, number>>;
    readonly changes_noticed: { readonly by: string | null };
    readonly databases: readonly {
      readonly pull: { running: boolean };
      readonly push: { running: boolean };
    }[];
  };
}

const statusOf = async ({ couch }: Restartable): Promise<Shown['mirrors']> =>
  ((await couch.request('GET', '/_gateway/status')).body as Shown).mirrors;

async function warmUp(front: Restartable): Promise<Record<string, number>> {
  const began = performance.now();
  await until('all to be warm', async () => (await statusOf(front)).states.warm === COUNT, {
    ceiling: 400_000,
    step: 1000,
  });
  const seconds = (performance.now() - began) / 1000;
  await asleep(front);
  return { seconds: Math.round(seconds), asleepAfter: Math.round((performance.now() - began) / 1000) };
}

/** Those that run stand before those that sleep. */
async function asleep(front: Restartable): Promise<void> {
  const sleeps = async (): Promise<boolean> => {
    const [first] = (await statusOf(front)).databases;
    return first !== undefined && !first.pull.running && !first.push.running;
  };
  await until('all to sleep', sleeps, { ceiling: 200_000, step: 1000 });
}

async function measure(
  context: SoakContext,
  front: Restartable,
  back: Restartable,
  by: '_db_updates' | 'polls',
): Promise<void> {
  if (by === 'polls') await back.couch.request('DELETE', '/_global_changes');
  await until(by, async () => (await statusOf(front)).changes_noticed.by === by, { step: 1000 });
  await asleep(front);
  const [ticks, began] = [await processorTicks(front.pid), performance.now()];
  await pause(MEASURED);
  const used = ((await processorTicks(front.pid)) - ticks) * 10;
  const cpu = (used / (performance.now() - began)) * 100;
  const memory = await anonymousMemory(front.pid);
  const waits = by === 'polls' ? [] : await latencies(front, back);
  await context.record({
    case: by,
    mirrors: COUNT,
    cpuPercent: Math.round(cpu * 100) / 100,
    memoryMB: Math.round(memory / 1e6),
    ...(waits.length > 0 && { latencyMs: { median: waits[waits.length >> 1], longest: waits.at(-1) } }),
  });
  assert(cpu < MOST_CPU, `idle mirrors take ${cpu.toFixed(2)} % of a processor`);
  assert(memory < MOST_MEMORY, `idle mirrors take ${Math.round(memory / 1e6)} MB`);
  assert((waits.at(-1) ?? 0) < LATEST, `a write upstream was here after ${String(waits.at(-1))} ms`);
}

/** How long writes upstream take to be here, each in another mirror that sleeps; the shortest first. */
async function latencies(front: Restartable, back: Restartable): Promise<readonly number[]> {
  const waits: number[] = [];
  for (let at = 0; at < WRITES; at++) {
    const place = `/${NAMES[at * 37] ?? ''}/written`;
    const began = performance.now();
    await back.couch.put(place, { at });
    await until('it to be here', async () => (await front.couch.request('GET', place)).status === 200);
    waits.push(Math.round(performance.now() - began));
  }
  return waits.sort((a, b) => a - b);
}

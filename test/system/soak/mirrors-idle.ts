import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { type Couch, couchAt } from '../support/couch.js';
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
/** Milliseconds until a write upstream is here: told of, or found by a look. */
const LATEST = { _db_updates: 2000, polls: 60_000 };

/** The server behind the gateway. */
interface Back {
  readonly couch: Couch;
  readonly url: string;
  readonly auth: Restartable['auth'];
  /** Removes what was made there. */
  remove(): Promise<void>;
}

/**
 * A thousand mirrors at rest, once where the upstream tells of changes and once where all have to be looked at. The
 * upstream is another Causeway, or the CouchDB that COUCHDB_URL names.
 */
export async function mirrorsIdle(context: SoakContext): Promise<boolean> {
  await context.needHandles(4000);
  await context.needDisk(2e9);
  const folder = path.join(context.folder, 'mirrors-idle');
  await rm(folder, { recursive: true, force: true });
  await mkdir(folder, { recursive: true });
  const { COUCHDB_URL } = process.env;
  const back = COUCHDB_URL === undefined ? await Restartable.start() : couchBehind(COUCHDB_URL);
  const misses: string[] = [];
  try {
    await inParallel(NAMES, 8, (name) => fill(back.couch, name));
    await back.couch.put('/_global_changes');
    const front = await Restartable.start({ args: ['--config', await configFor(back, folder)] });
    try {
      await context.record({ case: 'warm-up', ...(await warmUp(front)) });
      for (const by of ['_db_updates', 'polls'] as const)
        misses.push(...(await measure(context, front, back, by)));
    } finally {
      await front.remove();
    }
  } finally {
    await back.remove();
    await rm(folder, { recursive: true, force: true });
  }
  assert.deepEqual(misses, []);
  return true;
}

const NAMES = Array.from({ length: COUNT }, (_, at) => `idle-${String(at).padStart(4, '0')}`);

/** It must have no database of the events: one is made, and removed. */
function couchBehind(address: string): Back {
  const { couch, ...remote } = couchAt(address);
  const remove = async (): Promise<void> => {
    await inParallel(['_global_changes', ...NAMES], 8, (name) => couch.request('DELETE', `/${name}`));
    await couch.close();
  };
  return { couch, ...remote, remove };
}

async function fill(couch: Couch, name: string): Promise<void> {
  await couch.put(`/${name}?q=1`);
  const docs = Array.from({ length: DOCUMENTS }, (_, at) => ({ _id: `d${at}`, text: 'x'.repeat(200) }));
  await couch.request('POST', `/${name}/_bulk_docs`, { body: { docs } });
}

async function configFor(back: Back, folder: string): Promise<string> {
  const { username, password } = back.auth;
  const file = path.join(folder, 'causeway.yaml');
  const rules = '[{match: "idle-*", mode: mirror, start: eager}, {match: "*", mode: local}]';
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

/** @returns the bounds that were missed */
async function measure(
  context: SoakContext,
  front: Restartable,
  back: Back,
  by: keyof typeof LATEST,
): Promise<readonly string[]> {
  if (by === 'polls') await back.couch.request('DELETE', '/_global_changes');
  await until(by, async () => (await statusOf(front)).changes_noticed.by === by, { step: 1000 });
  await asleep(front);
  const [ticks, began] = [await processorTicks(front.pid), performance.now()];
  await pause(MEASURED);
  const used = ((await processorTicks(front.pid)) - ticks) * 10;
  const cpu = (used / (performance.now() - began)) * 100;
  const memory = await anonymousMemory(front.pid);
  const waits = await latencies(front, back);
  const longest = waits.at(-1) ?? Infinity;
  await context.record({
    case: by,
    mirrors: COUNT,
    cpuPercent: Math.round(cpu * 100) / 100,
    memoryMB: Math.round(memory / 1e6),
    latencyMs: { median: waits[waits.length >> 1], longest },
  });
  return [
    ...(cpu < MOST_CPU ? [] : [`by ${by} idle mirrors take ${cpu.toFixed(2)} % of a processor`]),
    ...(memory < MOST_MEMORY ? [] : [`by ${by} idle mirrors take ${String(Math.round(memory / 1e6))} MB`]),
    ...(longest < LATEST[by] ? [] : [`by ${by} a write upstream was here after ${String(longest)} ms`]),
  ];
}

/** How long writes upstream take to be here, each in another mirror that sleeps; the shortest first. */
async function latencies(front: Restartable, back: Back): Promise<readonly number[]> {
  const names = NAMES.filter((_, at) => at % (COUNT / WRITES) === 7);
  const waits = await inParallel(names, WRITES, async (name, at) => {
    // Not all at the same moment.
    await pause(at * 600);
    const before = await broughtTo(front, name);
    const began = performance.now();
    await back.couch.put(`/${name}/${randomUUID()}`, {});
    await until('it to be here', async () => (await broughtTo(front, name)) > before, { ceiling: 90_000 });
    return Math.round(performance.now() - began);
  });
  return waits.sort((a, b) => a - b);
}

/** How many documents a mirror has pulled. To ask for the database itself would wake it. */
async function broughtTo(front: Restartable, name: string): Promise<number> {
  const shown = (await front.couch.get(`/_gateway/databases/${name}`)) as {
    pull: { documents: number };
  };
  return shown.pull.documents;
}

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { type Arrival, pulledFromCauseway, pulledFromCouchDb, pushed } from '../support/arrivals.js';
import { COUNT, LEAVES, requireMerged } from '../support/conflicted.js';
import type { Couch, Info } from '../support/couch.js';
import { processorTicks } from '../support/proc.js';
import { Restartable } from '../support/restartable.js';
import { until } from '../support/wait.js';
import type { SoakContext } from './context.js';

const ROUNDS = 3;
/** Merging takes no more than as long again. */
const LEAST_RATIO = 0.5;

type Kind = 'kept' | 'merged';

/**
 * How fast documents in conflict are merged as they arrive, beside how fast they arrive where conflicts are kept: sent by
 * a client, pulled from another Causeway, and pulled from the CouchDB that COUCHDB_URL names.
 */
export async function merging(context: SoakContext): Promise<boolean> {
  await context.needDisk(2e9);
  const rules = [{ match: 'merged-*', mode: 'local', merge: 'three-way' }];
  const server = await Restartable.start({ env: { CAUSEWAY_DATABASES: JSON.stringify(rules) } });
  const arrivals: Arrival[] = [pushed(server)];
  try {
    arrivals.push(await pulledFromCauseway(server));
    const { COUCHDB_URL } = process.env;
    if (COUCHDB_URL !== undefined) arrivals.push(pulledFromCouchDb(server, COUCHDB_URL));
    const { from, to } = context.options.rounds ?? { from: 1, to: ROUNDS };
    const pairs = new Map<Arrival, Pair[]>(arrivals.map((arrival) => [arrival, []]));
    let next = from;
    do {
      await measureRound(context, server, pairs, next);
      next += 1;
    } while (next <= to && !context.isSpent);
    await judge(context, pairs);
    if (next > to) return true;
    context.say(`go on with --rounds ${String(next)}-${String(to)}`);
    return false;
  } finally {
    await Promise.all([server.remove(), ...arrivals.map((arrival) => arrival.close())]);
  }
}

interface Measured {
  readonly perSecond: number;
  /** Of the server, for each document; left out where there is no /proc. */
  readonly processorMicroseconds?: number;
}

/** What was measured one after the other. */
type Pair = Readonly<Record<Kind, Measured>>;

/** In each round all arrivals take turns, so that whatever else the machine does meets all of them. */
async function measureRound(
  context: SoakContext,
  server: Restartable,
  pairs: ReadonlyMap<Arrival, Pair[]>,
  round: number,
): Promise<void> {
  for (const [arrival, measured] of pairs) {
    const pair = await measurePair(server, arrival, round % 2 === 0);
    measured.push(pair);
    await context.record({ round, arrival: arrival.name, ...pair, ratio: hundredths(ratioOf(pair)) });
  }
}

/** Each arrival by itself, by the rounds of this call. */
async function judge(context: SoakContext, pairs: ReadonlyMap<Arrival, readonly Pair[]>): Promise<void> {
  const misses: string[] = [];
  for (const [{ name }, measured] of pairs) {
    const figures = summary(measured);
    await context.record({ arrival: name, ...figures });
    if (!figures.isReached) misses.push(`${name}: merging takes more than as long again`);
  }
  assert.deepEqual(misses, []);
}

async function measurePair(server: Restartable, arrival: Arrival, isMergedFirst: boolean): Promise<Pair> {
  if (!isMergedFirst)
    return {
      kept: await measureOne(server, arrival, 'kept'),
      merged: await measureOne(server, arrival, 'merged'),
    };
  const merged = await measureOne(server, arrival, 'merged');
  return { kept: await measureOne(server, arrival, 'kept'), merged };
}

async function measureOne(server: Restartable, arrival: Arrival, kind: Kind): Promise<Measured> {
  const database = `${kind}-${randomBytes(8).toString('hex')}`;
  try {
    await arrival.prepare(database);
    const measured = await arrive(server, arrival, database, kind);
    if (kind === 'merged') await requireMerged(server.couch, database);
    await server.couch.delete(`/${database}`);
    return measured;
  } finally {
    await arrival.clear(database);
  }
}

/** Where conflicts are merged it ends when the last one is. */
async function arrive(
  { couch, pid }: Restartable,
  arrival: Arrival,
  database: string,
  kind: Kind,
): Promise<Measured> {
  // The merged revision, and a tombstone of each leaf but one.
  const writes = COUNT * (1 + LEAVES.length) + (kind === 'merged' ? COUNT * LEAVES.length : 0);
  const ticks = await ticksOf(pid);
  const started = performance.now();
  let hasFailed = false;
  const brought = arrival.bring(database).catch((error: unknown) => {
    hasFailed = true;
    throw error;
  });
  const isThere = async (): Promise<boolean> => hasFailed || (await lastSeq(couch, database)) >= writes;
  const there = until(`${database} has ${String(writes)} revisions`, isThere, { ceiling: 300_000, step: 50 });
  const [ended] = await Promise.all([there.then(() => performance.now()), brought]);
  const used = ((await ticksOf(pid)) - ticks) * 10_000;
  return {
    perSecond: Math.round((COUNT * 1000) / (ended - started)),
    ...(Number.isFinite(used) && { processorMicroseconds: Math.round(used / COUNT) }),
  };
}

/** Not a number where there is no /proc. */
const ticksOf = async (pid: number): Promise<number> =>
  existsSync('/proc/self/stat') ? await processorTicks(pid) : NaN;

async function lastSeq(couch: Couch, database: string): Promise<number> {
  const { update_seq: seq } = (await couch.get(`/${database}`)) as Info;
  return Number.parseInt(seq, 10);
}

const ratioOf = ({ kept, merged }: Pair): number => merged.perSecond / kept.perSecond;

/** The medians of what was measured; that of the ratio is one of two runs that followed each other. */
function summary(pairs: readonly Pair[]) {
  const ratio = median(pairs.map(ratioOf));
  return {
    kept: medians(pairs.map(({ kept }) => kept)),
    merged: medians(pairs.map(({ merged }) => merged)),
    ratio: hundredths(ratio),
    isReached: ratio >= LEAST_RATIO,
  };
}

function medians(all: readonly Measured[]): Measured {
  const processor = all.flatMap(({ processorMicroseconds }) => processorMicroseconds ?? []);
  return {
    perSecond: median(all.map(({ perSecond }) => perSecond)),
    ...(processor.length > 0 && { processorMicroseconds: median(processor) }),
  };
}

const median = (values: readonly number[]): number =>
  values.toSorted((a, b) => a - b)[values.length >> 1] ?? NaN;

const hundredths = (value: number): number => Math.round(value * 100) / 100;

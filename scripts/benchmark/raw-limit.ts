import { hash, randomBytes } from 'node:crypto';
import { mkdtemp, open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { ClassicLevel } from 'classic-level';

/** Microseconds of processor time that LevelDB alone takes for a unit of a workload, by the workload's name. */
export type RawCosts = ReadonlyMap<string, number>;

const PAGE = 1000;
/** Documents in small batches, each of which has a sync. */
const PUTS = 5000;
/** The same in batches of one. */
const SINGLE_PUTS = 500;

/**
 * What the reads and synced batches of each workload cost in LevelDB, with nothing around them: metadata and a body for
 * each document, a row of the changes index, keys and values of the lengths that the store's have.
 * @param count of documents
 */
export async function rawCosts(count: number): Promise<RawCosts> {
  const folder = await mkdtemp(path.join(tmpdir(), 'causeway-bench-'));
  const level = new ClassicLevel(folder, { writeBufferSize: 16 * 1024 * 1024 });
  try {
    await level.open();
    const costs = new Map<string, number>();
    const of = async (name: string, units: number, work: () => void | Promise<void>): Promise<void> => {
      costs.set(name, await cost(units, work));
    };
    // The first ones make what the others read.
    await of('bulk', count, () => writeAll(level, '', 500, count));
    await of('bulk-replicated', count, () => writeAll(level, 'second-', 500, count));
    await of('put', PUTS, () => writeAll(level, 'third-', 50, PUTS));
    await of('put-one', SINGLE_PUTS, () => writeAll(level, 'fourth-', 1, SINGLE_PUTS));
    costs.set('put-databases', costs.get('put-one') ?? 0);
    await of('get', count, () => getAll(level, count));
    await of('changes', count, () => readRows(level));
    costs.set('get-session', costs.get('get') ?? 0);
    costs.set('changes-pages', costs.get('changes') ?? 0);
    await of('all-docs', count, () => readWithBodies(level));
    await of('revs-diff-present', count, () => getPages(level, count, 'meta-'));
    await of('revs-diff-missing', count, () => getPages(level, count, 'none-'));
    await of('bulk-get', count, () => getPages(level, count, 'meta-', 'body-'));
    return costs;
  } finally {
    await level.close();
    await rm(folder, { recursive: true, force: true });
  }
}

async function cost(units: number, work: () => void | Promise<void>): Promise<number> {
  const before = process.cpuUsage();
  await work();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / units;
}

const keyOf = (index: number): string => String(index).padStart(16, '0');
const META = `{"id":"","rev_tree":${JSON.stringify(hash('md5', 'a').repeat(6))}}`;
const BODY = 'b'.repeat(500);
const ROW = 'r'.repeat(110);

async function writeAll(level: ClassicLevel, prefix: string, size: number, count: number): Promise<void> {
  for (let from = 0; from < count; from += size) {
    const batch = level.batch();
    for (let at = from; at < from + size; at++) {
      batch.put(`${prefix}meta-${keyOf(at)}`, META);
      batch.put(`${prefix}body-${keyOf(at)}`, BODY);
      batch.put(`${prefix}row-${keyOf(at)}`, ROW);
    }
    await batch.write({ sync: true });
  }
}

function getAll(level: ClassicLevel, count: number): void {
  for (let index = 0; index < count; index++) {
    const key = keyOf((index * 7919) % count);
    level.getSync(`meta-${key}`);
    level.getSync(`body-${key}`);
  }
}

async function readRows(level: ClassicLevel): Promise<void> {
  const rows = level.values({ gte: 'row-', lt: 'row-~', highWaterMarkBytes: 1 << 20 });
  for (let page = await rows.nextv(PAGE); page.length > 0; page = await rows.nextv(PAGE)) page.join('');
  await rows.close();
}

async function readWithBodies(level: ClassicLevel): Promise<void> {
  const entries = level.iterator({ gte: 'meta-', lt: 'meta-~', highWaterMarkBytes: 1 << 20 });
  for (let page = await entries.nextv(PAGE); page.length > 0; page = await entries.nextv(PAGE)) {
    const bodies = await level.getMany(page.map(([key]) => key.replace('meta-', 'body-')));
    bodies.join('');
  }
  await entries.close();
}

async function getPages(level: ClassicLevel, count: number, ...prefixes: readonly string[]): Promise<void> {
  for (let from = 0; from < count; from += PAGE) {
    const keys = Array.from({ length: PAGE }, (_, at) => keyOf(from + at));
    for (const prefix of prefixes) await level.getMany(keys.map((key) => prefix + key));
  }
}

/** Milliseconds that one synced write of a small block takes on the disk of the temporary folder: the median. */
export async function syncLatency(): Promise<number> {
  const folder = await mkdtemp(path.join(tmpdir(), 'causeway-bench-'));
  const file = await open(path.join(folder, 'log'), 'a');
  try {
    const times: number[] = [];
    for (let n = 0; n < 200; n++) {
      const started = performance.now();
      await file.write(randomBytes(512));
      await file.datasync();
      times.push(performance.now() - started);
    }
    return times.sort((a, b) => a - b)[100] ?? 0;
  } finally {
    await file.close();
    await rm(folder, { recursive: true, force: true });
  }
}

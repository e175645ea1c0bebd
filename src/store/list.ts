import type { ClassicLevel } from 'classic-level';
import { BodyPages } from './body-pages.js';
import type { LargeBodies } from './large-bodies.js';
import * as layout from './layout.js';
import type { Snapshot } from './level.js';
import { pagesOf } from './pages.js';
import type { Positions } from './positions.js';
import { isLivingText, parseRecord, type StoredDocument } from './record.js';
import type { ListedDocument, Listing, ListRange, LocalDocument } from './types.js';

/** Documents read at a time. */
const PAGE = 500;

interface Bounds {
  gte?: string;
  gt?: string;
  lte?: string;
  lt?: string;
}

/** Key bounds of a range in a sublevel; undefined where start lies behind end. */
function boundsOf(sublevel: typeof layout.documents, range: ListRange): Bounds | undefined {
  const { start, end, inclusiveEnd = true, descending = false } = range;
  const first = start === undefined ? undefined : sublevel.key(start);
  const last = end === undefined ? undefined : sublevel.key(end);
  if (first !== undefined && last !== undefined) {
    const order = Buffer.compare(Buffer.from(first), Buffer.from(last));
    if (descending ? order < 0 : order > 0) return undefined;
  }
  const bounds: Bounds = {};
  const [low, high] = descending ? [last, first] : [first, last];
  if (low === undefined) bounds.gte = sublevel.start;
  else if (descending && !inclusiveEnd) bounds.gt = low;
  else bounds.gte = low;
  if (high === undefined) bounds.lt = sublevel.end;
  else if (!descending && !inclusiveEnd) bounds.lt = high;
  else bounds.lte = high;
  return bounds;
}

/** Number of living documents between two keys. */
export async function countLiving(
  level: ClassicLevel,
  bounds: Bounds & { snapshot?: Snapshot },
): Promise<number> {
  const texts = level.values({ ...bounds, highWaterMarkBytes: 1 << 20 });
  let count = 0;
  for await (const page of pagesOf(texts, PAGE)) {
    for (const text of page) if (isLivingText(text)) count++;
  }
  return count;
}

/** Living documents in the order of their ids, from one snapshot. */
export async function listDocuments(
  level: ClassicLevel,
  positions: Positions,
  range: ListRange,
  total: number,
  largeBodies: LargeBodies,
): Promise<Listing> {
  const snapshot = level.snapshot();
  try {
    const before = await countBefore(positions, snapshot, range, total);
    const bounds = boundsOf(layout.documents, range);
    if (bounds === undefined) {
      await snapshot.close();
      return { total, offset: before, pages: NO_PAGES };
    }
    const texts = level.values({
      ...bounds,
      reverse: range.descending ?? false,
      snapshot,
      highWaterMarkBytes: 1 << 20,
    });
    const reader = new LivingReader(texts);
    const skipped = await reader.skip(range.skip ?? 0);
    return { total, offset: before + skipped, pages: readPages(level, snapshot, reader, range, largeBodies) };
  } catch (error) {
    await snapshot.close();
    throw error;
  }
}

const NO_PAGES: AsyncIterable<never> = {
  [Symbol.asyncIterator]: () => ({ next: () => Promise.resolve({ done: true, value: undefined }) }),
};

/** Living documents that the order of the listing puts before its start. */
async function countBefore(
  positions: Positions,
  snapshot: Snapshot,
  { start, descending }: ListRange,
  total: number,
): Promise<number> {
  if (start === undefined) return 0;
  if (descending !== true) return positions.before(start, false, snapshot);
  return Math.max(0, total - (await positions.before(start, true, snapshot)));
}

/** Reads records from an iterator over `document-store`, leaving out the deleted ones. */
class LivingReader {
  #page: StoredDocument[] = [];

  constructor(private readonly texts: { nextv(size: number): Promise<string[]>; close(): Promise<void> }) {}

  /** Living documents that come next; empty at the end. */
  async peek(): Promise<readonly StoredDocument[]> {
    while (this.#page.length === 0) {
      const texts = await this.texts.nextv(PAGE);
      if (texts.length === 0) return [];
      this.#page = texts.map(parseRecord).filter((record) => !record.deleted);
    }
    return this.#page;
  }

  /** Passes over some of those. */
  drop(count: number): void {
    this.#page = this.#page.slice(count);
  }

  /** @returns how many there were to pass over. */
  async skip(count: number): Promise<number> {
    let skipped = 0;
    while (skipped < count) {
      const passed = Math.min(count - skipped, (await this.peek()).length);
      if (passed === 0) break;
      this.drop(passed);
      skipped += passed;
    }
    return skipped;
  }

  close(): Promise<void> {
    return this.texts.close();
  }
}

/** No generator: those that are returned before their first step leave everything open. */
function readPages(
  level: ClassicLevel,
  snapshot: Snapshot,
  reader: LivingReader,
  { limit = Infinity, bodies = false, records = false }: ListRange,
  largeBodies: LargeBodies,
): AsyncIterable<readonly ListedDocument[]> {
  let left = limit;
  const winners = new BodyPages<StoredDocument>({
    bodyBound: (record) => largeBodies.bound(winnerSeq(record)),
    readMany: (part) => level.getMany(part.map(winnerKey), { snapshot }),
  });
  const end = async (): Promise<IteratorReturnResult<undefined>> => {
    left = 0;
    await reader.close();
    await snapshot.close();
    return { done: true, value: undefined };
  };
  const next = async (): Promise<IteratorResult<readonly ListedDocument[], undefined>> => {
    try {
      const coming = left > 0 ? (await reader.peek()).slice(0, left) : [];
      if (coming.length === 0) return await end();
      const texts = bodies ? await winners.read(coming) : undefined;
      const page = coming.slice(0, texts?.length);
      reader.drop(page.length);
      left -= page.length;
      return { done: false, value: page.map((record, at) => listed(record, texts?.[at], records)) };
    } catch (error) {
      await end();
      throw error;
    }
  };
  return { [Symbol.asyncIterator]: () => ({ next, return: end }) };
}

function listed(record: StoredDocument, text: string | undefined, records: boolean): ListedDocument {
  return {
    id: record.id,
    rev: record.winner,
    ...(text === undefined ? {} : { text }),
    ...(records ? { record } : {}),
  };
}

const winnerSeq = (record: StoredDocument): number => record.bodySeqs.get(record.winner) ?? 0;

const winnerKey = (record: StoredDocument): string => layout.bodies.key(layout.seqKey(winnerSeq(record)));

/** Living documents of a short range of ids; their bodies are read one by one. */
export async function readBetween(
  level: ClassicLevel,
  start: string,
  end: string,
): Promise<Iterable<ListedDocument>> {
  const texts = await level.values({ gte: layout.documents.key(start), lt: layout.documents.key(end) }).all();
  return readEach(level, texts.filter(isLivingText).map(parseRecord));
}

function* readEach(
  level: ClassicLevel,
  records: readonly StoredDocument[],
): Generator<ListedDocument, undefined> {
  for (const record of records) yield listed(record, level.getSync(winnerKey(record)), false);
}

/** Local documents in the order of their ids. */
export async function* listLocals(
  level: ClassicLevel,
  range: ListRange,
): AsyncGenerator<readonly LocalDocument[]> {
  const bounds = boundsOf(layout.locals, range);
  if (bounds === undefined) return;
  const entries = level.iterator({
    ...bounds,
    reverse: range.descending ?? false,
    highWaterMarkBytes: 1 << 20,
  });
  let skip = range.skip ?? 0;
  let left = range.limit ?? Infinity;
  for await (const page of pagesOf(entries, PAGE)) {
    const wanted = page.slice(skip, skip + left);
    skip = Math.max(0, skip - page.length);
    left -= wanted.length;
    yield wanted.map(([key, text]) => ({
      id: layout.locals.strip(key),
      rev: (JSON.parse(text) as { _rev: string })._rev,
      text,
    }));
    if (left <= 0) return;
  }
}

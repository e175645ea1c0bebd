import type { ClassicLevel } from 'classic-level';
import { BodyPages } from './body-pages.js';
import type { LargeBodies } from './large-bodies.js';
import * as layout from './layout.js';
import type { Snapshot } from './level.js';
import { readRecord } from './line-record.js';
import { pagesOf, readPages } from './pages.js';
import type { Positions } from './positions.js';
import { isLivingText, type StoredRecord } from './record.js';
import type { ListedDocument, Listing, ListRange, LocalDocument } from './types/listings.js';
import { behind, entriesOf, type KeyRange as Bounds, View } from './view.js';

/** Documents read at a time. */
const PAGE = 500;

/** Key bounds of a range in a sublevel; undefined where start lies behind end. */
function boundsOf(sublevel: typeof layout.documents, range: ListRange): Bounds | undefined {
  const { start, end, inclusiveEnd = true, descending = false } = range;
  const first = start === undefined ? undefined : sublevel.key(start);
  const last = end === undefined ? undefined : sublevel.key(end);
  if (first !== undefined && last !== undefined) {
    const order = Buffer.compare(Buffer.from(first), Buffer.from(last));
    if (descending ? order < 0 : order > 0) return undefined;
  }
  const [low, high] = descending ? [last, first] : [first, last];
  return {
    ...(low === undefined
      ? { gte: sublevel.start }
      : descending && !inclusiveEnd
        ? { gt: low }
        : { gte: low }),
    ...(high === undefined
      ? { lt: sublevel.end }
      : !descending && !inclusiveEnd
        ? { lt: high }
        : { lte: high }),
  };
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

/** Living documents in the order of their ids, from one snapshot unless they are read slowly. */
export async function listDocuments(
  level: ClassicLevel,
  positions: Positions,
  range: ListRange,
  total: number,
  largeBodies: LargeBodies,
): Promise<Listing> {
  const reader = new ListReader(level, range, largeBodies);
  try {
    const offset = await reader.begin((snapshot) => countBefore(positions, snapshot, range, total));
    return { total, offset, pages: readPages(reader) };
  } catch (error) {
    await reader.close();
    throw error;
  }
}

/** Living documents that the order of the listing puts before its start. */
async function countBefore(
  positions: Positions,
  snapshot: Snapshot,
  { start, descending, offset = true }: ListRange,
  total: number,
): Promise<number> {
  if (start === undefined || !offset) return 0;
  if (descending !== true) return positions.before(start, false, snapshot);
  return Math.max(0, total - (await positions.before(start, true, snapshot)));
}

/** Reads records from an iterator over `document-store`, leaving out the deleted ones. */
class LivingReader {
  #page: StoredRecord[] = [];

  constructor(private readonly texts: { nextv(size: number): Promise<string[]>; close(): Promise<void> }) {}

  /** Living documents that come next; empty at the end. */
  async peek(): Promise<readonly StoredRecord[]> {
    while (this.#page.length === 0) {
      const texts = await this.texts.nextv(PAGE);
      if (texts.length === 0) return [];
      this.#page = texts.map(readRecord).filter((record) => !record.deleted);
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

/** The bounds of a range that has no documents in it. */
const NOTHING: Bounds = { gte: layout.documents.end, lt: layout.documents.end };

/** Reads a listing page by page, at whatever pace. */
class ListReader {
  readonly #bounds: Bounds;
  readonly #view: View<LivingReader>;
  readonly #winners: BodyPages<StoredRecord>;
  #snapshot: Snapshot | undefined;
  /** The id of the last document that was given out. */
  #last: string | undefined;
  /** Documents that may still come. */
  #left: number;
  /** Documents that were passed over at the beginning. */
  #skipped = 0;

  constructor(
    private readonly level: ClassicLevel,
    private readonly range: ListRange,
    largeBodies: LargeBodies,
  ) {
    this.#bounds = boundsOf(layout.documents, range) ?? NOTHING;
    this.#left = range.limit ?? Infinity;
    this.#view = new View(level, (snapshot) => this.#open(snapshot));
    this.#winners = new BodyPages<StoredRecord>({
      bodyBound: (record) => largeBodies.bound(winnerSeq(record)),
      readMany: (part) => level.getMany(part.map(winnerKey), { snapshot: this.#snapshot }),
    });
  }

  async #open(snapshot: Snapshot): Promise<LivingReader> {
    this.#snapshot = snapshot;
    const { descending: reverse = false, skip = 0 } = this.range;
    const last = this.#last;
    const rest =
      last === undefined ? this.#bounds : behind(this.#bounds, layout.documents.key(last), reverse);
    const texts = this.level.values({ ...rest, reverse, snapshot, highWaterMarkBytes: 1 << 20 });
    const reader = new LivingReader(texts);
    if (last === undefined) this.#skipped = await reader.skip(skip);
    return reader;
  }

  /** @returns how many documents come before the first, given how many come before the range */
  begin(before: (snapshot: Snapshot) => Promise<number>): Promise<number> {
    return this.#view.read(async (_reader, snapshot) => (await before(snapshot)) + this.#skipped);
  }

  /** The next documents; none at the end. */
  async next(): Promise<readonly ListedDocument[]> {
    if (this.#left <= 0) return [];
    return this.#view.read(async (reader) => {
      const coming = (await reader.peek()).slice(0, this.#left);
      if (coming.length === 0) return [];
      const { bodies = false, records = false } = this.range;
      const texts = bodies ? await this.#winners.read(coming) : undefined;
      const page = coming.slice(0, texts?.length);
      reader.drop(page.length);
      this.#left -= page.length;
      this.#last = page.at(-1)?.id;
      return page.map((record, at) => listed(record, texts?.[at], records));
    });
  }

  async close(): Promise<void> {
    this.#left = 0;
    await this.#view.close();
  }
}

function listed(record: StoredRecord, text: string | undefined, records: boolean): ListedDocument {
  const { id, winner: rev } = record;
  if (records) return text === undefined ? { id, rev, record } : { id, rev, text, record };
  return text === undefined ? { id, rev } : { id, rev, text };
}

const winnerSeq = (record: StoredRecord): number => record.bodySeq(record.winner) ?? 0;

const winnerKey = (record: StoredRecord): string => layout.bodies.key(layout.seqKey(winnerSeq(record)));

/** Living documents of a short range of ids; their bodies are read one by one. */
export async function readBetween(
  level: ClassicLevel,
  start: string,
  end: string,
): Promise<Iterable<ListedDocument>> {
  const texts = await level.values({ gte: layout.documents.key(start), lt: layout.documents.key(end) }).all();
  return readEach(level, texts.filter(isLivingText).map(readRecord));
}

function* readEach(
  level: ClassicLevel,
  records: readonly StoredRecord[],
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
  const reverse = range.descending ?? false;
  let skip = range.skip ?? 0;
  let left = range.limit ?? Infinity;
  for await (const page of entriesOf(level, bounds, { size: PAGE, reverse })) {
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

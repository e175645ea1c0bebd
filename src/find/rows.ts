import { conflictsOf } from '../changes/rows.js';
import { moved } from '../json/exact.js';
import { Turns } from '../json/turns.js';
import { put } from '../selector/fields.js';
import { BodyPages } from '../store/body-pages.js';
import { compareIds } from '../store/order.js';
import { partitionRange } from '../store/partitions.js';
import type { DocumentExtras } from '../store/document.js';
import type { Database } from '../store/types/database.js';
import type { ListRange } from '../store/types/listings.js';
import type { DocumentRecord, StoredRevision } from '../store/types/records.js';
import { type Parsed, within } from '../views/tree/order.js';
import { rank, slices } from '../views/tree/read.js';
import type { ViewSnapshot } from '../views/types.js';
import type { Position } from './bookmark.js';
import type { Runnable } from './plan.js';
import type { Bound, Range } from './ranges.js';
import type { FindQuery, Index, IndexOpener } from './types.js';

/** A row of an index, and the document that it is of. */
export interface FoundRow extends Position {
  /** As clients get it; undefined where it is not there any more. */
  readonly text: string | undefined;
  /** Whether it is all of the document, which was read; else it is what the index itself has of it. */
  readonly isWhole: boolean;
}

/** Where a query is answered from. */
export interface Source {
  readonly db: Database;
  readonly indexes: IndexOpener;
  /** A stored text as clients get it. */
  readonly show: (stored: string, extras: DocumentExtras) => string;
}

/** Rows read at a time at most. */
const MOST = 100;

/** For so long rows are read from one moment of an index: what is older than its newest state keeps files on the disk. */
const MOMENT_MS = 60_000;

/** The rows that a plan says, in their order, in pages. @param after where the last page ended */
export function foundRows(
  source: Source,
  plan: Runnable,
  query: FindQuery,
  after: Position | undefined,
): AsyncIterable<readonly FoundRow[]> {
  return plan.index.type === 'special'
    ? rowsById(source, plan.ranges, query, after)
    : rowsOfIndex(source, plan, query, after);
}

export const isDescending = ({ sort }: Pick<FindQuery, 'sort'>): boolean => sort[0]?.direction === 'desc';

// ---- documents by their ids -----------------------------------------------------------------------------------

async function* rowsById(
  { db, show }: Source,
  [range = {}]: readonly Range[],
  query: FindQuery,
  after: Position | undefined,
): AsyncGenerator<readonly FoundRow[]> {
  const ids = idRange(range, query, after?.id);
  if (ids === undefined) return;
  const { pages } = await db.list({ ...ids, bodies: true, records: query.conflicts, offset: false });
  for await (const page of pages) {
    yield page
      .filter(({ id }) => id !== after?.id)
      .map(({ id, text, record }) => ({
        key: JSON.stringify(id),
        id,
        text: text === undefined ? undefined : show(text, extrasOf(record, query)),
        isWhole: true,
      }));
  }
}

/** The ids of a range, from where the last page ended; undefined for none. Everything that is no text is below all ids. */
function idRange({ low, high }: Range, query: FindQuery, after: string | undefined): ListRange | undefined {
  const descending = isDescending(query);
  if (high !== undefined && typeof high.value !== 'string') return undefined;
  const bounds = [textOf(low), textOf(high)];
  const [first, last] = descending ? bounds.toReversed() : bounds;
  const isBehind =
    after !== undefined && (first === undefined || compareIds(after, first) * (descending ? -1 : 1) > 0);
  const start = isBehind ? after : first;
  const ids = {
    descending,
    ...(start !== undefined && { start }),
    ...(last !== undefined && { end: last }),
  };
  return query.partition === undefined ? ids : { ...ids, ...partitionRange(query.partition, ids) };
}

const textOf = (bound: Bound | undefined): string | undefined =>
  typeof bound?.value === 'string' ? bound.value : undefined;

const extrasOf = (record: DocumentRecord | undefined, { conflicts }: FindQuery): DocumentExtras =>
  conflicts && record !== undefined ? { conflicts: conflictsOf(record) } : {};

// ---- rows of an index -----------------------------------------------------------------------------------------

async function* rowsOfIndex(
  source: Source,
  plan: Runnable,
  query: FindQuery,
  after: Position | undefined,
): AsyncGenerator<readonly FoundRow[]> {
  const bodies = new BodyPages<StoredRevision | undefined>(source.db);
  const first = Math.max(1, Math.min(MOST, query.limit + query.skip));
  for await (const page of places(source, plan, query, after, first)) {
    if (plan.isCovering) yield page.map((row) => ({ ...row, text: known(plan.index, row), isWhole: false }));
    else yield* withDocuments(source, page, query, bodies);
  }
}

/** What an index knows of a document. */
const known = ({ columns }: Index, { key, id }: Position): string =>
  moved(key, (values) => {
    const document = {};
    put(document, ['_id'], id);
    for (const [at, { path }] of columns.entries()) put(document, path, (values as readonly unknown[])[at]);
    return document;
  });

async function* withDocuments(
  { db, show }: Source,
  page: readonly Position[],
  query: FindQuery,
  bodies: BodyPages<StoredRevision | undefined>,
): AsyncGenerator<readonly FoundRow[]> {
  const records = await db.getMany(page.map(({ id }) => id));
  const rows = page.map((row, at) => ({ row, record: records[at] }));
  for await (const read of bodies.pages(rows, winnerOf)) {
    yield read.map(({ item: { row, record }, text }) => ({
      ...row,
      text: text === undefined ? undefined : show(text, extrasOf(record, query)),
      isWhole: true,
    }));
  }
}

const winnerOf = ({ record }: { readonly record: DocumentRecord | undefined }): StoredRevision | undefined =>
  record === undefined || record.deleted ? undefined : { record, rev: record.winner };

/** The rows of an index, first a few and then more at a time. Between two moments of the index some may come or go. */
async function* places(
  { db, indexes }: Source,
  { index, ranges }: Runnable,
  query: FindQuery,
  after: Position | undefined,
  first: number,
): AsyncGenerator<readonly Position[]> {
  let last = after;
  let size = first;
  for (let isOver = false; !isOver;) {
    const mode = query.update && query.stale === false && last === after ? 'true' : 'false';
    const snapshot = await indexes.open(db, index.ddoc ?? '', index.name, mode);
    const until = performance.now() + MOMENT_MS;
    isOver = true;
    try {
      for await (const page of positions(snapshot, ranges, query, last, () => size)) {
        yield page;
        last = page.at(-1) ?? last;
        size = Math.min(MOST, size * 4);
        isOver = performance.now() < until;
        if (!isOver) break;
      }
    } finally {
      await snapshot.close();
    }
  }
}

async function* positions(
  snapshot: ViewSnapshot,
  ranges: readonly Range[],
  query: FindQuery,
  after: Position | undefined,
  sizeNow: () => number,
): AsyncGenerator<readonly Position[]> {
  const descending = isDescending(query);
  const { from, to } = await numbers(snapshot, ranges, query, after);
  const turns = new Turns();
  let page: Position[] = [];
  for await (const slice of slices(snapshot.nodes, snapshot.root, from, to, descending)) {
    const count = slice.to - slice.from;
    for (let nth = 0; nth < count; nth++) {
      const { key, id } = slice.leaf.row(descending ? slice.to - 1 - nth : slice.from + nth);
      page.push({ key, id });
      if (page.length < sizeNow()) continue;
      yield page;
      page = [];
      await turns.pass();
    }
  }
  if (page.length > 0) yield page;
}

/** Which rows of an index a query is about, by their numbers. Where there is no bound, none has to be looked for. */
async function numbers(
  { nodes, root, collate }: ViewSnapshot,
  ranges: readonly Range[],
  query: FindQuery,
  after: Position | undefined,
): Promise<{ from: number; to: number }> {
  const { start, end } = keysOf(ranges);
  const { partition } = query;
  const descending = isDescending(query);
  const before = (isBefore: (place: Parsed) => boolean): Promise<number> =>
    rank(nodes, root, within(partition, isBefore));
  const beginning = (key: unknown): readonly unknown[] => (key as readonly unknown[]).slice(0, end.length);
  const [from, to, behind] = await Promise.all([
    start.length > 0
      ? before(({ key }) => collate(key, start) < 0)
      : partition === undefined
        ? 0
        : before(() => false),
    end.length > 0
      ? before(({ key }) => collate(beginning(key), end) <= 0)
      : partition === undefined
        ? (root?.rows ?? 0)
        : before(() => true),
    after && before(isUpTo(after, collate, descending)),
  ]);
  if (behind === undefined) return { from, to };
  return descending ? { from, to: Math.min(to, behind) } : { from: Math.max(from, behind), to };
}

/** Whether a row comes in the index before the end of a page, or is that; of one that goes backwards, only before. */
function isUpTo(
  { key, id }: Position,
  collate: ViewSnapshot['collate'],
  descending: boolean,
): (place: Parsed) => boolean {
  const last: unknown = JSON.parse(key);
  return (place) => {
    const order = collate(place.key, last) || compareIds(place.id, id);
    return descending ? order < 0 : order <= 0;
  };
}

/**
 * What keys begin with, at least and at most. Behind the first column without a bound, and where a bound is exclusive,
 * there may be rows in between that do not fit: as in CouchDB, the selector sorts them out.
 */
export function keysOf(ranges: readonly Range[]): { start: readonly unknown[]; end: readonly unknown[] } {
  const values = (bounds: readonly (Bound | undefined)[]): readonly unknown[] => {
    const open = bounds.indexOf(undefined);
    return (open < 0 ? bounds : bounds.slice(0, open)).map((bound) => bound?.value);
  };
  return { start: values(ranges.map(({ low }) => low)), end: values(ranges.map(({ high }) => high)) };
}

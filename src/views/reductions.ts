import { CouchError } from '../errors.js';
import { quote } from '../json/quote.js';
import { Turns } from '../json/turns.js';
import { type Pages, readPages } from '../store/pages.js';
import { Moment } from '../store/view.js';
import { REDUCE_OVERFLOW } from './reducers/custom.js';
import { countRanges, rangeAt, type RowRange, type Span, spanOf } from './spans.js';
import { comparePlaces, isSamePartition, type Parsed } from './tree/order.js';
import { type Group, groups, rank } from './tree/read.js';
import type { ViewReducer, ViewSnapshot } from './types.js';

/** How many elements of keys that are arrays make a group; other keys are whole, 0 puts all rows together. */
export type GroupLevel = number | 'exact';

export interface ReduceQuery extends RowRange {
  readonly groupLevel: GroupLevel;
  /** Counted in groups. */
  readonly skip: number;
  readonly limit: number;
}

export interface Reductions {
  readonly updateSeq: number;
  /** Pages of rows as JSON text. Must be iterated to its end or `return`ed. */
  readonly pages: Pages<string>;
}

/** Groups that are reduced at once, and characters of what they are reduced from, about. */
const BATCH = 100;
const BATCH_SIZE = 262_144;

/** The view's own is the only one. */
const REDUCER = 0;

/**
 * What the rows that are asked for reduce to, group by group, from one moment of the view unless they are read slowly.
 * @param open opens the view as it is at the moment; it must have a reducer
 */
export async function readReductions(
  open: () => Promise<ViewSnapshot>,
  query: ReduceQuery,
): Promise<Reductions> {
  const reader = new ReductionReader(open, query);
  try {
    return { updateSeq: await reader.begin(), pages: readPages(reader) };
  } catch (error) {
    await reader.close();
    throw error;
  }
}

class GroupCursor {
  groups: AsyncGenerator<Group> | undefined;

  constructor(readonly snapshot: ViewSnapshot) {}

  async close(): Promise<void> {
    await this.groups?.return(undefined);
    await this.snapshot.close();
  }
}

class ReductionReader {
  readonly #moment: Moment<GroupCursor>;
  readonly #turns = new Turns();
  /** Which range is read. */
  #at = 0;
  /** A row of the last group of it that was read. */
  #last: Parsed | undefined;
  #skip: number;
  #left: number;

  constructor(
    open: () => Promise<ViewSnapshot>,
    private readonly query: ReduceQuery,
  ) {
    this.#moment = new Moment(async () => new GroupCursor(await open()));
    this.#skip = query.skip;
    this.#left = query.limit;
  }

  begin(): Promise<number> {
    return this.#moment.read(({ snapshot }) => Promise.resolve(snapshot.updateSeq));
  }

  /** The next rows; none at the end. */
  async next(): Promise<readonly string[]> {
    if (this.#left <= 0) return [];
    return this.#moment.read(async (cursor) => {
      const batch: Group[] = [];
      let size = 0;
      while (batch.length < Math.min(BATCH, this.#left) && size < BATCH_SIZE) {
        await this.#turns.pass();
        const group = await this.#group(cursor);
        if (group === undefined) break;
        if (this.#skip > 0) {
          this.#skip--;
          continue;
        }
        batch.push(group);
        size += sizeOf(group);
      }
      this.#left -= batch.length;
      return batch.length === 0 ? [] : this.#reduced(cursor.snapshot, batch);
    });
  }

  async #group(cursor: GroupCursor): Promise<Group | undefined> {
    while (this.#at < countRanges(this.query)) {
      cursor.groups ??= await this.#open(cursor.snapshot, rangeAt(this.query, this.#at));
      const found = await cursor.groups.next();
      if (found.done !== true) {
        this.#last = found.value.place;
        return found.value;
      }
      cursor.groups = undefined;
      this.#at++;
      this.#last = undefined;
      await this.#turns.pass();
    }
    return undefined;
  }

  /** Groups of a range that were not read yet. */
  async #open(snapshot: ViewSnapshot, range: RowRange): Promise<AsyncGenerator<Group>> {
    const { descending } = this.query;
    const sameGroup = this.#sameGroup(snapshot);
    const whole = await spanOf(snapshot, range);
    const { from, to } =
      this.#last === undefined ? whole : await behind(snapshot, whole, this.#last, sameGroup, descending);
    return groups(snapshot.nodes, snapshot.root, { from, to, descending }, REDUCER, sameGroup);
  }

  #sameGroup(snapshot: ViewSnapshot): (a: Parsed, b: Parsed) => boolean {
    const { groupLevel } = this.query;
    if (groupLevel === 0) return () => true;
    const { collate } = snapshot;
    return (a, b) =>
      isSamePartition(snapshot, a, b) &&
      collate(groupKey(a.key, groupLevel), groupKey(b.key, groupLevel)) === 0;
  }

  async #reduced({ reducer }: ViewSnapshot, batch: readonly Group[]): Promise<readonly string[]> {
    if (reducer === undefined) throw new Error('a view without a reducer is not reduced');
    const reductions = await reduceGroups(reducer, batch);
    const { groupLevel } = this.query;
    return batch.map(({ place }, at) =>
      rowText(reducer, groupKey(place.key, groupLevel), reductions[at] ?? 'null'),
    );
  }

  async close(): Promise<void> {
    this.#left = 0;
    await this.#moment.close();
  }
}

const sizeOf = ({ portions }: Group): number =>
  portions.reduce(
    (sum, portion) =>
      sum +
      (portion.kind === 'reduced'
        ? portion.reduction.length
        : portion.rows.reduce((all, { key, value }) => all + key.length + value.length, 0)),
    0,
  );

function groupKey(key: unknown, level: GroupLevel): unknown {
  if (level === 0) return null;
  return level !== 'exact' && Array.isArray(key) && key.length > level ? key.slice(0, level) : key;
}

/** Rows are reduced first; what comes of them and what was kept is reduced again, as in CouchDB also where it is but one. */
async function reduceGroups(reducer: ViewReducer, batch: readonly Group[]): Promise<readonly string[]> {
  const runs = batch.flatMap(({ portions }) =>
    portions.flatMap((portion) => (portion.kind === 'rows' ? [portion.rows] : [])),
  );
  const reduced = (runs.length === 0 ? [] : await reducer.reduce(runs))[Symbol.iterator]();
  const parts = batch.map(({ portions }) =>
    portions.map((portion) => (portion.kind === 'rows' ? String(reduced.next().value) : portion.reduction)),
  );
  return reducer.rereduce(parts);
}

function rowText(reducer: ViewReducer, key: unknown, reduction: string): string {
  try {
    return `{"key":${JSON.stringify(key)},"value":${reducer.show(reduction)}}`;
  } catch (error) {
    // Other groups are still good; CouchDB does not say which one it is.
    if (!(error instanceof CouchError) || error.error !== REDUCE_OVERFLOW) throw error;
    return `{"key":null,"error":${quote(error.error)},"reason":${quote(error.reason)}}`;
  }
}

/** What of a span comes behind a group in the order of reading. */
async function behind(
  snapshot: ViewSnapshot,
  { from, to }: Span,
  last: Parsed,
  sameGroup: (a: Parsed, b: Parsed) => boolean,
  descending: boolean,
): Promise<Span> {
  const cut = await rank(snapshot.nodes, snapshot.root, (place) =>
    sameGroup(place, last) ? !descending : comparePlaces(snapshot, place, last) < 0,
  );
  return descending
    ? { from, to: Math.min(to, Math.max(from, cut)) }
    : { from: Math.max(from, Math.min(to, cut)), to };
}

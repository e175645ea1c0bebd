import { Turns } from '../json/turns.js';
import { type Pages, readPages } from '../store/pages.js';
import { Moment } from '../store/view.js';
import { countRanges, limited, rangeAt, type RowRange, skipped, type Span, spanOf } from './spans.js';
import { comparePlaces, type Parsed } from './tree/order.js';
import { rank, type Slice, slices } from './tree/read.js';
import type { ViewSnapshot } from './types.js';

export interface RowQuery extends RowRange {
  readonly skip: number;
  readonly limit: number;
}

/** A row of a view, all JSON text. */
export interface ViewRow {
  readonly id: string;
  readonly key: string;
  readonly value: string;
}

export interface ViewRows {
  /** Rows of the view. */
  readonly total: number;
  /** Rows before the first one, in the order of the answer. */
  readonly offset: number;
  /** The database's sequence of the rows. */
  readonly updateSeq: number;
  /** Pages of rows; memory does not grow with their number. Must be iterated to its end or `return`ed. */
  readonly pages: Pages<ViewRow>;
}

/** Rows of a page, and characters of them, about. */
const PAGE = 100;
const PAGE_SIZE = 65_536;

/**
 * The rows that are asked for, from one moment of the view unless they are read slowly.
 * @param open opens the view as it is at the moment
 */
export async function readRows(open: () => Promise<ViewSnapshot>, query: RowQuery): Promise<ViewRows> {
  const reader = new RowReader(open, query);
  try {
    return { ...(await reader.begin()), pages: readPages(reader) };
  } catch (error) {
    await reader.close();
    throw error;
  }
}

/** Reads a snapshot on and on. */
class RowCursor {
  slices: AsyncGenerator<Slice> | undefined;

  constructor(readonly snapshot: ViewSnapshot) {}

  async close(): Promise<void> {
    await this.slices?.return(undefined);
    await this.snapshot.close();
  }
}

class RowReader {
  readonly #moment: Moment<RowCursor>;
  readonly #turns = new Turns();
  /** Which range is read. */
  #at = 0;
  /** The last row of it that was given out. */
  #last: Parsed | undefined;
  /** Rows that are still to be passed over, and how many of them are in this range. */
  #skip: number;
  #skipping = 0;
  /** Rows that may still come. */
  #left: number;

  constructor(
    open: () => Promise<ViewSnapshot>,
    private readonly query: RowQuery,
  ) {
    this.#moment = new Moment(async () => new RowCursor(await open()));
    this.#skip = query.skip;
    this.#left = query.limit;
  }

  /** What stands above the rows. */
  begin(): Promise<Omit<ViewRows, 'pages'>> {
    return this.#moment.read(async ({ snapshot }) => {
      const total = snapshot.root?.rows ?? 0;
      const { descending, skip } = this.query;
      // The first range with rows decides, or the last one.
      let before = 0;
      for (let at = 0; at < countRanges(this.query); at++) {
        const { from, to } = await spanOf(snapshot, this.#range(at));
        before = descending ? total - to : from;
        this.#at = at;
        if (to > from) break;
        await this.#turns.pass();
      }
      const most = await this.#mostBefore(snapshot);
      return { total, offset: Math.min(most, before + skip), updateSeq: snapshot.updateSeq };
    });
  }

  /** How many rows can be passed over, however many are to be. */
  async #mostBefore(snapshot: ViewSnapshot): Promise<number> {
    const total = snapshot.root?.rows ?? 0;
    const { partition, descending, skip } = this.query;
    if (partition === undefined || skip === 0) return total;
    const { from, to } = await spanOf(snapshot, {
      ...this.query,
      startKey: undefined,
      endKey: undefined,
      keys: undefined,
    });
    return descending ? total - from : to;
  }

  /** The next rows; none at the end. */
  async next(): Promise<readonly ViewRow[]> {
    if (this.#left <= 0) return [];
    return this.#moment.read(async (cursor) => {
      const rows: ViewRow[] = [];
      let size = 0;
      while (rows.length < PAGE && size < PAGE_SIZE && this.#left > 0) {
        await this.#turns.pass();
        const slice = await this.#slice(cursor);
        if (slice === undefined) break;
        size += this.#take(slice, rows);
      }
      return rows;
    });
  }

  async #slice(cursor: RowCursor): Promise<Slice | undefined> {
    while (this.#at < countRanges(this.query)) {
      cursor.slices ??= await this.#open(cursor.snapshot, this.#range(this.#at));
      const found = await cursor.slices.next();
      if (found.done !== true) return found.value;
      cursor.slices = undefined;
      this.#at++;
      this.#last = undefined;
      this.#skip -= this.#skipping;
      await this.#turns.pass();
    }
    return undefined;
  }

  /** Keys, too, are read backwards. */
  #range(at: number): RowRange {
    return rangeAt(this.query, this.query.descending ? countRanges(this.query) - 1 - at : at);
  }

  /** Rows of a range that were not given out yet. */
  async #open(snapshot: ViewSnapshot, range: RowRange): Promise<AsyncGenerator<Slice>> {
    const { descending } = this.query;
    const whole = await spanOf(snapshot, range);
    let rest: Span;
    if (this.#last === undefined) {
      rest = skipped(whole, this.#skip, descending);
      this.#skipping = whole.to - whole.from - (rest.to - rest.from);
    } else {
      rest = await behind(snapshot, whole, this.#last, descending);
    }
    const { from, to } = limited(rest, this.#left, descending);
    return slices(snapshot.nodes, snapshot.root, from, to, descending);
  }

  /** Appends the rows of a slice. @returns how many characters they have */
  #take({ leaf, from, to }: Slice, rows: ViewRow[]): number {
    const { descending } = this.query;
    let size = 0;
    for (let nth = from; nth < to; nth++) {
      const at = descending ? from + to - 1 - nth : nth;
      const row = { id: leaf.quotedId(at), key: leaf.key(at), value: leaf.value(at) };
      size += row.id.length + row.key.length + row.value.length;
      rows.push(row);
    }
    this.#last = leaf.parsed(descending ? from : to - 1);
    this.#left -= to - from;
    this.#skip = this.#skipping = 0;
    return size;
  }

  async close(): Promise<void> {
    this.#left = 0;
    await this.#moment.close();
  }
}

/** What of a span comes behind a row in the order of reading. */
async function behind(
  snapshot: ViewSnapshot,
  { from, to }: Span,
  last: Parsed,
  descending: boolean,
): Promise<Span> {
  const cut = await rank(snapshot.nodes, snapshot.root, (place) => {
    const order = comparePlaces(snapshot, place, last);
    return order < 0 || (order === 0 && !descending);
  });
  return descending
    ? { from, to: Math.min(to, Math.max(from, cut)) }
    : { from: Math.max(from, Math.min(to, cut)), to };
}

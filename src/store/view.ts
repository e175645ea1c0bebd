import type { ClassicLevel } from 'classic-level';
import type { Snapshot } from './level.js';

/** How long one moment of a database is held on to for a reader, in milliseconds. */
const HOLD = 60_000;

/** Something that reads a snapshot. */
export interface Cursor {
  close(): Promise<void>;
}

/**
 * One moment of something that is stored, for a reader who may be slow. What was overwritten or dropped since, tables on
 * disk included, is kept for as long as that is open: so it is given up after a while, whether or not the reader comes
 * back. One who does goes on in a new one.
 */
export class Moment<C extends Cursor> {
  #opened: C | undefined;
  #timer: NodeJS.Timeout | undefined;
  #expires = 0;
  /** What is being closed. */
  #closing: Promise<void> = Promise.resolve();

  /** @param open begins to read where the reader is; what it opened it closes itself where it fails */
  constructor(private readonly open: () => Promise<C>) {}

  /** Reads. While that lasts nothing is closed; calls do not overlap. */
  async read<T>(work: (cursor: C) => Promise<T>): Promise<T> {
    clearTimeout(this.#timer);
    if (performance.now() >= this.#expires) this.#giveUp();
    await this.#closing;
    const result = await work((this.#opened ??= await this.#open()));
    this.#timer = setTimeout(() => {
      this.#giveUp();
    }, this.#expires - performance.now()).unref();
    return result;
  }

  /** Frees everything. What is read again is opened again. */
  async close(): Promise<void> {
    clearTimeout(this.#timer);
    this.#giveUp();
    await this.#closing;
  }

  #open(): Promise<C> {
    this.#expires = performance.now() + HOLD;
    return this.open();
  }

  #giveUp(): void {
    const opened = this.#opened;
    if (opened === undefined) return;
    this.#opened = undefined;
    // What is closed meanwhile has closed it itself.
    this.#closing = opened.close();
  }
}

/** A snapshot of LevelDB with what reads it. */
class Opened<C extends Cursor> {
  constructor(
    readonly snapshot: Snapshot,
    readonly cursor: C,
  ) {}

  async close(): Promise<void> {
    await this.cursor.close();
    await this.snapshot.close();
  }
}

/** One moment of a database. */
export class View<C extends Cursor> {
  readonly #moment: Moment<Opened<C>>;

  /** @param open begins to read where the reader is; what it opened itself it closes where it fails */
  constructor(level: ClassicLevel, open: (snapshot: Snapshot) => Promise<C>) {
    this.#moment = new Moment(async () => {
      const snapshot = level.snapshot();
      try {
        return new Opened(snapshot, await open(snapshot));
      } catch (error) {
        await snapshot.close();
        throw error;
      }
    });
  }

  /** Reads. While that lasts nothing is closed; calls do not overlap. */
  read<T>(work: (cursor: C, snapshot: Snapshot) => Promise<T>): Promise<T> {
    return this.#moment.read(({ cursor, snapshot }) => work(cursor, snapshot));
  }

  /** Frees everything. A view that is read again is opened again. */
  close(): Promise<void> {
    return this.#moment.close();
  }
}

/** Where a range of keys begins and ends. */
export interface KeyRange {
  readonly gt?: string;
  readonly gte?: string;
  readonly lt?: string;
  readonly lte?: string;
}

/** What of a range lies behind a key. */
export function behind({ gt, gte, lt, lte }: KeyRange, key: string, reverse: boolean): KeyRange {
  return reverse
    ? { lt: key, ...(gt !== undefined && { gt }), ...(gte !== undefined && { gte }) }
    : { gt: key, ...(lt !== undefined && { lt }), ...(lte !== undefined && { lte }) };
}

export interface EntriesOptions {
  /** Entries of a page. */
  readonly size: number;
  readonly reverse?: boolean;
  /** A later end of the range, for readers who are slower than those who write behind it. */
  readonly extend?: () => KeyRange;
}

/** The entries of a range, in pages, for a reader who may be slow. */
export async function* entriesOf(
  level: ClassicLevel,
  range: KeyRange,
  { size, reverse = false, extend }: EntriesOptions,
): AsyncGenerator<readonly (readonly [string, string])[]> {
  let last: string | undefined;
  const view = new View(level, (snapshot) => {
    const rest = last === undefined ? range : behind({ ...range, ...extend?.() }, last, reverse);
    return Promise.resolve(level.iterator({ ...rest, reverse, snapshot, highWaterMarkBytes: 1 << 20 }));
  });
  try {
    for (;;) {
      const page = await view.read((entries) => entries.nextv(size));
      if (page.length === 0) return;
      last = page.at(-1)?.[0];
      yield page;
    }
  } finally {
    await view.close();
  }
}

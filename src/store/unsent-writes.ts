import type { ClassicLevel } from 'classic-level';
import type { ChangeCounts } from './change-counts.js';
import { rowsAfter } from './pending.js';
import type { Touched } from './record-writes.js';
import type { State } from './state.js';
import {
  blockEnd,
  countRows,
  type Entry,
  entryOf,
  entryRange,
  ofBlock,
  ofRow,
  parseEntry,
  readEntries,
  sinceOf,
  type Waiting,
  writeEntry,
} from './unsent-entries.js';
import { allUnsent, UNSENT_KEY, type UnsentState } from './unsent-state.js';

/** Puts and deletes of the commit that is being put together. */
interface Batch {
  put(key: string, value: string): void;
  del(key: string): void;
}

interface UnsentContext {
  readonly level: ClassicLevel;
  /** As it is on disk; undefined where no account is kept. */
  readonly unsent: UnsentState | undefined;
  readonly state: State;
  readonly counts: ChangeCounts;
}

/** Entries that one commit takes away. */
const PAGE = 1000;

/** A row that a commit puts into the feed. */
interface NewRow {
  readonly seq: number;
  /** Undefined where it does not wait. */
  readonly since: Waiting | undefined;
}

const NONE: ReadonlyMap<number, Waiting> = new Map();

/** What one commit does to the account of rows that the upstream has not got. */
export class UnsentWrites {
  #now: UnsentState | undefined;
  /** Up to where the upstream has everything. */
  #sentThrough = 0;
  /** The last sequence of an entry → as it is on disk. */
  readonly #read = new Map<number, Entry>();
  /** The same → what becomes of it. */
  readonly #entries = new Map<number, Entry>();

  constructor(private readonly context: UnsentContext) {
    this.#now = context.unsent;
  }

  /** Begins it anew: everything waits. @param floorTime when the oldest was written, as far as anybody knows */
  begin(floorTime: number): void {
    const { updateSeq, docCount, deletedCount } = this.context.state;
    this.#now = allUnsent(updateSeq, docCount + deletedCount, floorTime);
  }

  /** Ends it. */
  end(): void {
    this.#now = undefined;
  }

  /** The upstream has everything up to here. One commit may not come so far. */
  sentThrough(seq: number): void {
    this.#sentThrough = Math.max(seq, this.#sentThrough);
  }

  /**
   * @param touched what the commit does to documents
   * @param updateSeq the last sequence that it gives out
   * @returns what holds once it is on disk
   */
  async finish(
    touched: Iterable<Touched>,
    updateSeq: number,
    batch: Batch,
  ): Promise<UnsentState | undefined> {
    if (this.#now !== undefined) {
      // Most commits have nothing to read here, and each wait that is none would cost them something.
      const until = Math.min(this.#sentThrough, this.context.state.updateSeq);
      if (until > this.#now.sent) this.#now = await this.#pass(this.#now, until);
      const moved = movedOf(touched);
      const places = placesOf(this.#now, moved);
      const waited = places.length === 0 ? NONE : await this.#takeOut(this.#now, places);
      this.#now = this.#follow(this.#now, moved, waited, updateSeq);
      for (const entry of this.#entries.values()) writeEntry(batch, entry);
    }
    const { unsent } = this.context;
    if (this.#now === undefined) {
      if (unsent !== undefined) batch.del(UNSENT_KEY);
    } else if (this.#now !== unsent) batch.put(UNSENT_KEY, JSON.stringify(this.#now));
    return this.#now;
  }

  /** What was sent, up to a sequence, waits no more. */
  async #pass(now: UnsentState, until: number): Promise<UnsentState> {
    const found = await this.context.level.iterator({ ...entryRange(now.sent, until), limit: PAGE }).all();
    const entries = found.map(([key, text]) => parseEntry(key, text));
    const sent = found.length < PAGE ? until : Math.min(until, entries.at(-1)?.last ?? until);
    let { count } = now;
    for (const entry of entries) {
      if (entry.first > sent) break;
      const rest = await this.#rest(entry, sent);
      if (entry.last > now.floor) count -= entry.rows - rest.rows;
      this.#entries.set(entry.last, rest);
    }
    return { ...now, sent, count: count - (await this.#belowFloor(now, sent)) };
  }

  /** What is left of an entry when everything up to a sequence was sent. */
  async #rest(entry: Entry, sent: number): Promise<Entry> {
    if (entry.last <= sent) return { ...entry, rows: 0 };
    const [rows = 0] = await countRows(this.context.level, [entry], sent);
    return { ...entry, rows, ...sinceOf(entry, sent + 1) };
  }

  /** How many rows wait up to the floor of which one sequence says that they are sent. */
  async #belowFloor({ sent, floor }: UnsentState, until: number): Promise<number> {
    if (sent >= floor) return 0;
    const { level, counts, state } = this.context;
    const after = (seq: number): Promise<number> => rowsAfter(level, counts, seq, state.updateSeq);
    return (await after(sent)) - (await after(Math.min(until, floor)));
  }

  /**
   * Documents that are written wait at their new places, if they were not pulled, or waited before.
   * @param waited those that did, by their sequences
   */
  #follow(
    now: UnsentState,
    moved: readonly Touched[],
    waited: ReadonlyMap<number, Waiting>,
    updateSeq: number,
  ): UnsentState {
    const time = Date.now();
    const rows: NewRow[] = [];
    for (const { before, after, isLocal } of moved) {
      if (after === undefined) continue;
      const { seq } = after;
      const since = before && waited.get(before.seq);
      rows.push({ seq, since: since ?? (isLocal ? { time, seq } : undefined) });
    }
    const added = this.#add(rows, updateSeq);
    return added === 0 && waited.size === 0 ? now : { ...now, count: now.count + added - waited.size };
  }

  /**
   * Takes documents that waited out of their entries.
   * @param places sequences at which they may have done so
   * @returns the sequence where they did → since when
   */
  async #takeOut(
    { floor, floorTime }: UnsentState,
    places: readonly number[],
  ): Promise<ReadonlyMap<number, Waiting>> {
    const waited = new Map<number, Waiting>();
    const indexed: number[] = [];
    for (const seq of places) {
      if (seq <= floor) waited.set(seq, { time: floorTime, seq: 0 });
      else indexed.push(seq);
    }
    await this.#load(new Set(indexed.map(blockEnd)));
    await this.#load(new Set(indexed.filter((seq) => this.#entryOf(seq) === undefined)));
    for (const seq of indexed) {
      const entry = this.#entryOf(seq);
      if (entry === undefined) continue;
      waited.set(seq, sinceOf(entry, seq));
      this.#entries.set(entry.last, { ...entry, rows: entry.rows - 1 });
    }
    return waited;
  }

  /** The entry that a row is in, as far as it was read. */
  #entryOf(seq: number): Entry | undefined {
    return entryOf(seq, (last) => this.#entries.get(last) ?? this.#read.get(last));
  }

  async #load(ends: ReadonlySet<number>): Promise<void> {
    for (const entry of await readEntries(this.context.level, [...ends])) this.#read.set(entry.last, entry);
  }

  /** @returns how many of the rows wait */
  #add(rows: readonly NewRow[], updateSeq: number): number {
    const blocks = new Map<number, NewRow[]>();
    for (const row of rows) {
      const last = blockEnd(row.seq);
      const block = blocks.get(last);
      if (block === undefined) blocks.set(last, [row]);
      else block.push(row);
    }
    let count = 0;
    for (const [last, block] of blocks) {
      // What others wrote into it, or will, is none of its rows.
      const isOurs = blockEnd(this.context.state.updateSeq) < last && last <= updateSeq;
      for (const entry of entriesFor(last, block, isOurs)) {
        this.#entries.set(entry.last, entry);
        count += entry.rows;
      }
    }
    return count;
  }
}

/** Documents that the commit gives another place in the feed, or takes out of it. */
function movedOf(touched: Iterable<Touched>): Touched[] {
  const moved: Touched[] = [];
  for (const one of touched) if (one.after?.seq !== one.before?.seq) moved.push(one);
  return moved;
}

/** Where documents may have waited until now. */
function placesOf({ sent, count }: UnsentState, moved: readonly Touched[]): number[] {
  const places: number[] = [];
  if (count === 0) return places;
  for (const { before } of moved) if (before !== undefined && before.seq > sent) places.push(before.seq);
  return places;
}

/** The entries for rows of one block. @param isOurs whether all of its sequences were given out for them */
function entriesFor(last: number, rows: readonly NewRow[], isOurs: boolean): Entry[] {
  const single: Entry[] = [];
  for (const { seq, since } of rows) if (since !== undefined) single.push(ofRow(seq, since));
  const [first] = single;
  const isWhole = isOurs && single.length > 1 && single.length === rows.length;
  if (first === undefined || !isWhole || single.some(({ time }) => time !== first.time)) return single;
  const seq = Math.min(...single.map((entry) => entry.seq));
  return [ofBlock(last, single.length, { time: first.time, seq })];
}

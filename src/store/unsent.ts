import type { ClassicLevel } from 'classic-level';
import * as layout from './layout.js';
import type { Transaction } from './transaction.js';
import { bodySeq } from './record.js';
import type { ChangeRow, ChangesRange } from './types/changes.js';
import type { DocumentRecord } from './types/records.js';
import type { Unsent, UnsentRange } from './types/unsent.js';
import {
  blockEnd,
  entryOf,
  entryRange,
  parseEntry,
  readEntries,
  sequencesOf,
  sinceOf,
  type Waiting,
} from './unsent-entries.js';
import type { UnsentState } from './unsent-state.js';
import { entriesOf } from './view.js';

/** What the account needs of its database. */
export interface UnsentHost {
  readonly level: ClassicLevel;
  /** What is on disk; undefined where no account is kept. */
  readonly state: () => UnsentState | undefined;
  readonly updateSeq: () => number;
  readonly changes: (range: ChangesRange) => AsyncIterable<readonly ChangeRow[]>;
  /** Resolves once it is committed. */
  readonly submit: (run: (transaction: Transaction) => void) => Promise<void>;
}

/** Rows read at a time. */
const PAGE = 1000;

const NOTHING: UnsentState = { sent: 0, floor: 0, floorTime: 0, count: 0 };

/** The rows of one database that the upstream has not got. */
export class LevelUnsent implements Unsent {
  constructor(private readonly host: UnsentHost) {}

  get isTracked(): boolean {
    return this.host.state() !== undefined;
  }

  get count(): number {
    return this.#state.count;
  }

  get #state(): UnsentState {
    return this.host.state() ?? NOTHING;
  }

  async oldest(): Promise<Waiting | undefined> {
    const { sent, floor, floorTime, count } = this.#state;
    if (count === 0) return undefined;
    // Documents that waited up to the floor and were written since still have its time.
    let oldest: Waiting = sent < floor ? { time: floorTime, seq: 0 } : { time: Infinity, seq: Infinity };
    const range = entryRange(Math.max(sent, floor), this.host.updateSeq());
    for await (const page of entriesOf(this.host.level, range, { size: PAGE })) {
      for (const [key, text] of page) {
        const { time, seq } = parseEntry(key, text);
        oldest = { time: Math.min(time, oldest.time), seq: Math.min(seq, oldest.seq) };
      }
    }
    return oldest.time === Infinity ? undefined : oldest;
  }

  async *rows({
    since,
    until = this.host.updateSeq(),
    pageSize = PAGE,
  }: UnsentRange): AsyncGenerator<readonly ChangeRow[]> {
    const { sent, floor, count } = this.#state;
    if (count === 0) return;
    const from = Math.max(since, sent);
    const below = Math.min(floor, until);
    if (from < below) yield* this.host.changes({ since: from, until: below, pageSize });
    yield* this.#indexed(Math.max(from, floor), until, pageSize);
  }

  /** What is changed meanwhile is left out: it waits behind `until`. */
  async *#indexed(after: number, until: number, size: number): AsyncGenerator<readonly ChangeRow[]> {
    const { level } = this.host;
    for await (const page of entriesOf(level, entryRange(after, until), { size })) {
      const entries = page.map(([key, text]) => parseEntry(key, text));
      const all = sequencesOf(entries, after, until);
      for (let from = 0; from < all.length; from += size) {
        const seqs = all.slice(from, from + size);
        const texts = await level.getMany(seqs.map((seq) => layout.changes.key(layout.seqKey(seq))));
        const rows = seqs.flatMap((seq, at) => {
          const text = texts[at];
          return text === undefined ? [] : [{ seq, text }];
        });
        if (rows.length > 0) yield rows;
      }
    }
  }

  async leaves(records: readonly DocumentRecord[]): Promise<ReadonlyMap<string, ReadonlySet<string>>> {
    const waiting = new Map<string, ReadonlySet<string>>();
    if (!this.isTracked) return waiting;
    const { level } = this.host;
    const ends = new Set(records.flatMap(({ seq }) => [seq, blockEnd(seq)]));
    const entries = new Map((await readEntries(level, [...ends])).map((entry) => [entry.last, entry]));
    // Where a row is gone by now, so may have been its entry.
    const areThere = await level.hasMany(records.map(({ seq }) => layout.changes.key(layout.seqKey(seq))));
    const { sent } = this.#state;
    for (const [at, record] of records.entries()) {
      const { id, seq } = record;
      const entry = seq > sent ? entryOf(seq, (last) => entries.get(last)) : undefined;
      if (areThere[at] !== true) waiting.set(id, leavesSince(record, 0));
      else if (entry !== undefined) waiting.set(id, leavesSince(record, sinceOf(entry, seq).seq));
    }
    return waiting;
  }

  async sentThrough(seq: number): Promise<void> {
    const until = Math.min(seq, this.host.updateSeq());
    while (this.isTracked && this.#state.sent < until) {
      await this.host.submit(({ unsent }) => {
        unsent.sentThrough(until);
      });
    }
  }

  async voidAll(): Promise<void> {
    if (!this.isTracked) return;
    await this.#begin((await this.oldest())?.time ?? Date.now());
  }

  async track(on: boolean): Promise<void> {
    if (on === this.isTracked) return;
    if (on) {
      // A crash may have left something of an earlier account.
      await this.#clear();
      await this.#begin(Date.now());
    } else {
      await this.host.submit(({ unsent }) => {
        unsent.end();
      });
      await this.#clear();
    }
  }

  #begin(floorTime: number): Promise<void> {
    return this.host.submit(({ unsent }) => {
      unsent.begin(floorTime);
    });
  }

  /** No account is kept meanwhile, so nobody else writes there. */
  async #clear(): Promise<void> {
    const range = { gte: layout.unsent.start, lt: layout.unsent.end };
    for await (const page of entriesOf(this.host.level, range, { size: PAGE })) {
      await this.host.submit((transaction) => {
        for (const [key] of page) transaction.del(key);
      });
    }
  }
}

/** The leaves of a document that it has had since a sequence, or for less long. */
const leavesSince = (record: DocumentRecord, seq: number): ReadonlySet<string> =>
  new Set(
    record
      .leaves()
      .map(({ rev }) => rev)
      .filter((rev) => (bodySeq(record, rev) ?? seq) >= seq),
  );

import type { ClassicLevel } from 'classic-level';
import type { BodyFacts } from '../body-facts.js';
import { keptBodies, type KeptChange, keptChanges } from '../kept.js';
import type { StoredDocument } from '../record.js';
import type { Touched } from '../record-writes.js';
import type { State } from '../state.js';
import {
  ALL_BASES,
  type BaseEntry,
  baseKey,
  baseNumberKey,
  BASES_KEY,
  numberOfBaseKey,
  parseBase,
} from './base-entry.js';
import { isSameTally, type Tally } from './tally.js';
import type { BaseLimits } from './types.js';

/** Puts and deletes of the commit that is being put together. */
interface Batch {
  put(key: string, value: string): void;
  del(key: string): void;
}

interface BaseContext {
  readonly level: ClassicLevel;
  readonly state: Pick<State, 'updateSeq'>;
  /** As it is on disk. */
  readonly bases: Tally;
  /** Undefined where no more bodies are kept for merges. */
  readonly baseLimits: BaseLimits | undefined;
}

/** So many entries go in one commit at most, and twice as many as come. */
const EXPIRED = 16;

/**
 * What one commit does to the bodies that are kept for merges: those of revisions that were leaves. An entry makes a body one
 * that a compaction keeps, and is there as long as it is; it is never one of a leaf.
 */
export class BaseWrites {
  /** Sequences of bodies that are kept from this commit on. */
  readonly #noted = new Set<number>();
  /** Number → entry that goes. */
  readonly #removed = new Map<number, BaseEntry>();
  #last: number;
  #count: number;
  #bytes: number;

  constructor(
    private readonly context: BaseContext,
    private readonly batch: Batch,
  ) {
    ({ last: this.#last, count: this.#count, bytes: this.#bytes } = context.bases);
  }

  /** Whether no entry goes. */
  get empty(): boolean {
    return this.#removed.size === 0;
  }

  /** Whether a body that is no leaf's is kept for merges, or will be with this commit. @param before as it is on disk */
  keeps(before: StoredDocument | undefined, seq: number): boolean {
    const { state, baseLimits } = this.context;
    if (this.#numberOf(seq) !== undefined) return true;
    if (baseLimits === undefined) return false;
    return seq > state.updateSeq || hasBody(keptBodies(before), seq);
  }

  /** A body goes, or gets another sequence. */
  dropped(seq: number): void {
    const number = this.#numberOf(seq);
    if (number !== undefined) this.remove([number]);
  }

  /** Bodies are kept no more. */
  remove(numbers: readonly number[]): void {
    for (const number of numbers) {
      if (this.#removed.has(number)) continue;
      const text = this.context.level.getSync(baseKey(number));
      if (text !== undefined) this.#remove(number, parseBase(text));
    }
  }

  #numberOf(seq: number): number | undefined {
    if (this.context.bases.count === 0) return undefined;
    const text = this.context.level.getSync(baseNumberKey(seq));
    return text === undefined ? undefined : Number(text);
  }

  #remove(number: number, entry: BaseEntry | undefined): void {
    if (entry === undefined || this.#removed.has(number)) return;
    this.#removed.set(number, entry);
    this.#count--;
    this.#bytes -= entry.bytes;
    this.batch.del(baseKey(number));
    this.batch.del(baseNumberKey(entry.seq));
  }

  /**
   * What joins the bodies that a compaction keeps, and what leaves them; to be called when everything else is said. What
   * was too much before goes.
   */
  async changes(touched: Iterable<Touched>): Promise<readonly KeptChange[]> {
    const changes = [...touched].flatMap((one) => (one.after === one.before ? [] : this.#changesOf(one)));
    await this.#expire();
    for (const { seq } of this.#removed.values()) changes.push({ seq, by: -1, leavesBy: 0 });
    return changes;
  }

  #changesOf({ before, after }: Touched): readonly KeptChange[] {
    const changes = keptChanges(before, after);
    if (this.context.baseLimits === undefined || after === undefined) return changes;
    // Those of leaves, and no other.
    if (after.bodySeqs.size <= after.leafRevs().length) return changes;
    const stored = new Set(after.bodySeqs.values());
    const all = changes.map((change) =>
      change.by < 0 && stored.has(change.seq) ? { ...change, by: 0, isBase: true } : change,
    );
    for (const { seq } of all) stored.delete(seq);
    // What came with this commit, and was superseded by it: what it brought and is kept joined.
    for (const seq of stored) {
      if (seq > this.context.state.updateSeq) all.push({ seq, by: 1, leavesBy: 0, isBase: true });
    }
    for (const { seq, isBase } of all) if (isBase === true) this.#noted.add(seq);
    return all;
  }

  async #expire(): Promise<void> {
    const { level, bases, baseLimits } = this.context;
    if (baseLimits === undefined || bases.bytes <= baseLimits.maxBytes) return;
    const limit = EXPIRED + 2 * this.#noted.size;
    for (const [key, text] of await level.iterator({ ...ALL_BASES, limit }).all()) {
      if (this.#bytes <= baseLimits.maxBytes) return;
      this.#remove(numberOfBaseKey(key), parseBase(text));
    }
  }

  /** Puts the entry of a body that is kept from this commit on. */
  note(seq: number, { length, attached }: BodyFacts): void {
    const entry: BaseEntry = { seq, time: Date.now(), bytes: length + attached };
    this.batch.put(baseKey(++this.#last), JSON.stringify(entry));
    this.batch.put(baseNumberKey(seq), String(this.#last));
    this.#count++;
    this.#bytes += entry.bytes;
  }

  /** @returns what holds once it is on disk */
  finish(): Tally {
    const now = { last: this.#last, count: this.#count, bytes: this.#bytes };
    if (isSameTally(now, this.context.bases)) return this.context.bases;
    this.batch.put(BASES_KEY, JSON.stringify(now));
    return now;
  }
}

function hasBody(kept: ReturnType<typeof keptBodies>, seq: number): boolean {
  for (const one of kept.values()) if (one.seq === seq) return true;
  return false;
}

import type { ClassicLevel } from 'classic-level';
import { keptBodies, type KeptChange, keptChanges } from '../kept.js';
import { pagesOf } from '../pages.js';
import type { StoredDocument } from '../record.js';
import type { Touched } from '../record-writes.js';
import type { State } from '../state.js';
import {
  ALL_GROUPS,
  areDue,
  type BaseBody,
  type BaseGroup,
  BASES_KEY,
  GROUP,
  groupKey,
  groupText,
  parseGroup,
} from './base-entry.js';
import { BaseMarks } from './base-marks.js';
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

/** So many bodies and groups go in one commit at most, and twice as many as bodies come. */
const EXPIRED = 16;

/** The same of a commit that is made for that. */
const TRIMMED = 100;

/** Groups looked at at a time. */
const PAGE = 4;

/** What may still go in one commit. */
interface Room {
  readonly limits: BaseLimits;
  /** Of all that stay so far. */
  bytes: number;
  /** So many bodies and groups. */
  left: number;
}

/**
 * What one commit does to the bodies that are kept for merges: those of revisions that were leaves. A mark makes a body one
 * that a compaction keeps, and is there as long as it is; it is never one of a leaf.
 */
export class BaseWrites {
  readonly #marks: BaseMarks;
  /** Those that are kept from this commit on. */
  readonly #joined: BaseBody[] = [];
  /** Sequences of those that are kept no more. */
  readonly #left = new Set<number>();
  /** How many will join. */
  #joining = 0;
  /** What else is to go, from which group on. */
  #trimmed: { readonly limits: BaseLimits; readonly from: number } | undefined;
  #count: number;
  #bytes: number;

  constructor(
    private readonly context: BaseContext,
    private readonly batch: Batch,
  ) {
    this.#marks = new BaseMarks(context.level);
    ({ count: this.#count, bytes: this.#bytes } = context.bases);
  }

  /** Whether a body that is no leaf's is kept for merges, or will be with this commit. @param before as it is on disk */
  keeps(before: StoredDocument | undefined, seq: number): boolean {
    const { state, baseLimits } = this.context;
    if (this.#isKept(seq)) return true;
    if (baseLimits === undefined) return false;
    return seq > state.updateSeq || hasBody(keptBodies(before), seq);
  }

  /** A body goes, or gets another sequence. */
  dropped(seq: number): void {
    if (this.#isKept(seq)) this.#giveUp(seq);
  }

  /** Some bodies that are too old or too much are kept no more. @param from the number of the oldest group */
  trim(limits: BaseLimits, from: number): void {
    this.#trimmed = { limits, from };
  }

  /** As it is on disk, but for what this commit gave up. */
  #isKept(seq: number): boolean {
    return this.context.bases.count > 0 && this.#marks.has(seq);
  }

  #giveUp(seq: number): void {
    this.#marks.delete(seq);
    this.#left.add(seq);
  }

  /**
   * What joins the bodies that a compaction keeps, and what leaves them; to be called when everything else is said. What
   * was too much before goes.
   */
  async changes(touched: Iterable<Touched>): Promise<readonly KeptChange[]> {
    const changes = [...touched].flatMap((one) => (one.after === one.before ? [] : this.#changesOf(one)));
    await this.#expire();
    for (const seq of this.#left) changes.push({ seq, by: -1, leavesBy: 0, basesBy: -1 });
    return changes;
  }

  #changesOf({ before, after }: Touched): readonly KeptChange[] {
    const changes = keptChanges(before, after);
    if (this.context.baseLimits === undefined || after === undefined) return changes;
    // Those of leaves, and no other.
    if (after.bodySeqs.size <= after.leafRevs().length) return changes;
    const stored = new Set(after.bodySeqs.values());
    const all = changes.map((change): KeptChange =>
      change.by < 0 && stored.has(change.seq) ? { ...change, by: 0, basesBy: 1 } : change,
    );
    for (const { seq } of all) stored.delete(seq);
    // What came with this commit, and was superseded by it: what it brought and is kept joined.
    for (const seq of stored) {
      if (seq > this.context.state.updateSeq) all.push({ seq, by: 1, leavesBy: 0, basesBy: 1 });
    }
    for (const { basesBy } of all) if (basesBy !== undefined) this.#joining++;
    return all;
  }

  async #expire(): Promise<void> {
    const { level, bases, baseLimits } = this.context;
    const { limits = baseLimits && { ...baseLimits, maxAge: Infinity }, from = 0 } = this.#trimmed ?? {};
    if (limits === undefined || (this.#trimmed === undefined && bases.bytes <= limits.maxBytes)) return;
    const most = this.#trimmed === undefined ? EXPIRED : TRIMMED;
    const room: Room = { limits, bytes: bases.bytes, left: most + 2 * this.#joining };
    for await (const page of pagesOf(level.iterator({ ...ALL_GROUPS, gte: groupKey(from) }), PAGE)) {
      for (const [key, text] of page) {
        if (room.left <= 0 || !this.#expireGroup(parseGroup(text), room)) return;
        this.batch.del(key);
        room.left--;
      }
    }
  }

  /** @returns whether nothing of a group is left */
  #expireGroup(group: BaseGroup | undefined, room: Room): boolean {
    if (group === undefined) return true;
    for (const [seq, bytes] of group.bodies) {
      if (!this.#isKept(seq)) continue;
      if (room.left <= 0 || !areDue(room.limits, group.time, room.bytes)) return false;
      this.#giveUp(seq);
      room.bytes -= bytes;
      room.left--;
    }
    return true;
  }

  /** A body is kept from this commit on, or no more. */
  count(base: BaseBody, by: 1 | -1): void {
    const [seq, bytes] = base;
    this.#count += by;
    this.#bytes += by * bytes;
    if (by < 0) return;
    this.#joined.push(base);
    this.#marks.add(seq);
  }

  /** @returns what holds once it is on disk */
  finish(): Tally {
    let { last } = this.context.bases;
    const time = Date.now();
    for (let at = 0; at < this.#joined.length; at += GROUP) {
      const bodies = this.#joined.slice(at, at + GROUP);
      this.batch.put(groupKey(++last), groupText({ time, bodies }));
    }
    this.#marks.write(this.batch);
    const now = { last, count: this.#count, bytes: this.#bytes };
    if (isSameTally(now, this.context.bases)) return this.context.bases;
    this.batch.put(BASES_KEY, JSON.stringify(now));
    return now;
  }
}

function hasBody(kept: ReturnType<typeof keptBodies>, seq: number): boolean {
  for (const one of kept.values()) if (one.seq === seq) return true;
  return false;
}

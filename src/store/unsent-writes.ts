import type { ClassicLevel } from 'classic-level';
import type { ChangeCounts } from './change-counts.js';
import { rowsAfter } from './pending.js';
import type { Touched } from './record-writes.js';
import type { State } from './state.js';
import {
  allUnsent,
  UNSENT_KEY,
  unsentKey,
  unsentRange,
  unsentSeq,
  type UnsentState,
  parseWaiting,
  type Waiting,
  waitingText,
} from './unsent-state.js';

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

/** So many entries are looked up without waking a thread for them. */
const FEW = 4;

/** What one commit does to the account of rows that the upstream has not got. */
export class UnsentWrites {
  #now: UnsentState | undefined;
  /** Up to where the upstream has everything. */
  #sentThrough = 0;

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

  /** @param touched what the commit does to documents. @returns what holds once it is on disk */
  async finish(touched: Iterable<Touched>, batch: Batch): Promise<UnsentState | undefined> {
    if (this.#now !== undefined) {
      this.#now = await this.#pass(this.#now, batch);
      this.#now = await this.#follow(this.#now, touched, batch);
    }
    const { unsent } = this.context;
    if (this.#now === undefined) {
      if (unsent !== undefined) batch.del(UNSENT_KEY);
    } else if (this.#now !== unsent) batch.put(UNSENT_KEY, JSON.stringify(this.#now));
    return this.#now;
  }

  /** What was sent waits no more. */
  async #pass(now: UnsentState, batch: Batch): Promise<UnsentState> {
    const until = Math.min(this.#sentThrough, this.context.state.updateSeq);
    if (until <= now.sent) return now;
    const range = unsentRange(now.sent, until);
    const seqs = (await this.context.level.keys({ ...range, limit: PAGE }).all()).map(unsentSeq);
    const sent = seqs.length < PAGE ? until : (seqs.at(-1) ?? until);
    for (const seq of seqs) batch.del(unsentKey(seq));
    const indexed = seqs.filter((seq) => seq > now.floor).length;
    return { ...now, sent, count: now.count - indexed - (await this.#belowFloor(now, sent)) };
  }

  /** How many rows wait up to the floor of which one sequence says that they are sent. */
  async #belowFloor({ sent, floor }: UnsentState, until: number): Promise<number> {
    if (sent >= floor) return 0;
    const { level, counts, state } = this.context;
    const after = (seq: number): Promise<number> => rowsAfter(level, counts, seq, state.updateSeq);
    return (await after(sent)) - (await after(Math.min(until, floor)));
  }

  /** Documents that are written wait at their new places, if they were not pulled, or waited before. */
  async #follow(now: UnsentState, touched: Iterable<Touched>, batch: Batch): Promise<UnsentState> {
    const moved = [...touched].filter(({ before, after }) => after?.seq !== before?.seq);
    const waiting = await this.#waiting(now, moved);
    const time = Date.now();
    let { count } = now;
    for (const { before, after, isLocal } of moved) {
      const waited = before && waiting.get(before.seq);
      if (before !== undefined && waited !== undefined) {
        batch.del(unsentKey(before.seq));
        count--;
      }
      if (after === undefined || (waited === undefined && !isLocal)) continue;
      batch.put(unsentKey(after.seq), waitingText(waited ?? { time, seq: after.seq }));
      count++;
    }
    return count === now.count && waiting.size === 0 ? now : { ...now, count };
  }

  /** Of documents that waited: the sequence where they did → since when. */
  async #waiting(
    { sent, floor, floorTime, count }: UnsentState,
    moved: readonly Touched[],
  ): Promise<ReadonlyMap<number, Waiting>> {
    const waiting = new Map<number, Waiting>();
    if (count === 0) return waiting;
    const wanted: number[] = [];
    for (const { before } of moved) {
      if (before === undefined || before.seq <= sent) continue;
      if (before.seq <= floor) waiting.set(before.seq, { time: floorTime, seq: 0 });
      else wanted.push(before.seq);
    }
    const found = await this.#read(wanted.map(unsentKey));
    for (const [at, seq] of wanted.entries()) {
      const text = found[at];
      if (text !== undefined) waiting.set(seq, parseWaiting(text));
    }
    return waiting;
  }

  #read(keys: string[]): Promise<(string | undefined)[]> | (string | undefined)[] {
    const { level } = this.context;
    return keys.length <= FEW ? keys.map((key) => level.getSync(key)) : level.getMany(keys);
  }
}

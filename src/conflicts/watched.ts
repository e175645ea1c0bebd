import type { Database } from '../store/types/database.js';
import { judgesOf } from './judges.js';
import type { WhichRule } from './standing.js';

/** Rows that are to be looked at again. */
export interface Later {
  /** A sequence before theirs. */
  readonly from: number;
  /** When, in milliseconds since 1970. */
  readonly at: number;
}

const FIRST_RETRY = 1000;
const LONGEST_RETRY = 300_000;
/** Timers take no longer waits. */
const LONGEST_WAIT = 2_147_483_647;

/** How far the conflicts of one database were looked at. */
export class Watched {
  /** The life of the database, the rule, and who judges what is written, for which `#since` counts. */
  #key = '';
  #since = 0;
  #state: 'idle' | 'queued' | 'running' = 'idle';
  /** It was wanted while it ran. */
  #isStale = false;
  /** What it finds to be for later was wanted at once while it ran. */
  #isHurried = false;
  #hasMore = false;
  #isEmpty = false;
  #rewind = Infinity;
  #later: Later | undefined;
  #timer: NodeJS.Timeout | undefined;
  #delay = FIRST_RETRY;

  constructor(
    readonly name: string,
    private readonly wake: () => void,
  ) {}

  /** Whether there is nothing in conflict behind what was looked at. */
  isUpTo(db: Database, rule: WhichRule): boolean {
    if (this.#key !== keyOf(db, rule)) return false;
    const { count, noted } = db.conflicts;
    return count === noted || this.#since >= db.updateSeq;
  }

  /** @returns whether it is to be put into the queue: not where it stands there */
  isWanted(): boolean {
    if (this.#state === 'running') this.#isStale = true;
    if (this.#state !== 'idle') return false;
    this.#state = 'queued';
    return true;
  }

  begin(): void {
    this.#state = 'running';
    this.#isStale = false;
    this.#isHurried = false;
    this.#hasMore = false;
  }

  /** Where to go on: at the beginning, if it is another database, another rule, or others judge. */
  since(db: Database, rule: WhichRule): number {
    const key = keyOf(db, rule);
    if (key !== this.#key) this.#since = 0;
    this.#key = key;
    this.#since = Math.min(this.#since, this.#rewind);
    this.#rewind = Infinity;
    return this.#since;
  }

  /** Everything up to a sequence was looked at. */
  reached(seq: number, hasMore: boolean, isEmpty: boolean): void {
    this.#since = seq;
    this.#hasMore = hasMore;
    this.#isEmpty = isEmpty;
  }

  /** @returns whether it is to be put into the queue again, at once */
  end(): boolean {
    if (this.#isHurried) this.#hurry();
    const isAgain = this.#hasMore || this.#isStale;
    this.#state = isAgain ? 'queued' : 'idle';
    return isAgain;
  }

  /** Whether nothing need be known of it any more. */
  get isDone(): boolean {
    return this.#isEmpty && this.#later === undefined;
  }

  succeeded(): void {
    this.#delay = FIRST_RETRY;
  }

  failed(): void {
    this.#delay = Math.min(this.#delay * 2, LONGEST_RETRY);
  }

  /** When to try again what failed just now. @param from a sequence before what failed */
  retry(from = this.#since): Later {
    return { from, at: Date.now() + this.#delay };
  }

  later({ from, at }: Later): void {
    const before = this.#later;
    this.#later = { from: Math.min(from, before?.from ?? from), at: Math.min(at, before?.at ?? at) };
    if (before !== undefined && before.at <= at) return;
    clearTimeout(this.#timer);
    const wait = Math.min(Math.max(at - Date.now(), 0), LONGEST_WAIT);
    this.#timer = setTimeout(() => {
      this.wakeNow();
    }, wait);
    this.#timer.unref();
  }

  /** What is to be looked at later is looked at now, and so is what a look finds to be for later that is under way. */
  wakeNow(): void {
    if (this.#state === 'running') this.#isHurried = true;
    else if (this.#hurry()) this.wake();
  }

  /** @returns whether there was something for later */
  #hurry(): boolean {
    if (this.#later === undefined) return false;
    clearTimeout(this.#timer);
    this.#rewind = Math.min(this.#rewind, this.#later.from);
    this.#later = undefined;
    this.#isStale = true;
    return true;
  }

  /** Nothing of it happens later. */
  forget(): void {
    clearTimeout(this.#timer);
    this.#later = undefined;
    this.#isEmpty = true;
  }
}

const keyOf = (db: Database, rule: WhichRule): string =>
  `${db.instanceStartTime} ${judgesOf(db)} ${rule.version}`;

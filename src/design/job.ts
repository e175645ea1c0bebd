import type { Call, Outcome } from './protocol.js';

/** Characters of JSON text that go to a thread at once, unless one item has more. */
const ORDER_SIZE = 1024 * 1024;
/** How often the time of one call all of its items may take together. */
const TIMEOUTS = 12;

/** What functions of one design document run in; the threads know it by its number. */
export interface Machine {
  readonly number: number;
  readonly design: string;
  /** Databases take turns. */
  readonly database: string;
  /** Its functions have kept a thread for long, and may do so again until then. */
  slowUntil: number;
}

/** A call with many items, which threads work off in portions. */
export class Job {
  readonly done: Promise<readonly Outcome[]>;
  readonly #outcomes: (Outcome | undefined)[];
  #resolve!: (outcomes: readonly Outcome[]) => void;
  #reject!: (error: unknown) => void;
  /** Items that a thread works at, by their places in the call. */
  #taken: number[] = [];
  #first = 0;
  #milliseconds = 0;

  constructor(
    readonly machine: Machine,
    readonly call: Call,
    private readonly timeout: number,
  ) {
    this.#outcomes = new Array<Outcome | undefined>(call.items.length).fill(undefined);
    this.done = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
  }

  /** The next portion of what is left. */
  take(): Call {
    this.#taken = [];
    let size = 0;
    for (let i = this.#first; i < this.#outcomes.length; i++) {
      if (this.#outcomes[i] !== undefined) continue;
      const item = this.call.items[i] ?? [];
      for (const text of item) size += text.length;
      if (this.#taken.length > 0 && size > ORDER_SIZE) break;
      this.#taken.push(i);
    }
    return { ...this.call, items: this.#taken.map((i) => this.call.items[i] ?? []) };
  }

  /** Takes in what became of the first items of the portion. */
  accept(outcomes: readonly Outcome[], milliseconds: number): void {
    outcomes.forEach((outcome, place) => this.settle(place, outcome));
    this.#milliseconds += milliseconds;
  }

  /** Says what became of one item of the portion. */
  settle(place: number, outcome: Outcome): void {
    const index = this.#taken[place];
    if (index !== undefined) this.#outcomes[index] = outcome;
    while (this.#first < this.#outcomes.length && this.#outcomes[this.#first] !== undefined) this.#first++;
  }

  /** @returns whether nothing is left to do */
  finish(): boolean {
    const isOver = this.#milliseconds > this.timeout * TIMEOUTS;
    const isStopped = this.call.kind !== 'validate_doc_update' && this.#outcomes.some(isFailure);
    if (!isOver && !isStopped && this.#first < this.#outcomes.length) return false;
    this.#resolve(this.#outcomes.map((outcome) => (outcome === undefined ? TIMED_OUT : outcome)));
    return true;
  }

  fail(error: unknown): void {
    this.#reject(error);
  }
}

const isFailure = (outcome: Outcome | undefined): boolean =>
  typeof outcome === 'string' && outcome.startsWith('E');

export const TIMED_OUT = 'E["os_process_error","OS process timed out."]';

import { TIMED_OUT, TIMEOUTS, type Call, type Outcome } from './protocol.js';

/** Characters of JSON text that go to a thread at once, unless one item has more. */
const ORDER_SIZE = 1024 * 1024;

/** What functions of one design document run in; threads know it by its number. */
export interface Machine {
  readonly number: number;
  /** The text of the design document. */
  readonly design: string;
  /** Databases take turns, by their names. */
  readonly database: string;
  /** Of the design document. */
  readonly id: string;
  /** Its functions kept a thread for long, and are expected to do so again, until then. */
  slowUntil: number;
}

/** A call with many items, which threads work off in portions. */
export class Job {
  /** It is for the threads that slow functions have. */
  isSlow: boolean;
  readonly done: Promise<readonly Outcome[]>;
  readonly #outcomes: (Outcome | undefined)[];
  #resolve!: (outcomes: readonly Outcome[]) => void;
  #reject!: (error: unknown) => void;
  /** Items that a thread works at, by their places in the call. */
  #taken: readonly number[] = [];
  /** The first item without an outcome. */
  #first = 0;
  #milliseconds = 0;
  /** Nobody waits for it any more. */
  #isGivenUp = false;

  constructor(
    readonly machine: Machine,
    readonly call: Call,
    private readonly timeout: number,
  ) {
    this.isSlow = performance.now() < machine.slowUntil;
    this.#outcomes = new Array<Outcome | undefined>(call.items.length).fill(undefined);
    this.done = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
  }

  /** The next portion of what is left. */
  take(): Call {
    const { items } = this.call;
    const taken: number[] = [];
    let size = 0;
    for (let i = this.#first; i < items.length; i++) {
      if (this.#outcomes[i] !== undefined) continue;
      for (const text of items[i] ?? []) size += text.length;
      if (taken.length > 0 && size > ORDER_SIZE) break;
      taken.push(i);
    }
    this.#taken = taken;
    return { ...this.call, items: taken.map((i) => items[i] ?? []) };
  }

  /** Takes in what became of the first items of the portion, and how long that took. */
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

  /** Answers whoever waits, where nothing is left to do. @returns whether that is so */
  finish(): boolean {
    if (this.#isGivenUp) return true;
    const isOver = this.#milliseconds > this.timeout * TIMEOUTS;
    // A document that may not be written says nothing of the others; what else fails, fails as a whole.
    const isStopped = this.call.kind !== 'validate_doc_update' && this.#outcomes.some(isFailure);
    if (!isOver && !isStopped && this.#first < this.#outcomes.length) return false;
    this.#resolve(this.#outcomes.map((outcome) => (outcome === undefined ? TIMED_OUT : outcome)));
    return true;
  }

  fail(error: unknown): void {
    this.#isGivenUp = true;
    this.#reject(error);
  }
}

const isFailure = (outcome: Outcome | undefined): boolean =>
  typeof outcome === 'string' && outcome.startsWith('E');

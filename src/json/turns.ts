import { setImmediate } from 'node:timers/promises';

/** Work that is done bit by bit: it yields wherever it may be interrupted. */
export type Work<T> = Generator<undefined, T, undefined>;

/** For so many milliseconds work keeps the event loop to itself. */
const SLICE = 5;

/** Does work in one go. */
export function atOnce<T>(work: Work<T>): T {
  for (;;) {
    const step = work.next();
    if (step.done === true) return step.value;
  }
}

/** Does work while others get their turns. What takes less than a slice is done on return, without a promise. */
export function inTurns<T>(work: Work<T>): T | Promise<T> {
  const step = slice(work);
  return step.done === true ? step.value : rest(work);
}

async function rest<T>(work: Work<T>): Promise<T> {
  for (;;) {
    await nextTurn();
    const step = slice(work);
    if (step.done === true) return step.value;
  }
}

function slice<T>(work: Work<T>, end = performance.now() + SLICE): IteratorResult<undefined, T> {
  for (;;) {
    const step = work.next();
    if (step.done === true || performance.now() >= end) return step;
  }
}

/**
 * For steps that each wait for something, but perhaps only for what is there already, and for works that follow one
 * another: all together they keep the event loop for a slice.
 */
export class Turns {
  #end = performance.now() + SLICE;
  #next: Promise<void> | undefined;

  /** Does work in what is left of the slice, and then in others. */
  async run<T>(work: Work<T>): Promise<T> {
    for (;;) {
      const step = slice(work, this.#end);
      if (step.done === true) return step.value;
      await this.pass();
    }
  }

  /** Resolves at once, or when others have had their turns after a slice: for all who wait, who share the next one. */
  async pass(): Promise<void> {
    while (performance.now() >= this.#end) await (this.#next ??= this.#begin());
  }

  async #begin(): Promise<void> {
    await nextTurn();
    this.#end = performance.now() + SLICE;
    this.#next = undefined;
  }
}

let line = Promise.resolve();

/**
 * Resolves when the event loop has gone round. Whoever waits stands in one line, and each round lets one of them go on:
 * else the slices of many large requests would add up to long rounds.
 */
export function nextTurn(): Promise<void> {
  line = line.then(() => setImmediate());
  return line;
}

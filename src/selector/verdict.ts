import type { Work } from '../json/turns.js';

/** Whether something fits: mostly said at once, and bit by bit where finding out takes long. */
export type Verdict = boolean | Work<boolean>;

export type Predicate<T = unknown> = (value: T) => Verdict;

/** So many are made in one go: each takes 15 to 150 nanoseconds (measured with numbers, and with texts that are alike). */
const STEPS = 10_000;

/** How much is compared in one go by all parts of one selector. */
export class Pace {
  #left = STEPS;

  /** Begins with another document, or goes on after others had their turns. */
  begin(): void {
    this.#left = STEPS;
  }

  spend(steps: number): void {
    this.#left -= steps;
  }

  get isSpent(): boolean {
    return this.#left <= 0;
  }
}

/** Whether one of several fits. */
export function some<T>(items: readonly T[], fits: Predicate<T>, pace: Pace): Verdict {
  let at = 0;
  for (const item of items) {
    if (pace.isSpent) return someOf(items, at, fits, pace);
    pace.spend(1);
    const verdict = fits(item);
    if (verdict === true) return true;
    at++;
    if (verdict !== false) return someOf(items, at, fits, pace, verdict);
  }
  return false;
}

/** @param begun of the item before `from` */
function* someOf<T>(
  items: readonly T[],
  from: number,
  fits: Predicate<T>,
  pace: Pace,
  begun: Verdict = false,
): Work<boolean> {
  if (yield* settled(begun)) return true;
  for (let at = from; at < items.length; at++) {
    if (pace.isSpent) {
      yield;
      pace.begin();
    }
    pace.spend(1);
    if (yield* settled(fits(items[at] as T))) return true;
  }
  return false;
}

/** Whether each of several fits. */
export const every = <T>(items: readonly T[], fits: Predicate<T>, pace: Pace): Verdict =>
  opposite(some(items, (item) => opposite(fits(item)), pace));

export function opposite(verdict: Verdict): Verdict {
  return typeof verdict === 'boolean' ? !verdict : oppositeOf(verdict);
}

function* oppositeOf(verdict: Work<boolean>): Work<boolean> {
  return !(yield* verdict);
}

/** A verdict as a part of other work. */
export function* settled(verdict: Verdict): Work<boolean> {
  return typeof verdict === 'boolean' ? verdict : yield* verdict;
}

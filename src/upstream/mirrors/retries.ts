import type { Config } from '../../config/schema.js';

/**
 * When a mirror tries again by itself: after what failed, and where something was found that keeps it, or its users, from
 * working, and may not last. Both wait ever longer.
 */
export class Retries {
  /** How often in a row it failed, and what it waits for then. */
  #failures = 0;
  #retry: NodeJS.Timeout | undefined;
  /** How often in a row something was found that may not last, and when it is looked at again. */
  #doubts = 0;
  #again: NodeJS.Timeout | undefined;

  /** @param timing read at each use: it may change */
  constructor(private readonly timing: () => Pick<Config['upstream'], 'firstRetry' | 'longestRetry'>) {}

  /** Whether it failed, and has not waited for long enough. */
  get isWaiting(): boolean {
    return this.#retry !== undefined;
  }

  get isDoubting(): boolean {
    return this.#doubts > 0;
  }

  /** @param isForbidden whether the account may not do it @param retry called when the wait is over */
  failed(isForbidden: boolean, retry: () => void): void {
    this.#failures++;
    // It may have been a moment: the second time the account is meant.
    const longest =
      isForbidden && this.#failures > 1 ? this.timing().longestRetry : this.#longestAfter(this.#failures);
    this.#retry = soonerOrLater(longest, () => {
      this.forgive();
      retry();
    });
  }

  /** It works, or got somewhere. */
  succeeded(): void {
    this.#failures = 0;
  }

  /** What failed need not wait any longer. */
  forgive(): void {
    clearTimeout(this.#retry);
    this.#retry = undefined;
  }

  /** @param again called when it is to be looked at again */
  doubt(again: () => void): void {
    clearTimeout(this.#again);
    this.#again = soonerOrLater(this.#longestAfter(this.#doubts++), again);
  }

  /** All is as it should be. */
  trust(): void {
    this.#doubts = 0;
    clearTimeout(this.#again);
  }

  /** Nothing is called any more, unless something fails or is doubted anew. */
  stop(): void {
    clearTimeout(this.#again);
    this.forgive();
  }

  #longestAfter(times: number): number {
    const { firstRetry, longestRetry } = this.timing();
    return Math.min(longestRetry, firstRetry * 2 ** Math.min(times, 30));
  }
}

/** Many that failed together do not come back together, and none at once. */
const soonerOrLater = (longest: number, work: () => void): NodeJS.Timeout =>
  setTimeout(work, (longest * (1 + Math.random())) / 2).unref();

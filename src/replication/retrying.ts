import { setTimeout as sleep } from 'node:timers/promises';
import { CouchError } from '../errors.js';
import { meaningOf } from './failures.js';
import type { ReplicationTuning } from './options.js';

/** Repeats what failed for no lasting reason, with growing waits in between. */
export class Retrying {
  constructor(
    private readonly tuning: Pick<ReplicationTuning, 'retries' | 'firstRetry' | 'longestRetry'>,
    private readonly signal: AbortSignal,
    private readonly report: (error: Error) => void,
  ) {}

  /** @throws whatever `work` throws at last */
  async run<T>(work: () => Promise<T>): Promise<T> {
    for (let failures = 0; ;) {
      try {
        return await work();
      } catch (error) {
        if (meaningOf(error) !== 'passing') throw error;
        failures++;
        if (this.isEnough(failures)) throw error;
        await this.pause(failures, error);
      }
    }
  }

  isEnough(failures: number): boolean {
    return failures > this.tuning.retries;
  }

  /** Waits after so many failures in a row; a server that says for how long has its way. @throws where it is over */
  async pause(failures: number, error: unknown): Promise<void> {
    this.signal.throwIfAborted();
    if (error instanceof Error) this.report(error);
    const { firstRetry, longestRetry } = this.tuning;
    const longest = Math.min(longestRetry, firstRetry * 2 ** (failures - 1));
    // Many that failed together do not come back together.
    const own = longest * (0.5 + Math.random() / 2);
    const asked = error instanceof CouchError ? (error.retryAfter ?? 0) * 1000 : 0;
    await sleep(Math.max(own, Math.min(asked, MOST_PATIENCE)), undefined, { signal: this.signal });
  }
}

/** A server may ask for this many milliseconds at most. */
const MOST_PATIENCE = 5 * 60_000;

import { setTimeout as sleep } from 'node:timers/promises';
import type { CouchError } from '../errors.js';
import type { ReplicationTuning } from './options.js';
import type { MissingRevisions } from './peer.js';
import type { Ticket } from './sequence-tracker.js';

/** With more revisions put aside it is not the documents that are at fault. */
const MOST = 1000;

export interface HeldOptions {
  readonly tuning: Pick<ReplicationTuning, 'retries' | 'firstRetry' | 'longestRetry'>;
  /** Whether to try for ever. */
  readonly forEver: boolean;
  readonly signal: AbortSignal;
  /** Tries again; what fails once more is put aside once more. */
  readonly move: (wanted: readonly MissingRevisions[], ticket: Ticket) => Promise<void>;
  /** Ends the run. */
  readonly fail: (error: unknown) => void;
}

/** Revisions that failed for no lasting reason: each is tried again, while everything else goes on. */
export class Held {
  /** How often each of them failed. */
  readonly #failures = new Map<string, number>();
  readonly #retries = new Set<Promise<void>>();
  #givenUp: CouchError | undefined;

  constructor(private readonly options: HeldOptions) {}

  get size(): number {
    return this.#failures.size;
  }

  /** Why the first was given up: no checkpoint may pass it. */
  get givenUp(): CouchError | undefined {
    return this.#givenUp;
  }

  add(wanted: MissingRevisions, error: CouchError, ticket: Ticket): void {
    const key = keyOf(wanted);
    const failures = (this.#failures.get(key) ?? 0) + 1;
    this.#failures.set(key, failures);
    ticket.hold();
    if (this.#failures.size > MOST) {
      this.options.fail(error);
    } else if (!this.options.forEver && failures > this.options.tuning.retries) {
      this.#givenUp ??= error;
    } else {
      const retry = this.#retry(wanted, failures, ticket).finally(() => this.#retries.delete(retry));
      this.#retries.add(retry);
    }
  }

  /** Resolves when nothing is tried any more. */
  async settled(): Promise<void> {
    while (this.#retries.size > 0) await Promise.all(this.#retries);
  }

  async #retry(wanted: MissingRevisions, failures: number, ticket: Ticket): Promise<void> {
    const { tuning, signal, move, fail } = this.options;
    const key = keyOf(wanted);
    try {
      const wait = Math.min(tuning.longestRetry, tuning.firstRetry * 2 ** (failures - 1));
      await sleep(wait, undefined, { signal });
      await move([wanted], ticket);
      if (this.#failures.get(key) === failures) this.#failures.delete(key);
      ticket.release();
    } catch (error) {
      // The ticket is never released: no checkpoint passes what was not dealt with.
      if (!signal.aborted) fail(error);
    }
  }
}

const keyOf = ({ id, missing }: MissingRevisions): string => JSON.stringify([id, ...missing]);

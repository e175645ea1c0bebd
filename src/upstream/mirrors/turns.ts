import { setTimeout as sleep } from 'node:timers/promises';

/** Leave to work on a mirror. */
export interface Turn {
  /** Lets others have it for so many milliseconds, and then waits for another one. @throws where the signal fires before */
  rest(milliseconds: number): Promise<void>;
  /** Gives it back, if it is not yet. */
  end(): void;
}

interface Waiting {
  readonly isUrgent: boolean;
  readonly start: () => void;
}

/** Gives turns to mirrors: so many have one at once, those that have something to bring come first. */
export class Turns {
  #running = 0;
  readonly #waiting: Waiting[] = [];

  /** @param limit read at each use: it may change */
  constructor(private readonly limit: () => number) {}

  /** How many wait: whoever has nothing to do meanwhile gives its turn back. */
  get waiting(): number {
    return this.#waiting.length;
  }

  get running(): number {
    return this.#running;
  }

  /** Resolves with undefined where the signal fires before there is one. */
  async take(isUrgent: boolean, signal: AbortSignal): Promise<Turn | undefined> {
    let isHeld = await this.#enter(isUrgent, signal);
    if (!isHeld) return undefined;
    const end = (): void => {
      if (isHeld) this.#leave();
      isHeld = false;
    };
    const rest = async (milliseconds: number): Promise<void> => {
      end();
      await sleep(milliseconds, undefined, { signal, ref: false });
      isHeld = await this.#enter(isUrgent, signal);
      signal.throwIfAborted();
    };
    return { rest, end };
  }

  /** @returns false where the signal fires before */
  async #enter(isUrgent: boolean, signal: AbortSignal): Promise<boolean> {
    if (this.#running >= this.limit()) await this.#wait(isUrgent, signal);
    else this.#running++;
    if (signal.aborted) this.#leave();
    return !signal.aborted;
  }

  #wait(isUrgent: boolean, signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const start = (): void => {
        signal.removeEventListener('abort', leave);
        this.#running++;
        resolve();
      };
      const waiting = { isUrgent, start };
      const leave = (): void => {
        this.#waiting.splice(this.#waiting.indexOf(waiting), 1);
        start();
      };
      signal.addEventListener('abort', leave, { once: true });
      const behind = isUrgent ? this.#waiting.findIndex((one) => !one.isUrgent) : -1;
      this.#waiting.splice(behind === -1 ? this.#waiting.length : behind, 0, waiting);
    });
  }

  #leave(): void {
    this.#running--;
    while (this.#running < this.limit() && this.#waiting.length > 0) this.#waiting.shift()?.start();
  }
}

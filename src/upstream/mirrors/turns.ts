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

  /** Resolves with what gives the turn back, which is to be called once; with undefined where the signal fires before. */
  async take(isUrgent: boolean, signal: AbortSignal): Promise<(() => void) | undefined> {
    if (this.#running >= this.limit()) await this.#wait(isUrgent, signal);
    else this.#running++;
    if (!signal.aborted) return () => this.#giveBack();
    this.#giveBack();
    return undefined;
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

  #giveBack(): void {
    this.#running--;
    while (this.#running < this.limit() && this.#waiting.length > 0) this.#waiting.shift()?.start();
  }
}

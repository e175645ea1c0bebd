import type { Chance } from '../../src/upstream/monitor.js';

/** Time that passes when the test says so. */
export class Time implements Chance {
  #now = 0;
  #calls: { at: number; call: () => void }[] = [];
  luck = 0.5;

  now = (): number => this.#now;
  random = (): number => this.luck;
  after = (milliseconds: number, call: () => void): (() => void) => {
    const entry = { at: this.#now + milliseconds, call };
    this.#calls.push(entry);
    return () => (this.#calls = this.#calls.filter((one) => one !== entry));
  };

  get waits(): readonly number[] {
    return this.#calls.map(({ at }) => at - this.#now);
  }

  /** Lets time pass, and what is due happen; probes are answered in between. */
  async pass(milliseconds: number): Promise<void> {
    const end = this.#now + milliseconds;
    for (;;) {
      await settled();
      const next = this.#calls.toSorted((a, b) => a.at - b.at)[0];
      if (next === undefined || next.at > end) break;
      this.#now = next.at;
      this.#calls = this.#calls.filter((one) => one !== next);
      next.call();
    }
    this.#now = end;
  }
}

export const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

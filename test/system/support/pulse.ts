import { setTimeout as pause } from 'node:timers/promises';

/** How long answers took, in milliseconds. */
export interface Latencies {
  readonly answers: number;
  readonly median: number;
  readonly p99: number;
  readonly longest: number;
}

/** Asks something again and again, a few milliseconds after each answer, and remembers how long the answers took. */
export class Pulse {
  readonly #took: number[] = [];
  readonly #running: Promise<void>;
  #stopped = false;

  constructor(
    private readonly ask: (n: number) => Promise<unknown>,
    private readonly rest = 5,
  ) {
    this.#running = this.#run();
    // Told when it is stopped.
    this.#running.catch(() => undefined);
  }

  async #run(): Promise<void> {
    for (let n = 0; !this.#stopped; n += 1) {
      const asked = performance.now();
      await this.ask(n);
      this.#took.push(performance.now() - asked);
      await pause(this.rest);
    }
  }

  /** Rejects where it was not answered. */
  async stop(): Promise<Latencies> {
    this.#stopped = true;
    await this.#running;
    return latenciesOf(this.#took);
  }
}

export function latenciesOf(took: readonly number[]): Latencies {
  const sorted = took.toSorted((a, b) => a - b);
  const at = (part: number): number =>
    Math.round(10 * (sorted[Math.min(sorted.length - 1, Math.floor(part * sorted.length))] ?? 0)) / 10;
  return { answers: sorted.length, median: at(0.5), p99: at(0.99), longest: at(1) };
}

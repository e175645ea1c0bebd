/** Runs at most `concurrency` tasks at once, in the order they came, and lets at most `waiting` others wait. */
export class Limiter {
  #running = 0;
  readonly #queue: (() => void)[] = [];

  constructor(
    private readonly concurrency: number,
    private readonly waiting: number,
    private readonly refusal: () => Error,
  ) {}

  /** @throws what `refusal` makes when too many tasks wait already. */
  async run<T>(task: () => Promise<T>): Promise<T> {
    if (this.#running < this.concurrency) this.#running++;
    else await this.#turn();
    try {
      return await task();
    } finally {
      // The place goes straight to the next task, so that a newcomer cannot overtake it.
      const next = this.#queue.shift();
      if (next) next();
      else this.#running--;
    }
  }

  #turn(): Promise<void> {
    if (this.#queue.length >= this.waiting) return Promise.reject(this.refusal());
    return new Promise((resolve) => this.#queue.push(resolve));
  }
}

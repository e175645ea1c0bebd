interface Waiting {
  readonly start: () => void;
  readonly refuse: (error: Error) => void;
}

/**
 * Runs at most `concurrency` tasks at once, and lets at most `waiting` others wait. Parties take turns, each with its
 * tasks in the order they came, so that one with many holds up nobody else for longer than one of them takes.
 */
export class Limiter {
  #running = 0;
  #count = 0;
  /** Party → what it has waiting, never nothing; first the party whose turn is next. */
  readonly #queues = new Map<string, Waiting[]>();

  constructor(
    private concurrency: number,
    private readonly waiting: number,
    private readonly refusal: () => Error,
  ) {}

  /** @throws what `refusal` makes where too many wait, and no other party has more of them. */
  async run<T>(task: () => Promise<T>, party = ''): Promise<T> {
    if (this.#running < this.concurrency) this.#running++;
    else await this.#turn(party);
    try {
      return await task();
    } finally {
      // The place goes straight to the next task, so that a newcomer cannot overtake it.
      const next = this.#running > this.concurrency ? undefined : this.#next();
      if (next) next.start();
      else this.#running--;
    }
  }

  /** Lets another number run at once; what runs goes on. */
  allow(concurrency: number): void {
    this.concurrency = concurrency;
    while (this.#running < concurrency) {
      const next = this.#next();
      if (!next) return;
      this.#running++;
      next.start();
    }
  }

  #turn(party: string): Promise<void> {
    return new Promise((start, refuse) => {
      const queue = this.#queues.get(party) ?? [];
      if (this.#count === this.waiting && !this.#makeRoom(queue.length)) {
        refuse(this.refusal());
        return;
      }
      queue.push({ start, refuse });
      this.#queues.set(party, queue);
      this.#count++;
    });
  }

  /** Takes a place from the party with the most, if that has more than so many others besides. */
  #makeRoom(others: number): boolean {
    let longest: Waiting[] = [];
    for (const queue of this.#queues.values()) if (queue.length > longest.length) longest = queue;
    if (longest.length <= others + 1) return false;
    longest.pop()?.refuse(this.refusal());
    this.#count--;
    return true;
  }

  #next(): Waiting | undefined {
    for (const [party, queue] of this.#queues) {
      const next = queue.shift();
      this.#count--;
      // Its turn comes again behind all others.
      this.#queues.delete(party);
      if (queue.length > 0) this.#queues.set(party, queue);
      return next;
    }
    return undefined;
  }
}

/**
 * Lets pieces of work run side by side for as long as all of them together need no more than there is of something; others
 * wait, in the order in which they came.
 */
export class Allowance {
  readonly #waiting: { readonly amount: number; readonly begin: () => void }[] = [];
  #left: number;

  constructor(private readonly total: number) {
    this.#left = total;
  }

  /** @param work is told whether it had to wait. @param amount more than there is in all counts as all of it */
  async use<T>(amount: number, work: (hasWaited: boolean) => Promise<T>): Promise<T> {
    const needed = Math.min(amount, this.total);
    const waits = this.#waiting.length > 0 || needed > this.#left;
    if (waits) await new Promise<void>((begin) => this.#waiting.push({ amount: needed, begin }));
    else this.#left -= needed;
    try {
      return await work(waits);
    } finally {
      this.#left += needed;
      this.#next();
    }
  }

  #next(): void {
    for (
      let [first] = this.#waiting;
      first !== undefined && first.amount <= this.#left;
      [first] = this.#waiting
    ) {
      this.#waiting.shift();
      this.#left -= first.amount;
      first.begin();
    }
  }
}

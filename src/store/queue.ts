/** Lets one piece of work run at a time, in the order in which they came. */
export class Queue {
  #last: Promise<unknown> = Promise.resolve();

  add<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#last.then(work);
    // Whoever asked for it hears of its failure; the next goes on.
    this.#last = result.catch(() => undefined);
    return result;
  }
}

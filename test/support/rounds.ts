/** Counts the rounds of the event loop, until it is told to end. */
export class Rounds {
  #count = 0;
  #isGoing = true;

  constructor() {
    this.#goRound();
  }

  get count(): number {
    return this.#count;
  }

  end(): void {
    this.#isGoing = false;
  }

  #goRound(): void {
    this.#count++;
    if (this.#isGoing) setImmediate(() => this.#goRound());
  }
}

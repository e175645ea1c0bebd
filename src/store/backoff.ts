/** Milliseconds between the first failures, and the most between later ones. */
const FIRST = 100;
const LONGEST = 5000;

/** When something that failed is worth another try; there is no timer, whoever needs it asks. */
export class Backoff {
  #delay = FIRST;
  #next = -Infinity;

  get due(): boolean {
    return performance.now() >= this.#next;
  }

  failed(): void {
    this.#next = performance.now() + this.#delay;
    this.#delay = Math.min(this.#delay * 2, LONGEST);
  }

  succeeded(): void {
    this.#delay = FIRST;
    this.#next = -Infinity;
  }
}

/** Characters of bodies that are read at once, about. */
const TARGET = 512 * 1024;
const FIRST = 8;
const MOST = 100;

/**
 * How many bodies a request reads at once, so that its memory does not grow with their length. That is known only
 * when they are read: it begins with few, and goes on with as many as are not too much if the next are like the last.
 */
export class BodyPages {
  #size = FIRST;

  /** How many to read next. */
  get size(): number {
    return this.#size;
  }

  /** Takes note of what was read. */
  note(texts: readonly (string | undefined)[]): void {
    if (texts.length === 0) return;
    const length = texts.reduce((sum, text) => sum + (text?.length ?? 0), 0);
    const fitting = Math.floor((TARGET * texts.length) / Math.max(length, 1));
    this.#size = Math.max(1, Math.min(MOST, fitting, this.#size * 4));
  }
}

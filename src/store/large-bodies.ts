import type { ClassicLevel } from 'classic-level';
import * as layout from './layout.js';
import { LARGE_BODY } from './state.js';

/** Bodies of more characters are large. */
export const LARGE = 128 * 1024;

/** Where the length of a large body stands. */
export const largeBodyKey = (seq: number): string => layout.meta.key(LARGE_BODY + layout.seqKey(seq));

/**
 * How long the large bodies of a database are, so that nobody has to read one to know that it is no good idea to read
 * many. Large as they are they cannot be so many that the list would not fit into memory.
 */
export class LargeBodies {
  readonly #lengths = new Map<number, number>();

  static async load(level: ClassicLevel): Promise<LargeBodies> {
    const listed = new LargeBodies();
    const range = { gte: largeBodyKey(0), lte: largeBodyKey(Number.MAX_SAFE_INTEGER) };
    for await (const [key, length] of level.iterator(range)) {
      listed.add(layout.parseSeqKey(layout.meta.strip(key).slice(LARGE_BODY.length)), Number(length));
    }
    return listed;
  }

  has(seq: number): boolean {
    return this.#lengths.has(seq);
  }

  /** The sequences of all of them. */
  seqs(): Iterable<number> {
    return this.#lengths.keys();
  }

  /** Characters that the body at a sequence has at most. */
  bound(seq: number): number {
    return this.#lengths.get(seq) ?? LARGE;
  }

  /** None is taken away while the database is open: a snapshot may still hold a body that was dropped. */
  add(seq: number, length: number): void {
    this.#lengths.set(seq, length);
  }
}

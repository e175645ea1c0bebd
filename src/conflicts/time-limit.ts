import type { Work } from '../json/turns.js';

/** A merge function took too long. */
export class MergeTimeout extends Error {
  override readonly name = 'MergeTimeout';
}

/**
 * Work that may take so many milliseconds of its own: what others do in between counts for nothing.
 * @throws MergeTimeout
 */
export function* limited<T>(work: Work<T>, most: number): Work<T> {
  for (let left = most; ;) {
    const before = performance.now();
    const step = work.next();
    if (step.done === true) return step.value;
    left -= performance.now() - before;
    if (left < 0) throw new MergeTimeout(`it took more than ${String(most)} ms`);
    yield;
  }
}

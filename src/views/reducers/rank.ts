import { elements } from '../../json/text.js';
import type { Work } from '../../json/turns.js';
import { collate } from '../../store/collate.js';
import type { ViewReducer } from '../types.js';
import { foldAll } from './fold.js';

/** A value with what it is compared by. */
interface Ranked {
  readonly text: string;
  readonly value: unknown;
}

/**
 * `_top_N` and `_bottom_N`: the highest or lowest values, the outermost first. Of those that the collation takes for one
 * only one is kept.
 * @param direction 1 for the lowest, -1 for the highest
 */
export function rank(most: number, direction: 1 | -1): ViewReducer {
  const keep = (best: Ranked[], text: string): void => {
    const value = JSON.parse(text) as unknown;
    const at = placeOf(best, value, direction);
    if (at >= most) return;
    const there = best[at];
    if (there !== undefined && collate(there.value, value) === 0) return;
    best.splice(at, 0, { text, value });
    best.length = Math.min(best.length, most);
  };
  return {
    reduce: (runs) => foldAll(runs, (rows) => pick(valuesOf(rows), keep)),
    rereduce: (runs) => foldAll(runs, (parts) => pick(elementsOf(parts), keep)),
    show: (reduction) => reduction,
  };
}

function* pick(texts: Iterable<string>, keep: (best: Ranked[], text: string) => void): Work<string> {
  const best: Ranked[] = [];
  for (const text of texts) {
    keep(best, text);
    yield;
  }
  return `[${best.map(({ text }) => text).join(',')}]`;
}

function* valuesOf(rows: readonly { readonly value: string }[]): Generator<string> {
  for (const { value } of rows) yield value;
}

function* elementsOf(parts: readonly string[]): Generator<string> {
  for (const part of parts) yield* elements(part) ?? [];
}

/** How many of the values stand before this one. */
function placeOf(best: readonly Ranked[], value: unknown, direction: number): number {
  let low = 0;
  let high = best.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (direction * collate(best[middle]?.value, value) < 0) low = middle + 1;
    else high = middle;
  }
  return low;
}

import type { Work } from './turns.js';

/** Items that are sorted at a stretch, and merged before others may have a turn. */
const RUN = 128;

/** So few items are sorted by hand: for whatever `sort` gets it takes 2 KB of memory first. */
const FEW = 16;

type Compare<T> = (a: T, b: T) => number;

/** Sorts as `toSorted` does. */
export function sorted<T extends object | string>(items: readonly T[], compare: Compare<T>): T[] {
  if (items.length > FEW) return items.toSorted(compare);
  const ordered: T[] = [];
  for (const item of items) {
    let at = ordered.length;
    for (let last = ordered[at - 1]; last !== undefined && compare(last, item) > 0; last = ordered[at - 1])
      ordered[at--] = last;
    ordered[at] = item;
  }
  return ordered;
}

/** Sorts as `toSorted` does, bit by bit: items with equal places stay in their order. */
export function* sorting<T extends object | string>(
  items: readonly T[],
  compare: Compare<T>,
): Work<readonly T[]> {
  if (items.length <= RUN) return sorted(items, compare);
  let runs: (readonly T[])[] = [];
  for (let at = 0; at < items.length; at += RUN) {
    runs.push(items.slice(at, at + RUN).sort(compare));
    yield;
  }
  while (runs.length > 1) {
    const merged: (readonly T[])[] = [];
    for (let at = 0; at < runs.length; at += 2) {
      const [left = [], right = []] = runs.slice(at, at + 2);
      merged.push(yield* merging(left, right, compare));
    }
    runs = merged;
  }
  return runs[0] ?? [];
}

function* merging<T extends object | string>(
  left: readonly T[],
  right: readonly T[],
  compare: Compare<T>,
): Work<readonly T[]> {
  const merged: T[] = [];
  let next = 0;
  for (const item of left) {
    for (let other = right[next]; next < right.length; other = right[++next]) {
      if (other === undefined || compare(item, other) <= 0) break;
      merged.push(other);
      if (merged.length % RUN === 0) yield;
    }
    merged.push(item);
    if (merged.length % RUN === 0) yield;
  }
  return merged.concat(right.slice(next));
}

/** Sorts texts as `toSorted` does without a comparison, each of them once, bit by bit. */
export function* sortingDistinct(texts: readonly string[]): Work<readonly string[]> {
  // What was sorted once comes here again.
  if (yield* areAscending(texts)) return texts;
  const distinct: string[] = [];
  let last: string | undefined;
  for (const [at, text] of (yield* sorting(texts, byCodeUnits)).entries()) {
    if (text !== last) distinct.push(text);
    last = text;
    if (at % RUN === 0) yield;
  }
  return distinct;
}

function* areAscending(texts: readonly string[]): Work<boolean> {
  for (let at = 1; at < texts.length; at++) {
    if ((texts[at - 1] ?? '') >= (texts[at] ?? '')) return false;
    if (at % RUN === 0) yield;
  }
  return true;
}

const byCodeUnits = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

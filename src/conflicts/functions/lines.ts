import type { Work } from '../../json/turns.js';

/** Longer texts are not merged, and neither are those that differ in more lines. */
const LONGEST = 4 << 20;
const MOST_LINES = 100_000;
const MOST_DIFFERENT = 1000;

/**
 * Merges two texts that come from one, line by line. Own code, because what it makes goes into the ids of revisions: it
 * must be the same with every version of whatever is installed. Where all lines of a text end with CRLF, that is taken
 * for what it is, and not for a change of each line.
 * @returns undefined where both changed the same lines or ones that touch, or the texts are too long or too different
 */
export function* mergeLines(base: string, ours: string, theirs: string): Work<string | undefined> {
  if (base.length + ours.length + theirs.length > LONGEST) return undefined;
  const ends = [base, ours, theirs].map(endOf);
  const [was, mine, yours] = ends;
  const end = mine === was || mine === undefined ? (yours ?? mine ?? was) : mine;
  const texts = [base, ours, theirs].map((text, at) => text.split(ends[at] ?? '\n'));
  if (texts.some(({ length }) => length > MOST_LINES)) return undefined;
  const numbers = new Map<string, number>();
  const [before = [], left = [], right = []] = texts.map((lines) =>
    lines.map((line) => numbers.get(line) ?? numbers.set(line, numbers.size).size - 1),
  );
  const merged = yield* merging(before, left, right);
  const lines = [...numbers.keys()];
  return merged?.map((line) => lines[line]).join(end ?? '\n');
}

/** How the lines of a text end; undefined where it has but one. */
function endOf(text: string): string | undefined {
  const ends = text.match(/\r?\n/g);
  return ends === null ? undefined : ends.includes('\n') ? '\n' : '\r\n';
}

type Lines = readonly number[];

function* merging(base: Lines, ours: Lines, theirs: Lines): Work<number[] | undefined> {
  const inOurs = yield* matching(base, ours);
  const inTheirs = yield* matching(base, theirs);
  if (inOurs === undefined || inTheirs === undefined) return undefined;
  const merged: number[] = [];
  let [from, fromOurs, fromTheirs] = [0, 0, 0];
  for (;;) {
    // The next line that all have ends what may have been changed.
    let to = from;
    while (to < base.length && (at(inOurs, to) < 0 || at(inTheirs, to) < 0)) to++;
    const isEnd = to === base.length;
    const toOurs = isEnd ? ours.length : at(inOurs, to);
    const toTheirs = isEnd ? theirs.length : at(inTheirs, to);
    const piece = mergedPiece(
      base.slice(from, to),
      ours.slice(fromOurs, toOurs),
      theirs.slice(fromTheirs, toTheirs),
    );
    if (piece === undefined) return undefined;
    for (const line of piece) merged.push(line);
    if (isEnd) return merged;
    merged.push(at(base, to));
    [from, fromOurs, fromTheirs] = [to + 1, toOurs + 1, toTheirs + 1];
  }
}

function mergedPiece(base: Lines, ours: Lines, theirs: Lines): Lines | undefined {
  if (areSame(base, theirs) || areSame(ours, theirs)) return ours;
  return areSame(base, ours) ? theirs : undefined;
}

const areSame = (a: Lines, b: Lines): boolean => a.length === b.length && a.every((line, i) => line === b[i]);

/** For each line of `a` which line of `b` it is, or -1: by the shortest way from one to the other (Myers). */
function* matching(a: Lines, b: Lines): Work<Int32Array | undefined> {
  const found = new Int32Array(a.length).fill(-1);
  let start = 0;
  while (start < a.length && start < b.length && a[start] === b[start]) found[start] = start++;
  let [endA, endB] = [a.length, b.length];
  while (endA > start && endB > start && a[endA - 1] === b[endB - 1]) found[--endA] = --endB;
  const rounds = yield* search(a.slice(start, endA), b.slice(start, endB));
  if (rounds === undefined) return undefined;
  let x = endA - start;
  let y = endB - start;
  for (let d = rounds.length - 1; d >= 0; d--) {
    const furthest = rounds[d] ?? new Int32Array();
    const k = x - y;
    const before = d === 0 ? 0 : isDown(furthest, d, k) ? k + 1 : k - 1;
    const fromX = d === 0 ? 0 : at(furthest, before + d);
    const fromY = fromX - before;
    while (x > fromX && y > fromY) found[start + --x] = start + --y;
    [x, y] = [fromX, fromY];
  }
  return found;
}

/**
 * @returns for each round how far each diagonal had come before it: at `d` the diagonal 0. Undefined where it would take
 * too many rounds.
 */
function* search(a: Lines, b: Lines): Work<Int32Array[] | undefined> {
  const rounds: Int32Array[] = [];
  let furthest = new Int32Array(1);
  for (let d = 0; d <= MOST_DIFFERENT; d++) {
    rounds.push(furthest);
    // Diagonals from -d to d, with one more on each side for the next round.
    const next = new Int32Array(2 * d + 3);
    for (let k = -d; k <= d; k += 2) {
      let x = d === 0 ? 0 : isDown(furthest, d, k) ? at(furthest, k + 1 + d) : at(furthest, k - 1 + d) + 1;
      while (x < a.length && x - k < b.length && a[x] === b[x - k]) x++;
      next[k + d + 1] = x;
      if (x >= a.length && x - k >= b.length) return rounds;
    }
    furthest = next;
    yield;
  }
  return undefined;
}

/** Whether the way to diagonal `k` in round `d` takes a line of `b`, and not one of `a`. */
const isDown = (furthest: Int32Array, d: number, k: number): boolean =>
  k === -d || (k !== d && at(furthest, k - 1 + d) < at(furthest, k + 1 + d));

const at = (numbers: Lines | Int32Array, index: number): number => numbers[index] ?? 0;

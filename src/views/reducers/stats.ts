import { CouchError } from '../../errors.js';
import type { Work } from '../../json/turns.js';
import type { ViewReducer } from '../types.js';
import { foldAll } from './fold.js';

/** Sum, count, minimum, maximum, sum of squares. */
type Figures = readonly [sum: number, count: number, min: number, max: number, sumsqr: number];

/** Of values that are arrays each element is counted by itself. */
interface Each {
  readonly each: readonly Stats[];
}

type Stats = Figures | Each;

/** What is kept of values that are no numbers: why. */
interface Failed {
  readonly error: string;
}

class NotCountable extends Error {}

const MEMBERS = ['sum', 'count', 'min', 'max', 'sumsqr'] as const;

/**
 * `_stats`: of numbers, of what was reduced so before, and of arrays of such, element by element. Where values are
 * something else, only what reduces them fails.
 */
export const stats: ViewReducer = {
  reduce: (runs) => foldAll(runs, (rows) => merged(rows, ({ value }) => statsOf(JSON.parse(value)))),
  rereduce: (runs) => foldAll(runs, (parts) => merged(parts, kept)),
  show: (reduction) => shown(kept(reduction)),
};

function* merged<T>(items: readonly T[], read: (item: T) => Stats): Work<string> {
  let all: Stats | undefined;
  for (const item of items) {
    try {
      const stats = read(item);
      all = all === undefined ? stats : merge(all, stats);
    } catch (error) {
      // `show` says it.
      if (error instanceof NotCountable) return JSON.stringify({ error: error.message });
      if (error instanceof CouchError) return JSON.stringify({ error: error.reason });
      throw error;
    }
    yield;
  }
  return JSON.stringify(all);
}

/** @throws CouchError */
function kept(reduction: string): Stats {
  const read = JSON.parse(reduction) as Stats | Failed;
  if ('error' in read) throw new CouchError(400, 'invalid_value', read.error);
  return read;
}

function merge(a: Stats, b: Stats): Stats {
  if ('each' in a && 'each' in b) {
    if (a.each.length !== b.each.length) throw refusal(shown(b));
    return { each: a.each.map((stats, at) => merge(stats, b.each[at] ?? stats)) };
  }
  if ('each' in a || 'each' in b) throw refusal(shown('each' in a ? a : b));
  const sum = a[0] + b[0];
  const sumsqr = a[4] + b[4];
  if (!Number.isFinite(sum) || !Number.isFinite(sumsqr)) throw new NotCountable('the sum is too large');
  return [sum, a[1] + b[1], Math.min(a[2], b[2]), Math.max(a[3], b[3]), sumsqr];
}

const refusal = (what: string): NotCountable =>
  new NotCountable(
    `The _stats function requires that map values be numbers or arrays of numbers, not '${what}'`,
  );

function statsOf(value: unknown): Stats {
  if (typeof value === 'number') {
    if (!Number.isFinite(value * value)) throw new NotCountable('the square of a value is too large');
    return [value, 1, value, value, value * value];
  }
  if (Array.isArray(value)) return { each: value.map(statsOf) };
  if (typeof value !== 'object' || value === null) {
    throw new NotCountable(`non-numeric _stats input: ${JSON.stringify(value)}`);
  }
  return reduced(value as Readonly<Record<string, unknown>>);
}

/** What an object says that was reduced before. */
function reduced(value: Readonly<Record<string, unknown>>): Figures {
  const [sum, count, min, max, sumsqr] = MEMBERS.map((name) => {
    const member = Object.hasOwn(value, name) ? value[name] : undefined;
    if (typeof member === 'number') return member;
    if (member === undefined) {
      throw new NotCountable(`user _stats input missing required field ${name} (${JSON.stringify(value)})`);
    }
    throw new NotCountable(`non-numeric _stats input received for ${name}: ${JSON.stringify(member)}`);
  }) as unknown as Figures;
  return [sum, count, min, max, sumsqr];
}

function shown(stats: Stats): string {
  if ('each' in stats) return `[${stats.each.map(shown).join(',')}]`;
  return `{${MEMBERS.map((name, at) => `"${name}":${String(stats[at])}`).join(',')}}`;
}

import { compareIds } from '../store/order.js';

/** Compares two keys: negative where the first comes first, 0 where an index takes them for one. */
export type Collation = (a: unknown, b: unknown) => number;

type Members = Readonly<Record<string, unknown>>;

/** The root collation of Unicode, as CouchDB asks ICU for it; `en` has no rules of its own. */
const strings = new Intl.Collator('en');

/**
 * The order of keys in CouchDB's views: null, false, true, numbers, strings, arrays, objects. Strings go by Unicode's
 * collation; arrays by their elements, objects by their members in the order in which they were written, names before
 * values; of two that begin alike the shorter comes first.
 */
export const collate: Collation = (a, b) => {
  if (typeof a === 'string' && typeof b === 'string') return strings.compare(a, b);
  if (typeof a === 'number' && typeof b === 'number') return a - b;
  const kind = kindOf(a);
  const difference = kind - kindOf(b);
  if (difference !== 0) return difference;
  if (kind === ARRAY) return compareArrays(a as readonly unknown[], b as readonly unknown[], collate);
  if (kind === OBJECT) return compareMembers(a as Members, b as Members, collate, strings.compare);
  return 0;
};

/** The order with `"collation": "raw"`: that of Erlang's terms, as CouchDB has JSON in them. */
export const collateRaw: Collation = (a, b) => {
  if (typeof a === 'string' && typeof b === 'string') return compareIds(a, b);
  if (typeof a === 'number' && typeof b === 'number') return a - b;
  const kind = RAW_KINDS[kindOf(a)] ?? 0;
  const difference = kind - (RAW_KINDS[kindOf(b)] ?? 0);
  if (difference !== 0) return difference;
  if (Array.isArray(a)) return compareArrays(a, b as readonly unknown[], collateRaw);
  if (typeof a !== 'object' || a === null) return 0;
  // A list of pairs in a tuple.
  return compareMembers(a as Members, b as Members, collateRaw, compareIds);
};

const ARRAY = 5;
const OBJECT = 6;

/** Numbers, then the atoms `false`, `null` and `true`, objects, arrays, strings. */
const RAW_KINDS: readonly number[] = [2, 1, 3, 0, 6, 5, 4];

function kindOf(value: unknown): number {
  switch (typeof value) {
    case 'boolean':
      return value ? 2 : 1;
    case 'number':
      return 3;
    case 'string':
      return 4;
    default:
      return value === null ? 0 : Array.isArray(value) ? ARRAY : OBJECT;
  }
}

function compareArrays(a: readonly unknown[], b: readonly unknown[], compare: Collation): number {
  const length = Math.min(a.length, b.length);
  for (let at = 0; at < length; at++) {
    const difference = compare(a[at], b[at]);
    if (difference !== 0) return difference;
  }
  return a.length - b.length;
}

function compareMembers(
  a: Members,
  b: Members,
  compare: Collation,
  compareNames: (a: string, b: string) => number,
): number {
  const left = Object.keys(a);
  const right = Object.keys(b);
  for (const [at, name] of left.entries()) {
    const other = right[at];
    if (other === undefined) return 1;
    const difference = compareNames(name, other) || compare(a[name], b[other]);
    if (difference !== 0) return difference;
  }
  return left.length - right.length;
}

import { collate } from '../store/collate.js';
import { comparisonOf } from '../selector/match.js';
import type { Path, Selector, Test } from '../selector/types.js';

/** One end of a range. */
export interface Bound {
  readonly value: unknown;
  readonly inclusive: boolean;
}

/** What a field can be in documents that fit a selector, as far as an index can tell. */
export interface Range {
  readonly low?: Bound;
  readonly high?: Bound;
}

/** One text for each path. */
export const pathKey = (path: Path): string => JSON.stringify(path);

/** The ranges of all fields that an index could have, by the keys of their paths; undefined where nothing can fit. */
export function rangesOf(selector: Selector): ReadonlyMap<string, Range> | undefined {
  if ((selector.kind === 'and' || selector.kind === 'or') && selector.parts.length === 0) return undefined;
  const ranges = new Map<string, Range>();
  for (const { path, test } of conditions(selector)) {
    const key = pathKey(path);
    const range = narrow(ranges.get(key) ?? {}, path, test);
    if (range === undefined) return undefined;
    ranges.set(key, range);
  }
  return ranges;
}

const INDEXABLE: ReadonlySet<string> = new Set([
  '$lt',
  '$lte',
  '$eq',
  '$gte',
  '$gt',
  '$beginsWith',
  '$exists',
]);

/** What all documents that fit have in common. */
function conditions(selector: Selector): readonly { readonly path: Path; readonly test: Test }[] {
  if (selector.kind === 'and') return selector.parts.flatMap(conditions);
  if (selector.kind !== 'field') return [];
  const { operator, negated } = selector.test;
  return INDEXABLE.has(operator) && !negated ? [selector] : [];
}

function narrow(range: Range, path: Path, { operator, argument }: Test): Range | undefined {
  switch (operator) {
    case '$gt':
    case '$gte':
      return within(range, path, { low: { value: argument, inclusive: operator === '$gte' } });
    case '$lt':
    case '$lte':
      return within(range, path, { high: { value: argument, inclusive: operator === '$lte' } });
    case '$eq': {
      const bound = { value: argument, inclusive: true };
      return within(range, path, { low: bound, high: bound });
    }
    case '$beginsWith':
      return within(range, path, prefixed(argument as string, comparisonOf(path) === collate));
    default:
      return range;
  }
}

/**
 * Characters that the collation of Unicode takes together with those behind them: texts that begin with them need not
 * stand together.
 */
const SOCIABLE = /[\p{Logical_Order_Exception}\p{M}\u1100-\u11ff]/u;

function prefixed(prefix: string, isCollated: boolean): Range {
  if (isCollated && SOCIABLE.test(prefix)) return {};
  // The last character in the order of Unicode's collation, and in that of UTF-8.
  const last = isCollated ? '\uffff' : '\u{10ffff}';
  return { low: { value: prefix, inclusive: true }, high: { value: prefix + last, inclusive: true } };
}

/** What two ranges have in common; undefined where that is nothing. */
function within(a: Range, path: Path, b: Range): Range | undefined {
  const compare = comparisonOf(path);
  const low = tighter(a.low, b.low, compare);
  const high = tighter(a.high, b.high, (left, right) => compare(right, left));
  if (low !== undefined && high !== undefined) {
    const order = compare(low.value, high.value);
    if (order > 0 || (order === 0 && !(low.inclusive && high.inclusive))) return undefined;
  }
  return { ...(low && { low }), ...(high && { high }) };
}

/** @param compare by which the greater is the tighter */
function tighter(
  a: Bound | undefined,
  b: Bound | undefined,
  compare: (a: unknown, b: unknown) => number,
): Bound | undefined {
  if (a === undefined || b === undefined) return a ?? b;
  const order = compare(a.value, b.value);
  if (order !== 0) return order > 0 ? a : b;
  return a.inclusive ? b : a;
}

/** Whether a range is one value. */
export const isPoint = ({ low, high }: Range): boolean =>
  low !== undefined && high !== undefined && collate(low.value, high.value) === 0;

import { quote } from '../../json/quote.js';
import type { Work } from '../../json/turns.js';
import { compareIds } from '../../store/order.js';
import type { Row } from '../tree/types.js';
import type { ViewReducer } from '../types.js';
import { foldAll } from './fold.js';
import { termSize } from './term-size.js';

const REASON =
  'The _sum function requires that map values be numbers, arrays of numbers, or objects. Objects cannot be mixed with other data structures. Objects can be arbitrarily nested, provided that the values for all fields are themselves numbers, arrays of numbers, or objects.';

const ERROR = 'builtin_reduce_error';

/** Larger sums must be shorter than half of what they are made of; CouchDB's limit. */
const THRESHOLD = 4906;
/** No sum whose text is shorter takes so many bytes in Erlang. */
const SHORT = THRESHOLD / 5;

type Members = ReadonlyMap<string, Summable>;
/** Objects are Maps, for their members may have any names. */
type Summable = number | string | boolean | null | readonly Summable[] | Members;

/** Values that have no sum. */
class NotSummable extends Error {
  constructor(readonly culprit: Summable) {
    super(REASON);
  }
}

/**
 * `_sum`: of numbers, of arrays element by element, of objects member by member. Where there is no sum that stands in
 * its place, as in CouchDB.
 * @param limited whether sums that do not shrink are refused
 */
export function sum(limited: boolean): ViewReducer {
  return {
    reduce: (runs) =>
      foldAll(runs, (rows) => total(rows, ({ value }) => value, limited ? sizeOfRows : undefined)),
    rereduce: (runs) =>
      foldAll(runs, (parts) => total(parts, (part) => part, limited ? sizeOfParts : undefined)),
    show: (reduction) => reduction,
  };
}

function* total<T>(
  items: readonly T[],
  textOf: (item: T) => string,
  sizeOf: ((items: readonly T[]) => number) | undefined,
): Work<string> {
  let result: Summable = 0;
  // CouchDB begins with the last one, which decides what is to blame.
  for (const item of items.toReversed()) {
    const text = textOf(item);
    const value = read(text);
    if (isFailure(value)) return text;
    try {
      result = add(value, result);
    } catch (error) {
      if (error instanceof NotSummable) return failure(REASON, error.culprit);
      throw error;
    }
    yield;
  }
  const text = write(result);
  return overflow(text, items, sizeOf) ?? text;
}

const isFailure = (value: Summable): boolean => isMembers(value) && value.get('error') === ERROR;

const failure = (reason: string, cause: Summable): string =>
  `{"error":"${ERROR}","reason":${quote(reason)},"caused_by":${write(cause)}}`;

// ---- adding ---------------------------------------------------------------------------------------------------

function add(value: Summable, sum: Summable): Summable {
  if (isMembers(value)) return addMembers(value, sum);
  if (typeof value === 'number') {
    if (typeof sum === 'number') return finite(value + sum, value);
    if (isArray(sum)) return addArrays(sum, [value]);
  } else if (isArray(value)) {
    if (typeof sum === 'number') return addArrays([sum], value);
    if (isArray(sum)) return addArrays(sum, value);
  }
  throw new NotSummable(value);
}

const isMembers = (value: Summable): value is Members => value instanceof Map;

const isArray = (value: Summable): value is readonly Summable[] => Array.isArray(value);

/** JSON has no number for what is beyond the largest. */
function finite(result: number, value: Summable): number {
  if (!Number.isFinite(result)) throw new NotSummable(value);
  return result;
}

function addArrays(sum: readonly Summable[], values: readonly Summable[]): Summable {
  const both = Math.min(sum.length, values.length);
  const longer = sum.length > both ? sum : values;
  return Array.from(longer, (element, at) => {
    if (at >= both) return element;
    const [a, b] = [sum[at], values[at]];
    if (typeof a !== 'number' || typeof b !== 'number') throw new NotSummable(sum.slice(at));
    return finite(a + b, sum.slice(at));
  });
}

/** Names come in the order of their bytes where something was added. */
function addMembers(value: Members, sum: Summable): Summable {
  if (sum === 0) return value;
  if (!isMembers(sum)) throw new NotSummable(value);
  const added = new Map<string, Summable>();
  for (const name of [...new Set([...value.keys(), ...sum.keys()])].sort(compareIds)) {
    const [a, b] = [value.get(name), sum.get(name)];
    if (a !== undefined && b !== undefined) added.set(name, add(a, b));
    else added.set(name, a ?? b ?? null);
  }
  return added;
}

// ---- texts ----------------------------------------------------------------------------------------------------

function read(text: string): Summable {
  return text.includes('{') ? mapped(JSON.parse(text)) : (JSON.parse(text) as Summable);
}

function mapped(value: unknown): Summable {
  if (Array.isArray(value)) return value.map(mapped);
  if (typeof value !== 'object' || value === null) return value as Summable;
  return new Map(Object.entries(value).map(([name, member]) => [name, mapped(member)]));
}

function write(value: Summable): string {
  if (isArray(value)) return `[${value.map(write).join(',')}]`;
  if (!isMembers(value)) return JSON.stringify(value);
  return `{${Array.from(value, ([name, member]) => `${quote(name)}:${write(member)}`).join(',')}}`;
}

// ---- overflow -------------------------------------------------------------------------------------------------

function overflow<T>(
  text: string,
  items: readonly T[],
  sizeOf: ((items: readonly T[]) => number) | undefined,
): string | undefined {
  if (sizeOf === undefined || text.length < SHORT) return undefined;
  const output = 1 + termSize(JSON.parse(text));
  if (output <= THRESHOLD) return undefined;
  const input = sizeOf(items);
  if (2 * output <= input) return undefined;
  const reason = `Reduce output must shrink more rapidly: input size: ${String(input)} output size: ${String(output)}`;
  return `{"error":"${ERROR}","reason":${quote(reason)}}`;
}

const sizeOfRows = (rows: readonly Row[]): number =>
  1 +
  termSize(
    rows.map(({ key, id, value }) => [[JSON.parse(key) as unknown, id], JSON.parse(value) as unknown]),
  );

const sizeOfParts = (parts: readonly string[]): number =>
  1 + termSize(parts.map((part) => [[], JSON.parse(part) as unknown]));

import { compareIds } from '../store/order.js';
import { type Parsed, within } from './tree/order.js';
import { rank } from './tree/read.js';
import type { ViewSnapshot } from './types.js';

/** Which rows of a view are asked for; keys are JSON values, undefined where there is no bound. */
export interface RowRange {
  readonly startKey: unknown;
  readonly endKey: unknown;
  /** Of rows with the key of a bound only those from this document on; means nothing without the key. */
  readonly startDocid: string | undefined;
  readonly endDocid: string | undefined;
  readonly inclusiveEnd: boolean;
  /** The start is the higher end then. */
  readonly descending: boolean;
  /** Only rows of this partition; undefined where the view has none. */
  readonly partition: string | undefined;
  /** Rows of each of these keys, one after the other, instead of those of the range. */
  readonly keys: readonly unknown[] | undefined;
}

/** Rows by their numbers, in the order of the tree; `to` is exclusive, and not below `from`. */
export interface Span {
  readonly from: number;
  readonly to: number;
}

/** How many ranges are read one after the other: one for each key, or the one that is asked for. */
export const countRanges = ({ keys }: RowRange): number => keys?.length ?? 1;

/** One of them; there may be very many. */
export function rangeAt(range: RowRange, at: number): RowRange {
  const { keys } = range;
  return keys === undefined ? range : { ...range, startKey: keys[at], endKey: keys[at], keys: undefined };
}

/** Which rows a range without `keys` has. */
export async function spanOf(snapshot: ViewSnapshot, range: RowRange): Promise<Span> {
  const { startKey, startDocid, endKey, endDocid, inclusiveEnd, descending, partition } = range;
  const total = snapshot.root?.rows ?? 0;
  const cut = (isBefore: (place: Parsed) => boolean): Promise<number> =>
    rank(snapshot.nodes, snapshot.root, within(partition, isBefore));
  // Without a key a range ends where its partition does; where there is none nothing has to be looked for.
  const edge = (isBehind: boolean): Promise<number> | undefined =>
    partition === undefined ? undefined : cut(() => isBehind);
  const start = await (startKey === undefined
    ? edge(descending)
    : cut(isBefore(snapshot, startKey, startDocid, descending)));
  const end = await (endKey === undefined
    ? edge(!descending)
    : cut(isBefore(snapshot, endKey, endDocid, inclusiveEnd !== descending)));
  const [from = 0, to = total] = descending ? [end, start] : [start, end];
  // One that ends before it begins has its place at its start.
  return descending ? { from: Math.min(from, to), to } : { from, to: Math.max(from, to) };
}

/** Whether a row stands before a cut, which is before the rows with a key and document, or behind them. */
function isBefore(
  { collate }: ViewSnapshot,
  key: unknown,
  docid: string | undefined,
  behind: boolean,
): (place: Parsed) => boolean {
  return (place) => {
    const order = collate(place.key, key);
    if (order !== 0) return order < 0;
    if (docid === undefined) return behind;
    const difference = compareIds(place.id, docid);
    return difference < 0 || (behind && difference === 0);
  };
}

/** A part of a span that leaves out its first rows in the order of reading. */
export function skipped({ from, to }: Span, rows: number, descending: boolean): Span {
  return descending ? { from, to: Math.max(from, to - rows) } : { from: Math.min(to, from + rows), to };
}

/** So many of the first rows of a span in the order of reading. */
export function limited({ from, to }: Span, rows: number, descending: boolean): Span {
  return descending ? { from: Math.max(from, to - rows), to } : { from, to: Math.min(to, from + rows) };
}

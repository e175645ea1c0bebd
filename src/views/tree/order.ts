import { compareIds } from '../../store/order.js';
import { partitionOf } from '../../store/partitions.js';
import { collate, type Collation } from '../../store/collate.js';
import type { Place } from './types.js';

/** A place whose key has been parsed. */
export interface Parsed {
  readonly key: unknown;
  readonly id: string;
  readonly nth: number;
}

export const parsed = ({ key, id, nth }: Place): Parsed => ({ key: JSON.parse(key) as unknown, id, nth });

/** How the rows of a tree stand. */
export interface PlaceOrder {
  readonly collate: Collation;
  /** Whether the rows of each partition stand together, so that a query reads those of its own alone. */
  readonly isPartitioned: boolean;
}

/**
 * Rows stand in the order of their partitions, where the tree has these, then of their keys, those of equal keys in that
 * of their documents' ids.
 */
export const comparePlaces = (order: PlaceOrder, a: Parsed, b: Parsed): number =>
  (order.isPartitioned ? comparePartitions(partitionOf(a.id), partitionOf(b.id)) : 0) ||
  order.collate(a.key, b.key) ||
  compareIds(a.id, b.id) ||
  a.nth - b.nth;

/** As CouchDB has them, whatever the order of keys is; names that collate as equal are still two. */
const comparePartitions = (a: string, b: string): number => (a === b ? 0 : collate(a, b) || compareIds(a, b));

/** Whether rows of two documents stand in one partition, if there are any. */
export const isSamePartition = ({ isPartitioned }: PlaceOrder, a: Parsed, b: Parsed): boolean =>
  !isPartitioned || partitionOf(a.id) === partitionOf(b.id);

/**
 * What stands before a place of a partition: all that is before it in there, and all of the partitions before.
 * @param partition undefined where the tree has none
 */
export function within(
  partition: string | undefined,
  isBefore: (place: Parsed) => boolean,
): (place: Parsed) => boolean {
  if (partition === undefined) return isBefore;
  return (place) => {
    const difference = comparePartitions(partitionOf(place.id), partition);
    return difference < 0 || (difference === 0 && isBefore(place));
  };
}

import { compareIds } from '../../store/order.js';
import type { Collation } from '../../store/collate.js';
import type { Place } from './types.js';

/** A place whose key has been parsed. */
export interface Parsed {
  readonly key: unknown;
  readonly id: string;
  readonly nth: number;
}

export const parsed = ({ key, id, nth }: Place): Parsed => ({ key: JSON.parse(key) as unknown, id, nth });

/** Rows stand in the order of their keys, those of equal keys in that of their documents' ids. */
export const comparePlaces = (collate: Collation, a: Parsed, b: Parsed): number =>
  collate(a.key, b.key) || compareIds(a.id, b.id) || a.nth - b.nth;

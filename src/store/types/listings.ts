/** Documents in the order of their ids. */
import type { DocumentRecord } from './records.js';

/** One row of `_all_docs`. */
export interface ListedDocument {
  readonly id: string;
  readonly rev: string;
  /** The stored text of the winner, where bodies were asked for. */
  readonly text?: string;
  /** Only read when asked for (`records`). */
  readonly record?: DocumentRecord;
}

export interface ListRange {
  /** First id (inclusive), in the order of the listing. */
  readonly start?: string;
  readonly end?: string;
  /** Default true. */
  readonly inclusiveEnd?: boolean;
  readonly descending?: boolean;
  readonly skip?: number;
  readonly limit?: number;
  /** Read the winners' bodies too. */
  readonly bodies?: boolean;
  /** Give the records too (for `conflicts=true`). */
  readonly records?: boolean;
  /** Whether the offset is wanted, which takes a count; default true. */
  readonly offset?: boolean;
}

export interface Listing {
  /** Living documents of the database at the moment of the snapshot. */
  readonly total: number;
  /** Living documents before the first row in the order of the listing, skipped ones included. */
  readonly offset: number;
  /** Pages of rows; memory does not grow with their number. Must be iterated to its end or `return`ed. */
  readonly pages: AsyncIterable<readonly ListedDocument[]>;
}

export interface LocalDocument {
  readonly id: string;
  readonly rev: string;
  /** The whole document as JSON text, with `_id` and `_rev`. */
  readonly text: string;
}

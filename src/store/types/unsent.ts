import type { Waiting } from '../unsent-entries.js';
import type { ChangeRow } from './changes.js';
import type { DocumentRecord } from './records.js';

/**
 * Rows of the feed that wait to be sent to the upstream: those of documents with revisions that did not come from
 * there. A record: nothing else tells them from those that came.
 */
export interface Unsent {
  /** Whether account is kept; without it nothing waits. */
  readonly isTracked: boolean;
  readonly count: number;
  /**
   * Since when the document waits that has waited longest; undefined where none does. Everything that was written before
   * its sequence has gone. May read all that wait.
   */
  oldest(): Promise<Waiting | undefined>;
  /** The rows that wait, oldest first, as `changes` gives them. */
  rows(range: UnsentRange): AsyncIterable<readonly ChangeRow[]>;
  /**
   * Leaves that were written here and have not gone, by the ids of their documents; without those of which nobody knows
   * (`voidAll`). What was pulled while its document waited counts among them, and all of a document that is written
   * meanwhile.
   */
  leaves(records: readonly DocumentRecord[]): Promise<ReadonlyMap<string, ReadonlySet<string>>>;
  /** Everything up to here has gone to the upstream: a checkpoint says so on both sides. */
  sentThrough(seq: number): Promise<void>;
  /** All documents count as not sent from now on: nobody knows what the upstream has. */
  voidAll(): Promise<void>;
}

export interface UnsentRange {
  /** Exclusive. */
  readonly since: number;
  /** Inclusive; the update sequence at the call when left out. */
  readonly until?: number;
  /** At most this many rows a page. */
  readonly pageSize?: number;
}

/** What the store has to offer for conflicts. */

/** A document with two or more leaves that are not deleted. */
export interface ConflictRow {
  /** Number of the document's last change. */
  readonly seq: number;
  readonly id: string;
  /** How many of its leaves are not deleted. */
  readonly leaves: number;
  /** What somebody noted of this conflict, as JSON text; left out where nobody did. */
  readonly state?: string;
}

export interface ConflictsRange {
  /** Exclusive. */
  readonly since: number;
  /** Inclusive; the update sequence at the call when left out. */
  readonly until?: number;
  readonly descending?: boolean;
  /** At most this many rows in all. */
  readonly limit?: number;
}

/** Documents in conflict, in the order of their last changes. */
export interface Conflicts {
  /** How many there are. */
  readonly count: number;
  /** Of how many of them something is noted. */
  readonly noted: number;
  /** Undefined where the document is in no conflict, or is not there. */
  get(id: string): ConflictRow | undefined;
  /** Pages of rows. Whatever changes meanwhile is not shown, or shows at its new place. */
  rows(range: ConflictsRange): AsyncIterable<readonly ConflictRow[]>;
  /**
   * Notes something of a conflict, for as long as the document does not change: with its next change, whatever that is,
   * it is a conflict of which nothing is noted. Feeds and sequences stay as they are.
   * @param state JSON text; `undefined` takes away what was noted
   * @returns false where the document has changed since, or is in no conflict: nothing is noted then
   */
  note(row: Pick<ConflictRow, 'id' | 'seq'>, state: string | undefined): Promise<boolean>;
}

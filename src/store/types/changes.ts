/** Rows of the changes feed, and who hears of them. */

export interface ChangesRange {
  /** Exclusive. */
  readonly since: number;
  /** Inclusive; the update sequence at the call when left out. */
  readonly until?: number;
  readonly descending?: boolean;
  /** At most this many rows a page. */
  readonly pageSize?: number;
}

/** One row of the changes index. */
export interface ChangeRow {
  readonly seq: number;
  /** The document's, where nobody has to look for it in the text: in rows that were just written. */
  readonly id?: string;
  /** The row as `style=all_docs` shows it: `{"seq":"5-…","id":"a","changes":[{"rev":"…"}]}`. */
  readonly text: string;
}

/** A row that was just written. */
export interface WrittenRow extends ChangeRow {
  readonly id: string;
}

/** Tells listeners that rows were added. */
export interface ChangeEvents {
  /** @returns the function that ends the subscription. The listener is called after every group commit, never re-entrantly. */
  subscribe(listener: ChangeListener): () => void;
  /** How many listen. */
  readonly size: number;
  /**
   * The rows after a sequence as the index has them, oldest first and no more than a limit, while they are remembered;
   * undefined where it must be read.
   */
  recent(since: number, limit?: number): readonly ChangeRow[] | undefined;
  /** How many those are. */
  countRecent(since: number): number | undefined;
}

export interface ChangeListener {
  /** New rows are on disk, up to this sequence. */
  onChanges(updateSeq: number): void;
  /** The database was deleted or closed: the feed must end. */
  onClose(): void;
}

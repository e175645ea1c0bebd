import type { ChangeRow, WrittenRow } from './types/changes.js';

/** How many characters of rows are kept; listeners that keep up never read from disk. */
const LENGTH = 512 * 1024;

/** The newest rows of a database as the index has them: of each document the last one. */
export class RecentRows {
  /** Ordered by sequence. Hundreds of feeds read them for each time that they change. */
  #rows: WrittenRow[] = [];
  #length = 0;
  /** Document → the sequence of its row. */
  readonly #seqs = new Map<string, number>();
  /** Every row after this sequence is here. */
  #since: number;

  constructor(updateSeq: number) {
    this.#since = updateSeq;
  }

  /** So many of the rows after `since`, oldest first; undefined where the index must be read. */
  after(since: number, limit = Infinity): readonly ChangeRow[] | undefined {
    if (since < this.#since) return undefined;
    const from = this.#firstAfter(since);
    return this.#rows.slice(from, from + limit);
  }

  /** How many rows there are after `since`; undefined where the index must be asked. */
  countAfter(since: number): number | undefined {
    return since < this.#since ? undefined : this.#rows.length - this.#firstAfter(since);
  }

  /** Rows that are on disk, ordered by sequence, and newer than all others. */
  add(rows: readonly WrittenRow[]): void {
    for (const row of rows) {
      const before = this.#seqs.get(row.id);
      if (before !== undefined) this.#remove(this.#firstAfter(before) - 1);
      this.#rows.push(row);
      this.#length += row.text.length;
      this.#seqs.set(row.id, row.seq);
    }
    this.#dropOldest();
  }

  /** Rows up to a sequence may not be true any more. */
  forget(updateSeq: number): void {
    this.#rows = [];
    this.#length = 0;
    this.#seqs.clear();
    this.#since = updateSeq;
  }

  #dropOldest(): void {
    let drop = 0;
    for (const { id, seq, text } of this.#rows) {
      if (this.#length <= LENGTH) break;
      drop++;
      this.#length -= text.length;
      this.#seqs.delete(id);
      this.#since = seq;
    }
    if (drop > 0) this.#rows.splice(0, drop);
  }

  #remove(at: number): void {
    for (const { text } of this.#rows.splice(at, 1)) this.#length -= text.length;
  }

  #firstAfter(since: number): number {
    let low = 0;
    let high = this.#rows.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#rows[middle]?.seq ?? Infinity) <= since) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

import type { ChangeEvents, ChangeListener, ChangeRow, WrittenRow } from './types.js';

/** How many characters of recent rows are kept; listeners that keep up never read from disk. */
const RECENT_LENGTH = 512 * 1024;

/** Listeners are woken in slices, so that ten thousand of them do not hold up everybody else. */
const SLICE = 200;

/** Wakes the listeners of one database and remembers its newest rows. */
export class Events implements ChangeEvents {
  readonly #listeners = new Set<ChangeListener>();
  #recent: WrittenRow[] = [];
  #recentLength = 0;
  /** Document → the newest of its rows in `#recent`; those before it are of no interest any more. */
  readonly #newest = new Map<string, number>();
  /** `#recent` holds every row after this sequence. */
  #recentSince: number;
  #updateSeq: number;
  #waking = false;
  #closed = false;

  constructor(updateSeq: number) {
    this.#recentSince = updateSeq;
    this.#updateSeq = updateSeq;
  }

  get size(): number {
    return this.#listeners.size;
  }

  subscribe(listener: ChangeListener): () => void {
    if (this.#closed) listener.onClose();
    else this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** The rows after `since` as the index has them, oldest first; undefined where it must be read. */
  recent(since: number): readonly ChangeRow[] | undefined {
    if (since < this.#recentSince) return undefined;
    const rows = this.#recent;
    let from = rows.length;
    while (from > 0 && (rows[from - 1]?.seq ?? 0) > since) from--;
    return rows.slice(from).filter(({ id, seq }) => this.#newest.get(id) === seq);
  }

  /** Rows up to a sequence may not be true any more: documents were purged. */
  forget(updateSeq: number): void {
    this.#recent = [];
    this.#recentLength = 0;
    this.#recentSince = updateSeq;
    this.#newest.clear();
  }

  /** Tells of rows that are on disk, ordered by sequence. */
  publish(rows: readonly WrittenRow[], updateSeq: number): void {
    this.#updateSeq = updateSeq;
    this.#remember(rows);
    if (this.#waking || this.#listeners.size === 0) return;
    this.#waking = true;
    setImmediate(() => {
      this.#wake([...this.#listeners], 0, updateSeq);
    });
  }

  #remember(rows: readonly WrittenRow[]): void {
    for (const row of rows) {
      this.#recent.push(row);
      this.#recentLength += row.text.length;
      this.#newest.set(row.id, row.seq);
    }
    let drop = 0;
    for (; this.#recentLength > RECENT_LENGTH && drop < this.#recent.length; drop++) {
      const row = this.#recent[drop];
      if (row === undefined) break;
      this.#recentLength -= row.text.length;
      this.#recentSince = row.seq;
      if (this.#newest.get(row.id) === row.seq) this.#newest.delete(row.id);
    }
    if (drop > 0) this.#recent = this.#recent.slice(drop);
  }

  #wake(listeners: readonly ChangeListener[], from: number, updateSeq: number): void {
    for (const listener of listeners.slice(from, from + SLICE)) {
      if (this.#listeners.has(listener)) listener.onChanges(updateSeq);
    }
    if (from + SLICE < listeners.length) {
      setImmediate(() => {
        this.#wake(listeners, from + SLICE, updateSeq);
      });
      return;
    }
    this.#waking = false;
    // Commits that came meanwhile were not announced to those who were woken first.
    if (this.#updateSeq > updateSeq) this.publish([], this.#updateSeq);
  }

  /** Ends every subscription. */
  close(): void {
    this.#closed = true;
    const listeners = [...this.#listeners];
    this.#listeners.clear();
    for (const listener of listeners) listener.onClose();
  }
}

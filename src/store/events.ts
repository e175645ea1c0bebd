import { RecentRows } from './recent-rows.js';
import type { ChangeEvents, ChangeListener, ChangeRow, WrittenRow } from './types/changes.js';

/** Listeners are woken in slices, so that ten thousand of them do not hold up everybody else. */
const SLICE = 200;

/** Wakes the listeners of one database and remembers its newest rows. */
export class Events implements ChangeEvents {
  readonly #listeners = new Set<ChangeListener>();
  readonly #recent: RecentRows;
  #updateSeq: number;
  #waking = false;
  #closed = false;

  constructor(updateSeq: number) {
    this.#recent = new RecentRows(updateSeq);
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

  recent(since: number, limit?: number): readonly ChangeRow[] | undefined {
    return this.#recent.after(since, limit);
  }

  countRecent(since: number): number | undefined {
    return this.#recent.countAfter(since);
  }

  /** Rows up to a sequence may not be true any more: documents were purged. */
  forget(updateSeq: number): void {
    this.#recent.forget(updateSeq);
  }

  /** Tells of rows that are on disk, ordered by sequence. */
  publish(rows: readonly WrittenRow[], updateSeq: number): void {
    this.#updateSeq = updateSeq;
    this.#recent.add(rows);
    if (this.#waking || this.#listeners.size === 0) return;
    this.#waking = true;
    setImmediate(() => {
      this.#wake([...this.#listeners], 0, updateSeq);
    });
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

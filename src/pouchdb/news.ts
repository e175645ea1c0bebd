import { setImmediate } from 'node:timers/promises';
import type { LevelDatabase } from '../store/level-database.js';

/** Lets one feed sleep until there are changes. No timer: a listener alone does not keep the process alive. */
export class News {
  #wake: (() => void) | undefined;
  #isClosed = false;
  #unsubscribe: (() => void) | undefined;

  constructor(private readonly database: LevelDatabase) {}

  /** Resolves when there are changes after a sequence: with false when there will be none. */
  async after(seq: number): Promise<boolean> {
    while (!this.#isClosed && !this.database.isClosed && this.database.updateSeq <= seq) {
      const { events } = this.database;
      const ended = await this.#next(events);
      // A database that was opened again after a failed write has new events.
      if (ended) await setImmediate();
      if (ended && this.database.events === events) return false;
    }
    return !this.#isClosed && !this.database.isClosed;
  }

  /** Resolves at the next event: whether it was the last. */
  async #next(events: LevelDatabase['events']): Promise<boolean> {
    let ended = false;
    await new Promise<void>((resolve) => {
      this.#wake = resolve;
      this.#unsubscribe = events.subscribe({
        onChanges: () => resolve(),
        onClose: () => {
          ended = true;
          resolve();
        },
      });
    });
    this.#unsubscribe?.();
    return ended;
  }

  /** A wait that is under way ends. */
  close(): void {
    this.#isClosed = true;
    this.#unsubscribe?.();
    this.#wake?.();
  }
}

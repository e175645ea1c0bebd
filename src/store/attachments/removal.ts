import type { ClassicLevel } from 'classic-level';
import * as layout from '../layout.js';
import { pagesOf } from '../pages.js';
import type { WriteGate } from '../write-gate.js';

/** Chunks removed at a time. LevelDB reads what it passes over: 64 KiB each. */
const PAGE = 100;

/** When the database is being closed, it waits for so many chunks at most. */
const LAST = 1000;

/**
 * Removes the chunks of uploads that nobody needs, one upload after the other, while the database is used. What is not
 * done when it closes still has its mark, and is done when it opens again.
 */
export class Removal {
  #running: Promise<void> = Promise.resolve();
  /** Chunks that may still be removed. */
  #left = Infinity;

  constructor(
    private readonly level: ClassicLevel,
    private readonly gate: WriteGate,
  ) {}

  /** @param upload nothing is done where its mark is not on the disk */
  add(upload: string): void {
    // The mark stays where this fails.
    this.#running = this.#running.then(() => this.#remove(upload)).catch(() => undefined);
  }

  /** Resolves when everything is done that was asked for so far. */
  settled(): Promise<void> {
    return this.#running;
  }

  /** Resolves when nothing is done any more. */
  async close(): Promise<void> {
    this.#left = Math.min(this.#left, LAST);
    await this.#running;
  }

  async #remove(upload: string): Promise<void> {
    const mark = layout.uploads.key(upload);
    if ((await this.level.get(mark)) === undefined) return;
    const keys = this.level.keys({
      gte: layout.chunks.key(`${upload}/`),
      lt: layout.chunks.key(`${upload}0`),
    });
    for await (const page of pagesOf(keys, PAGE)) {
      if (this.#left <= 0) return;
      this.#left -= page.length;
      await this.gate.run(() => this.level.batch(page.map((key) => ({ type: 'del', key }))));
    }
    if (this.#left > 0) await this.gate.run(() => this.level.del(mark));
  }
}

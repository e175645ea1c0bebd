import type { ClassicLevel } from 'classic-level';
import * as layout from './layout.js';
import { POUCH_COMPACTION } from './state.js';

/** Puts and deletes of the commit that is being put together. */
interface Batch {
  put(key: string, value: string): void;
  del(key: string): void;
}

/** The local documents of one commit. */
export class LocalWrites {
  /** Id → text of those that were written, undefined for those that were deleted. */
  readonly #written = new Map<string, string | undefined>();

  constructor(
    private readonly level: ClassicLevel,
    private readonly batch: Batch,
  ) {}

  /** The text of a local document as the writes so far leave it. */
  get(id: string): string | undefined {
    return this.#written.has(id) ? this.#written.get(id) : this.level.getSync(layout.locals.key(id));
  }

  put(id: string, text: string): void {
    this.#written.set(id, text);
    this.batch.put(layout.locals.key(id), text);
    // PouchDB notes its compactions there: one that is written here dropped nothing that is not counted.
    if (id === layout.POUCH_COMPACTION) this.batch.put(layout.meta.key(POUCH_COMPACTION), text);
  }

  delete(id: string): void {
    this.#written.set(id, undefined);
    this.batch.del(layout.locals.key(id));
    if (id === layout.POUCH_COMPACTION) this.batch.del(layout.meta.key(POUCH_COMPACTION));
  }
}

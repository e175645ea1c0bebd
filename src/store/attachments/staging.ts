import { type Source, stage, type StagedAttachment, type StageOptions } from './stage.js';
import type { Staged, Uploads } from './uploads.js';

/** With more bytes than these in memory, a request brings no further attachment. */
const MOST = 1024 * 1024;

/** The attachments of one request: however many there are, few of them are in memory at once. */
export class Staging {
  readonly #forms: Staged[] = [];
  /** Those that are in memory. */
  #held: Staged[] = [];
  #heldBytes = 0;

  constructor(private readonly uploads: Uploads) {}

  /** Bytes in memory. */
  get heldBytes(): number {
    return this.#heldBytes;
  }

  /** @throws CouchError what `stage` throws */
  async take(source: Source, options: StageOptions): Promise<StagedAttachment> {
    // The last one, or the only one, is best written together with its document.
    if (this.#heldBytes > Math.min(MOST, this.uploads.context.chunkAbove)) await this.#store();
    const staged = await stage(this.uploads, source, options);
    this.#note(staged.plain);
    if (staged.gzip !== undefined) this.#note(staged.gzip);
    return staged;
  }

  #note(form: Staged): void {
    this.#forms.push(form);
    if (!Buffer.isBuffer(form.content)) return;
    this.#held.push(form);
    this.#heldBytes += form.length;
  }

  async #store(): Promise<void> {
    const held = this.#held;
    this.#held = [];
    this.#heldBytes = 0;
    await this.uploads.store(held);
  }

  /** Lets go of what no document took. */
  async release(): Promise<void> {
    await this.uploads.release(this.#forms.splice(0));
  }
}

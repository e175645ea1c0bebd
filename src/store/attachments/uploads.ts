import { createHash, randomBytes } from 'node:crypto';
import type { ClassicLevel } from 'classic-level';
import { type CouchError, unavailable } from '../../errors.js';
import * as layout from '../layout.js';
import { CHUNK_SIZE, removeChunks } from './chunks.js';

/** Chunks are written, and synced, so many bytes at a time. */
const FLUSH_SIZE = 1024 * 1024;

/** Bytes that are taken in, but belong to no document yet. */
export interface Staged {
  /** `md5-` and base64. */
  readonly digest: string;
  /** Bytes. */
  readonly length: number;
  /** The bytes themselves, or the upload whose chunks they are. */
  readonly content: Buffer | { readonly upload: string };
}

/** What uploads need of their database. */
export interface UploadsContext {
  readonly level: ClassicLevel;
  readonly sync: boolean;
  /** More bytes than these go into chunks. */
  readonly chunkAbove: number;
}

/**
 * Takes in attachments. Large ones are written in chunks as they come, each synced at once: LevelDB begins a new log
 * now and then, and the sync of the commit that gives the attachment to a document would not reach into the old one.
 * Until that commit a mark says that the chunks are nobody's, so that a crash leaves nothing behind.
 */
export class Uploads {
  #closed = false;

  constructor(readonly context: UploadsContext) {}

  /** Removes the chunks that a crash left behind; before anything else is done with the database. */
  static async sweep(level: ClassicLevel): Promise<void> {
    const marks = await level.keys({ gte: layout.uploads.start, lt: layout.uploads.end }).all();
    for (const mark of marks) await removeChunks(level, layout.uploads.strip(mark));
  }

  /** Begins to take in bytes. */
  receive(): Receiver {
    return new Receiver(this);
  }

  /** Lets go of what no commit took. May be called of anything that was staged, whatever became of it. */
  async release({ content }: Staged): Promise<void> {
    if (!Buffer.isBuffer(content)) await this.remove(content.upload);
  }

  /** Removes the chunks of an upload, unless they belong to an attachment. */
  async remove(upload: string): Promise<void> {
    // What a closed database still has is removed when it is opened again.
    if (this.#closed || this.context.level.getSync(layout.uploads.key(upload)) === undefined) return;
    await removeChunks(this.context.level, upload).catch((error: unknown) => {
      if (!this.#closed) throw error;
    });
  }

  /** Uploads that are under way can go no further: when the database opens again, their chunks are removed. */
  close(): void {
    this.#closed = true;
  }

  /** @throws CouchError 503 where what was staged here may be gone */
  requireOpen(): void {
    if (this.#closed) throw interrupted();
  }
}

/** What was taken in before the database was opened again is gone. */
export const interrupted = (): CouchError =>
  unavailable('The database was closed while an attachment was being sent.');

/** One run of bytes that is being taken in. */
export class Receiver {
  readonly #md5 = createHash('md5');
  #held: Buffer[] = [];
  #heldBytes = 0;
  #length = 0;
  #upload: string | undefined;
  #chunks = 0;

  constructor(private readonly uploads: Uploads) {}

  /** Bytes so far. */
  get length(): number {
    return this.#length;
  }

  /** Takes bytes in; the caller waits before it gives more. */
  async write(bytes: Buffer): Promise<void> {
    this.#md5.update(bytes);
    this.#length += bytes.length;
    this.#held.push(bytes);
    this.#heldBytes += bytes.length;
    if (this.#heldBytes > this.#limit) await this.#flush(false);
  }

  /** Everything is there. */
  async finish(): Promise<Staged> {
    if (this.#upload !== undefined) await this.#flush(true);
    const digest = `md5-${this.#md5.digest('base64')}`;
    const content = this.#upload === undefined ? Buffer.concat(this.#held) : { upload: this.#upload };
    return { digest, length: this.#length, content };
  }

  /** There will be no more. */
  async abandon(): Promise<void> {
    this.#held = [];
    if (this.#upload !== undefined) await this.uploads.remove(this.#upload);
  }

  get #limit(): number {
    return this.#upload === undefined ? this.uploads.context.chunkAbove : FLUSH_SIZE;
  }

  /** Writes whole chunks; the last one, too, which may be shorter. */
  async #flush(last: boolean): Promise<void> {
    this.uploads.requireOpen();
    const { level, sync } = this.uploads.context;
    const held = Buffer.concat(this.#held);
    const end = last ? held.length : held.length - (held.length % CHUNK_SIZE);
    const batch = level.batch();
    if (this.#upload === undefined) {
      this.#upload = randomBytes(12).toString('hex');
      batch.put(layout.uploads.key(this.#upload), '');
    }
    for (let at = 0; at < end; at += CHUNK_SIZE) {
      const chunk = held.subarray(at, Math.min(end, at + CHUNK_SIZE));
      batch.put(layout.chunkKey(this.#upload, this.#chunks++), chunk, { valueEncoding: 'buffer' });
    }
    this.#held = end === held.length ? [] : [Buffer.from(held.subarray(end))];
    this.#heldBytes = held.length - end;
    await batch.write({ sync });
  }
}

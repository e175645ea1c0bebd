import type { ClassicLevel } from 'classic-level';
import { internalError } from '../../errors.js';
import * as layout from '../layout.js';
import type { Snapshot } from '../level.js';
import type { AttachmentReader } from '../types/attachments.js';
import { BYTES, CHUNK_SIZE, parseChunked } from './chunks.js';

/** Which bytes of an attachment are wanted: `end` is exclusive. */
export interface ByteRange {
  readonly start: number;
  readonly end: number;
}

/**
 * The attachments of a database at one moment: whatever is compacted, deleted or purged meanwhile, what was there can
 * be read to its end. What is dropped takes its place on the disk until then.
 */
export class LevelAttachments implements AttachmentReader {
  readonly #snapshot: Snapshot;

  constructor(private readonly level: ClassicLevel) {
    this.#snapshot = level.snapshot();
  }

  close(): Promise<void> {
    return this.#snapshot.close();
  }

  /**
   * What is between two pieces takes no memory: however many slow clients there are, each holds one piece.
   * @throws CouchError 500 where the bytes that the database speaks of are not there
   */
  async *read(digest: string, { start, end }: ByteRange): AsyncGenerator<Buffer> {
    if (start >= end) return;
    const chunked = await this.level.get(layout.chunked.key(digest), { snapshot: this.#snapshot });
    if (chunked === undefined) yield* this.#readWhole(digest, start, end);
    else yield* this.#readChunks(parseChunked(chunked).upload, start, end);
  }

  /** Bytes of an attachment; undefined where it is not stored. */
  async length(digest: string): Promise<number | undefined> {
    const snapshot = this.#snapshot;
    if ((await this.level.get(layout.attachments.key(digest), { snapshot })) === undefined) return undefined;
    const chunked = await this.level.get(layout.chunked.key(digest), { snapshot });
    if (chunked !== undefined) return parseChunked(chunked).length;
    // There is no value for no bytes.
    return (await this.#bytes(layout.binaries.key(digest)))?.length ?? 0;
  }

  async *#readChunks(upload: string, start: number, end: number): AsyncGenerator<Buffer> {
    for (let at = start; at < end;) {
      const index = Math.floor(at / CHUNK_SIZE);
      const chunk = await this.#bytes(layout.chunkKey(upload, index));
      if (chunk === undefined) throw lost();
      const from = at - index * CHUNK_SIZE;
      const piece = chunk.subarray(from, Math.min(chunk.length, end - index * CHUNK_SIZE));
      if (piece.length === 0) throw lost();
      at += piece.length;
      yield piece;
    }
  }

  /** LevelDB has it as one value: that may be let go of while a client is slow, and is then read again. */
  async *#readWhole(digest: string, start: number, end: number): AsyncGenerator<Buffer> {
    let kept: WeakRef<Buffer> | undefined;
    for (let at = start; at < end;) {
      const value: Buffer | undefined = kept?.deref() ?? (await this.#bytes(layout.binaries.key(digest)));
      if (value === undefined || value.length < end) throw lost();
      kept = new WeakRef(value);
      // A copy: a view would hold the whole.
      const piece = Buffer.from(value.subarray(at, Math.min(end, at + CHUNK_SIZE)));
      at += piece.length;
      yield piece;
    }
  }

  #bytes(key: string): Promise<Buffer | undefined> {
    return this.level.get<string, Buffer>(key, { ...BYTES, snapshot: this.#snapshot });
  }
}

const lost = (): Error => internalError('The bytes of an attachment are missing.');

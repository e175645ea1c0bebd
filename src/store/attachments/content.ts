import type { ClassicLevel } from 'classic-level';
import { internalError } from '../../errors.js';
import * as layout from '../layout.js';
import { BYTES, CHUNK_SIZE, parseChunked } from './chunks.js';

/** Which bytes of an attachment are wanted: `end` is exclusive. */
export interface ByteRange {
  readonly start: number;
  readonly end: number;
}

/**
 * Reads bytes of an attachment, piece by piece. What is between two pieces takes no memory: however many slow clients
 * there are, each holds one piece.
 * @throws CouchError 500 where the bytes that the database speaks of are not there
 */
export async function* readContent(
  level: ClassicLevel,
  digest: string,
  { start, end }: ByteRange,
): AsyncGenerator<Buffer> {
  if (start >= end) return;
  const chunked = await level.get(layout.chunked.key(digest));
  if (chunked === undefined) yield* readWhole(level, digest, start, end);
  else yield* readChunks(level, parseChunked(chunked).upload, start, end);
}

async function* readChunks(
  level: ClassicLevel,
  upload: string,
  start: number,
  end: number,
): AsyncGenerator<Buffer> {
  for (let at = start; at < end;) {
    const index = Math.floor(at / CHUNK_SIZE);
    const chunk = await level.get<string, Buffer>(layout.chunkKey(upload, index), BYTES);
    if (chunk === undefined) throw lost();
    const from = at - index * CHUNK_SIZE;
    const piece = chunk.subarray(from, Math.min(chunk.length, end - index * CHUNK_SIZE));
    if (piece.length === 0) throw lost();
    at += piece.length;
    yield piece;
  }
}

/** LevelDB has it as one value: that may be let go of while a client is slow, and is then read again. */
async function* readWhole(
  level: ClassicLevel,
  digest: string,
  start: number,
  end: number,
): AsyncGenerator<Buffer> {
  let kept: WeakRef<Buffer> | undefined;
  for (let at = start; at < end;) {
    const value: Buffer | undefined =
      kept?.deref() ?? (await level.get<string, Buffer>(layout.binaries.key(digest), BYTES));
    if (value === undefined || value.length < end) throw lost();
    kept = new WeakRef(value);
    // A copy: a view would hold the whole.
    const piece = Buffer.from(value.subarray(at, Math.min(end, at + CHUNK_SIZE)));
    at += piece.length;
    yield piece;
  }
}

const lost = (): Error => internalError('The bytes of an attachment are missing.');

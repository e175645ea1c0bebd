import type { ClassicLevel } from 'classic-level';
import * as layout from '../layout.js';

/** Bytes of one chunk: a reader holds one at a time. */
export const CHUNK_SIZE = 64 * 1024;

/** How LevelDB is asked for bytes. */
export const BYTES = { keyEncoding: 'utf8', valueEncoding: 'buffer' } as const;

/** Where the bytes of a large attachment are. */
export interface Chunked {
  readonly upload: string;
  /** Bytes. */
  readonly length: number;
}

export const parseChunked = (text: string): Chunked => JSON.parse(text) as Chunked;

/** Removes the chunks of an upload, and then the mark that says that they are nobody's. */
export async function removeChunks(level: ClassicLevel, upload: string): Promise<void> {
  await level.clear({ gte: layout.chunks.key(`${upload}/`), lt: layout.chunks.key(`${upload}0`) });
  await level.del(layout.uploads.key(upload));
}

import type { ClassicLevel } from 'classic-level';
import * as layout from '../layout.js';
import { pagesOf } from '../pages.js';

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

/** How many attachments are in chunks. */
export async function countChunked(level: ClassicLevel): Promise<number> {
  let count = 0;
  const keys = level.keys({ gte: layout.chunked.start, lt: layout.chunked.end });
  for await (const page of pagesOf(keys, 1000)) count += page.length;
  return count;
}

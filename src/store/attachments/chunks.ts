import type { ClassicLevel } from 'classic-level';
import * as layout from '../layout.js';
import { pagesOf } from '../pages.js';

/** Bytes of one chunk: a reader holds one at a time. */
export const CHUNK_SIZE = 64 * 1024;

/** The digest of no bytes: no value is stored for them. */
export const EMPTY = 'md5-1B2M2Y8AsgTpgAmY7PhCfg==';

/** How LevelDB is asked for bytes. */
export const BYTES = { keyEncoding: 'utf8', valueEncoding: 'buffer' } as const;

/** Where the bytes of a large attachment are. */
export interface Chunked {
  readonly upload: string;
  /** Bytes. */
  readonly length: number;
}

export const parseChunked = (text: string): Chunked => JSON.parse(text) as Chunked;

/** The same of what may be damaged; undefined where it is. */
export function readChunked(text: string): Chunked | undefined {
  try {
    const { upload, length } = JSON.parse(text) as Partial<Chunked>;
    const isWhole = typeof upload === 'string' && typeof length === 'number' && Number.isSafeInteger(length);
    return isWhole ? { upload, length } : undefined;
  } catch {
    return undefined;
  }
}

/** How many attachments are in chunks. */
export async function countChunked(level: ClassicLevel): Promise<number> {
  let count = 0;
  const keys = level.keys({ gte: layout.chunked.start, lt: layout.chunked.end });
  for await (const page of pagesOf(keys, 1000)) count += page.length;
  return count;
}

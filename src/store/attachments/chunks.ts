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

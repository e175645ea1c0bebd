import { mangoError } from '../errors.js';

/** Where a page ended. */
export interface Position {
  /** Of the row in its index, as JSON text. */
  readonly key: string;
  /** Of the document. */
  readonly id: string;
}

/** What clients get in the place of a bookmark where nothing was found. */
export const NO_BOOKMARK = 'nil';

export const bookmarkOf = ({ key, id }: Position): string =>
  Buffer.from(`[${key},${JSON.stringify(id)}]`).toString('base64url');

/** @throws CouchError 400 for what never was a bookmark */
export function parseBookmark(bookmark: string): Position {
  const parts = /^[\w-]*$/.test(bookmark) ? parse(Buffer.from(bookmark, 'base64url').toString()) : undefined;
  if (Array.isArray(parts) && parts.length === 2) {
    const [key, id] = parts as readonly unknown[];
    if (typeof id === 'string') return { key: JSON.stringify(key), id };
  }
  throw mangoError('invalid_bookmark', `Invalid bookmark value: ${JSON.stringify(bookmark)}`);
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

import { createHash } from 'node:crypto';

/** An ETag of what a listing or feed depends on. */
export const etagOf = (text: string): string => `"${createHash('md5').update(text).digest('base64url')}"`;

/** Whether If-None-Match names this ETag. */
export function matches(header: string | undefined, etag: string): boolean {
  if (header === undefined) return false;
  if (header === etag) return true;
  return header.split(/[, ]+/).some((tag) => (tag.startsWith('W/') ? tag.slice(2) : tag) === etag);
}

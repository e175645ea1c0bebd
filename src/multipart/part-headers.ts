import { MultipartError } from './errors.js';

/** Bytes between a boundary and the empty line that ends the head of its part. */
export const HEAD_LIMIT = 16_384;

/** Lines of a head. */
export const LINE_LIMIT = 100;

/** A name as RFC 7230 has it, but for its case. */
const NAME = /^[!#$%&'*+\-.^_`|~\w]+$/;

// eslint-disable-next-line no-control-regex -- they are what must not be in a header
const CONTROL = /[\x00-\x08\x0a-\x1f\x7f]/;

/**
 * The headers of a part by their names in lower case; of equal names the first counts. They are read as UTF-8, which
 * CouchDB writes in names of files.
 * @param head what stands between the boundary and the empty line, without that line's two line ends
 * @throws MultipartError `headers`
 */
export function parsePartHeaders(head: Buffer): ReadonlyMap<string, string> {
  // A line that begins with a space goes on with the line before it.
  const [padding = '', ...lines] = head
    .toString('utf8')
    .replace(/\r\n[ \t]+/g, ' ')
    .split('\r\n');
  if (!/^[ \t]*$/.test(padding)) throw bad('A boundary is followed by other text');
  if (lines.length > LINE_LIMIT) throw bad('A part has too many headers');
  const headers = new Map<string, string>();
  for (const line of lines) {
    const colon = line.indexOf(':');
    const name = line.slice(0, Math.max(colon, 0)).trimEnd().toLowerCase();
    const value = line.slice(colon + 1).trim();
    if (!NAME.test(name) || CONTROL.test(value)) throw bad('bad part header');
    if (!headers.has(name)) headers.set(name, value);
  }
  return headers;
}

const bad = (message: string): MultipartError => new MultipartError('headers', message);

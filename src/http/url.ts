import type { IncomingHttpHeaders } from 'node:http';

/** What CouchDB makes of URLs, where it differs from what Fastify does. */

const SLASH = 0x2f;
const PLUS = 0x2b;
const QUESTION = 0x3f;

/** A `%` that two hexadecimal digits do not follow. */
const BAD_ENCODING = /%(?![0-9a-fA-F]{2})/;

export const isWellEncoded = (url: string): boolean => !url.includes('%') || !BAD_ENCODING.test(url);

/**
 * The URL in the one form that routes are written in: repeated and trailing slashes collapse, `+` in the path is a
 * space, bytes that a client did not encode are encoded, and a fragment is cut off. Most URLs have that form already.
 */
export function canonicalUrl(url: string): string {
  let pathEnd = -1;
  let plain = url.charCodeAt(0) === SLASH && !url.includes('#');
  for (let i = 1; plain && i < url.length; i++) {
    const c = url.charCodeAt(i);
    if (c === QUESTION) {
      pathEnd = i;
      break;
    }
    plain = c !== PLUS && c < 0x7f && (c !== SLASH || url.charCodeAt(i - 1) !== SLASH);
  }
  const last = (pathEnd === -1 ? url.length : pathEnd) - 1;
  if (plain && (last === 0 || url.charCodeAt(last) !== SLASH)) return url;
  return rewrite(url);
}

function rewrite(url: string): string {
  const whole = url.replace(/^https?:\/\/[^/?#]*/i, '').replace(/#.*$/s, '');
  const question = whole.indexOf('?');
  const path = question === -1 ? whole : whole.slice(0, question);
  const query = question === -1 ? '' : whole.slice(question);
  const encoded = (path === '' ? '/' : path)
    .replace(/\+/g, '%20')
    .replace(/[\u007f-\u00ff]/g, (c) => `%${c.charCodeAt(0).toString(16)}`)
    .replace(/\/{2,}/g, '/')
    .replace(/(?<=.)\/$/, '');
  return `${encoded}${query}`;
}

/** A text as one segment of a URL, with the characters that CouchDB leaves as they are. */
export function encodeSegment(text: string): string {
  return encodeURIComponent(text).replace(/[!~*'()]|%3A/g, (c) =>
    c === '%3A' ? ':' : `%${c.charCodeAt(0).toString(16).toUpperCase()}`,
  );
}

/** A segment as `+` and percent-encoding have it; undefined where that is not UTF-8. */
export function decodeSegment(text: string): string | undefined {
  if (!text.includes('%') && !text.includes('+')) return text;
  try {
    return decodeURIComponent(text.replace(/\+/g, ' '));
  } catch {
    return undefined;
  }
}

/** A path that may stand in a Location header, whatever it was made of. */
export function headerSafe(path: string): string {
  return /^[\x21-\x7e]*$/.test(path)
    ? path
    : path.toWellFormed().replace(/[^\x21-\x7e]+/g, (text) => encodeURIComponent(text));
}

/** The name of this server, and its port where that is given, that a client uses. */
export function hostOf(headers: IncomingHttpHeaders): string | undefined {
  const forwarded = headers['x-forwarded-host'];
  return (typeof forwarded === 'object' ? forwarded[0] : forwarded) ?? headers.host;
}

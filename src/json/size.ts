import type { Work } from './turns.js';

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const MINUS = 0x2d;
const ZERO = 0x30;
const NINE = 0x39;
const SMALL_U = 0x75;

const NUMBER = /-?[0-9]+(\.[0-9]+)?(e[+-]?[0-9]+)?/y;

/** Work may be interrupted each time it has gone so many characters further. */
const STRIDE = 16_384;

/**
 * Whether an object is larger than a number of bytes as CouchDB counts them (`couch_ejson_size`): strings without their
 * escapes, and numbers that have a fraction or an exponent by their magnitude, whatever their digits. A document that a
 * CouchDB holds must not be too large here.
 * @param members its members without the braces, in the form that `JsonReader` describes
 */
export function* isLarger(members: string, limit: number): Work<boolean> {
  // No count is higher than that of the bytes that are there.
  if (Buffer.byteLength(members) + 2 <= limit) return false;
  let size = 2;
  let pause = STRIDE;
  let inString = false;
  for (let at = 0; at < members.length && size <= limit;) {
    if (at >= pause) {
      yield;
      pause = at + STRIDE;
    }
    const c = members.charCodeAt(at);
    if (c === QUOTE) inString = !inString;
    if (inString && c === BACKSLASH) {
      // What must be escaped has one byte.
      at += members.charCodeAt(at + 1) === SMALL_U ? 6 : 2;
      size += 1;
    } else if (!inString && (c === MINUS || (c >= ZERO && c <= NINE))) {
      const number = numberAt(members, at);
      at += number.length;
      size += sizeOfNumber(number);
    } else {
      at += 1;
      size += bytesOf(c);
    }
  }
  return size > limit;
}

function numberAt(text: string, at: number): string {
  NUMBER.lastIndex = at;
  return NUMBER.exec(text)?.[0] ?? '';
}

/** Bytes of UTF-8 that a unit of UTF-16 takes; each half of a surrogate pair takes two. */
function bytesOf(unit: number): number {
  if (unit < 0x80) return 1;
  return unit < 0x800 || (unit >= 0xd800 && unit <= 0xdfff) ? 2 : 3;
}

function sizeOfNumber(text: string): number {
  if (!/[.e]/.test(text)) return text.length;
  return text.startsWith('-') ? 1 + sizeOfFloat(-Number(text)) : sizeOfFloat(Number(text));
}

/** CouchDB's guess at the length of a float that is not negative. */
function sizeOfFloat(value: number): number {
  if (value >= 1e100) return 5;
  if (value >= 1e10) return 4;
  if (value > 0.01 || value <= 1e-300) return 3;
  if (value > 1e-10) return 4;
  return value > 1e-100 ? 5 : 6;
}

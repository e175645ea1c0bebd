import { CLOSE_BRACE, CLOSE_BRACKET, OPEN_BRACE, OPEN_BRACKET } from './containers.js';

const SPACE = 0x20;
const QUOTE = 0x22;
const COMMA = 0x2c;
const MINUS = 0x2d;
const ZERO = 0x30;
const NINE = 0x39;
const COLON = 0x3a;
const BACKSLASH = 0x5c;
const UNDERSCORE = 0x5f;

/** Deeper nesting is left to others, and so are more names in objects that are open at the same time: they are looked through. */
const MOST_LEVELS = 32;
const MOST_NAMES = 64;

/** Of each object and array around the one that is read: where its names begin; NO_NAMES for an array. */
const outer = new Int32Array(MOST_LEVELS);
const NO_NAMES = -1;
/** A number for each name of the objects that are open, in which equal names are equal. */
const names = new Int32Array(MOST_NAMES);

/**
 * Where members of an object end that have the form that `JsonReader` describes: at its closing brace, or at the comma before
 * a name that begins with an underscore. Most documents are such, and this takes less than half of the time of reading them bit
 * by bit, and no memory.
 * @param start the quote at which a name begins
 * @param limit nothing is read from here on
 * @returns -1 where there may be something else, such as a name that is repeated
 */
export function cleanEnd(source: string, start: number, limit: number): number {
  let at = start;
  let level = 0;
  /** Where the names of the innermost object begin; NO_NAMES in an array. */
  let first = 0;
  let count = 0;
  for (;;) {
    if (first !== NO_NAMES) {
      if (source.charCodeAt(at) !== QUOTE) return -1;
      let name = 0;
      let c = source.charCodeAt(++at);
      for (; c !== QUOTE; c = source.charCodeAt(++at)) {
        if (c < SPACE || c === BACKSLASH || at >= limit) return -1;
        name = (Math.imul(name, 31) + c) | 0;
      }
      for (let other = first; other < count; other++) if (names[other] === name) return -1;
      if (count === MOST_NAMES || source.charCodeAt(at + 1) !== COLON) return -1;
      names[count++] = name;
      at += 2;
    }
    const c = source.charCodeAt(at);
    if (c === QUOTE) {
      at = stringEnd(source, at, limit);
      if (at < 0) return -1;
    } else if (c === OPEN_BRACE || c === OPEN_BRACKET) {
      if (level === MOST_LEVELS) return -1;
      outer[level++] = first;
      first = c === OPEN_BRACE ? count : NO_NAMES;
      // Its closing bracket is two characters on in ASCII.
      if (source.charCodeAt(++at) !== c + 2) continue;
    } else {
      at = scalarEnd(source, at, limit);
      if (at < 0) return -1;
    }
    for (;;) {
      if (at >= limit) return -1;
      const after = source.charCodeAt(at);
      if (after === COMMA) break;
      if (after !== (first === NO_NAMES ? CLOSE_BRACKET : CLOSE_BRACE)) return -1;
      if (level === 0) return at;
      if (first !== NO_NAMES) count = first;
      first = outer[--level] ?? NO_NAMES;
      at++;
    }
    if (level === 0 && source.charCodeAt(at + 2) === UNDERSCORE) return at;
    at++;
  }
}

/** Longer strings are left to an expression, which takes less time for each character and more to begin. */
const SHORT = 64;
/** All but quotes, backslashes and control characters. */
const PLAIN = /[ !#-[\]-\uffff]*"/y;

function stringEnd(source: string, start: number, limit: number): number {
  const long = Math.min(limit, start + SHORT);
  for (let at = start + 1; at < long; at++) {
    const c = source.charCodeAt(at);
    if (c === QUOTE) return at + 1;
    if (c < SPACE || c === BACKSLASH) return -1;
  }
  // The expression knows no limit.
  const quote = source.indexOf('"', long);
  if (quote < 0 || quote >= limit) return -1;
  PLAIN.lastIndex = long;
  return PLAIN.test(source) ? PLAIN.lastIndex : -1;
}

/** The end of an integer, true, false or null. Other numbers may have another form. */
function scalarEnd(source: string, start: number, limit: number): number {
  const c = source.charCodeAt(start);
  if (c === MINUS || isDigit(c)) {
    const digits = c === MINUS ? start + 1 : start;
    let at = digits;
    while (at < limit && isDigit(source.charCodeAt(at))) at++;
    const isZero = source.charCodeAt(digits) === ZERO;
    return at === digits || (isZero && at - start > 1) ? -1 : at;
  }
  for (const word of LITERALS) if (source.startsWith(word, start)) return start + word.length;
  return -1;
}

const isDigit = (c: number): boolean => c >= ZERO && c <= NINE;

const LITERALS = ['true', 'false', 'null'];

import { randomBytes } from 'node:crypto';
import type { Work } from './turns.js';
import { LONG, parsing, writing } from './values.js';

/** Stands before numbers while they are strings. No client can know it, so no string of theirs is taken for a number. */
const MARK = randomBytes(16).toString('hex');
const MARKED = new RegExp(`"${MARK}([^"]+)"`, 'g');

/** What numbers have in them that may come out of a value otherwise than they went in: `1.0`, `1e3`, many digits. */
const DOUBTFUL = /[0-9.]{16}|[0-9][eE]|\.[0-9]*0(?![0-9])|-0(?!\.)/;
const TOKENS = /"[^"\\]*(?:\\.[^"\\]*)*"|-?[0-9][0-9.eE+-]*/g;

const isExact = (token: string): boolean => token.startsWith('"') || String(Number(token)) === token;

/**
 * Makes something else of a JSON text, in which numbers are to be as they were written.
 * @param make takes the value, with strings in the place of numbers that JavaScript would write otherwise: it may move
 * what it finds, and not look at it
 * @param parsed the value itself, where it is at hand
 */
export function moved(text: string, make: (value: unknown) => unknown, parsed?: unknown): string {
  if (!DOUBTFUL.test(text)) return JSON.stringify(make(parsed ?? JSON.parse(text)));
  return unmarked(JSON.stringify(make(JSON.parse(marked(text)))));
}

/** `moved` for a text that may be long, in the form that `JsonReader` describes. */
export function* moving(text: string, make: (value: unknown) => unknown, parsed?: unknown): Work<string> {
  if (text.length <= LONG) return moved(text, make, parsed);
  const value = yield* parsing(text, (piece) => (DOUBTFUL.test(piece) ? marked(piece) : piece));
  return unmarked(yield* writing(make(value)));
}

const marked = (text: string): string =>
  text.replaceAll(TOKENS, (token) => (isExact(token) ? token : `"${MARK}${token}"`));

const unmarked = (text: string): string => text.replaceAll(MARKED, '$1');

import { createHash } from 'node:crypto';
import { sorting } from '../json/sort.js';
import { atOnce, type Work } from '../json/turns.js';
import type { Content } from './types.js';

const known = new WeakMap<Content, string>();

/**
 * A digest of what a content means: equal for the same values, however they are written. The order of members counts
 * for nothing; numbers count as the decimal numbers that they are (`1.0` is `1` and `10e-1`, and beyond 2^53 every digit
 * counts).
 */
export const contentDigest = (content: Content): string => atOnce(digesting(content));

/** `contentDigest` for what may be long. */
export function* digesting(content: Content): Work<string> {
  const before = known.get(content);
  if (before !== undefined) return before;
  const sum = createHash('sha256');
  const attachments = [...content.attachments]
    .map(([name, { contentType, digest }]) => [name, contentType, digest])
    .sort(([a = ''], [b = '']) => byCodePoint(a, b));
  sum.update(JSON.stringify(attachments));
  sum.update(yield* canonical(`{${content.body}}`));
  const digest = sum.digest('hex');
  known.set(content, digest);
  return digest;
}

/** The canonical text of a number: its digits without zeros around them, and the power of ten that they stand before. */
export function canonicalNumber(text: string): string {
  const [, sign = '', whole = '', fraction = '', power = '0'] = NUMBER.exec(text) ?? [];
  const digits = (whole + fraction).replace(/^0+/, '');
  const significant = withoutZeros(digits);
  if (significant === '') return '0';
  const exponent = Number(power) - fraction.length + digits.length - significant.length;
  return exponent === 0 ? sign + significant : `${sign}${significant}e${String(exponent)}`;
}

const NUMBER = /^(-?)([0-9]+)(?:\.([0-9]+))?(?:[eE]([+-]?[0-9]+))?$/;
const ZERO = 0x30;

/** Without those at the end. (An expression takes time in the square of them.) */
function withoutZeros(digits: string): string {
  let end = digits.length;
  while (digits.charCodeAt(end - 1) === ZERO) end--;
  return digits.slice(0, end);
}

/** The order of texts by code points; that of JavaScript puts those beyond U+FFFF before others. */
export function byCodePoint(a: string, b: string): number {
  const end = Math.min(a.length, b.length);
  for (let at = 0; at < end; at++) {
    const left = a.charCodeAt(at);
    const right = b.charCodeAt(at);
    if (left !== right) return raised(left) - raised(right);
  }
  return a.length - b.length;
}

/** Surrogates come after all other units. */
const raised = (unit: number): number =>
  unit < 0xd800 ? unit : unit < 0xe000 ? unit + 0x2000 : unit - 0x800;

/** Work may be interrupted after so many values. */
const STRIDE = 1000;
/** What stands in JSON between values means nothing; strings are gone through by themselves. */
const SCALAR = /[^,\]}]+/y;

/** An object or an array that we are in the middle of. */
interface Container {
  readonly isObject: boolean;
  /** Keys without their quotes. */
  readonly parts: { readonly key: string; readonly text: string }[];
  /** Of the member that is read. */
  key: string;
}

/**
 * Members in the order of their keys, numbers as `canonicalNumber` has them. Without recursion, so that it can stop
 * anywhere, and by adding texts to each other, which copies none of them.
 * @param source in the form that `JsonReader` describes
 */
export function* canonical(source: string): Work<string> {
  const outer: Container[] = [];
  let done = '';
  let count = 0;
  for (let at = 0; at < source.length;) {
    if (++count % STRIDE === 0) yield;
    const inner = outer.at(-1);
    const c = source[at] ?? '';
    if (c === '{' || c === '[') {
      outer.push({ isObject: c === '{', parts: [], key: '' });
      at++;
    } else if (c === ',') {
      at++;
    } else if (c === '}' || c === ']') {
      outer.pop();
      done = put(outer.at(-1), inner === undefined ? '' : yield* textOf(inner));
      at++;
    } else {
      const end = c === '"' ? stringEnd(source, at) : scalarEnd(source, at);
      const text = source.slice(at, end);
      const isKey = inner?.isObject === true && source[end] === ':';
      if (isKey) inner.key = text.slice(1, -1);
      else done = put(inner, isNumber(c) ? canonicalNumber(text) : text);
      at = isKey ? end + 1 : end;
    }
  }
  return done;
}

const isNumber = (c: string): boolean => c === '-' || (c >= '0' && c <= '9');

function scalarEnd(source: string, at: number): number {
  SCALAR.lastIndex = at;
  SCALAR.test(source);
  return SCALAR.lastIndex;
}

function stringEnd(source: string, start: number): number {
  for (let at = start + 1; ;) {
    const quote = source.indexOf('"', at);
    if (quote < 0) return source.length;
    let backslashes = quote;
    while (source[backslashes - 1] === '\\') backslashes--;
    at = quote + 1;
    if ((quote - backslashes) % 2 === 0) return at;
  }
}

function put(into: Container | undefined, text: string): string {
  into?.parts.push({ key: into.key, text });
  return text;
}

function* textOf({ isObject, parts }: Container): Work<string> {
  const ordered = isObject ? yield* sorting(parts, (a, b) => byCodePoint(a.key, b.key)) : parts;
  let text = '';
  for (const part of ordered)
    text += `${text === '' ? '' : ','}${isObject ? `"${part.key}":` : ''}${part.text}`;
  return isObject ? `{${text}}` : `[${text}]`;
}

import { hash } from 'node:crypto';
import { CLOSE_BRACE, CLOSE_BRACKET, OPEN_BRACE, OPEN_BRACKET } from '../json/containers.js';
import { sorted, sorting } from '../json/sort.js';
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
  const attachments = [...content.attachments]
    .map(([name, { contentType, digest }]) => [name, contentType, digest])
    .sort(([a = ''], [b = '']) => byCodePoint(a, b));
  const body = yield* canonical(`{${content.body}}`);
  const digest = hash('sha256', JSON.stringify(attachments) + body);
  known.set(content, digest);
  return digest;
}

/** The canonical text of a number: its digits without zeros around them, and the power of ten that they stand before. */
export function canonicalNumber(text: string): string {
  if (COUNT.test(text)) return powered(withoutZeros(text), text.length);
  const [, sign = '', whole = '', fraction = '', power = '0'] = NUMBER.exec(text) ?? [];
  const digits = (whole + fraction).replace(/^0+/, '');
  const significant = withoutZeros(digits);
  if (significant === '') return '0';
  return powered(sign + significant, sign.length + digits.length + Number(power) - fraction.length);
}

/** @param length what the digits with their sign would have if there were zeros instead of a power */
function powered(significant: string, length: number): string {
  const exponent = length - significant.length;
  return exponent === 0 ? significant : `${significant}e${String(exponent)}`;
}

/** Most numbers are such ones. */
const COUNT = /^-?[1-9][0-9]*$/;
/** Its sign, its digits, those of the fraction, and the power of ten. */
export const NUMBER = /^(-?)([0-9]+)(?:\.([0-9]+))?(?:[eE]([+-]?[0-9]+))?$/;
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
/** Objects with more members are sorted bit by bit. */
const MANY = 128;

const QUOTE = 0x22;
const COMMA = 0x2c;
const MINUS = 0x2d;
const NINE = 0x39;
const COLON = 0x3a;
const BACKSLASH = 0x5c;

/** An array that we are in the middle of. */
class OpenArray {
  #text = '';
  /** Up to here the source is in the text. */
  #taken: number;

  constructor(
    private readonly source: string,
    readonly start: number,
  ) {
    this.#taken = start;
  }

  /** Takes an element. @param text undefined where it is canonical as it stands */
  add(start: number, end: number, text: string | undefined): void {
    if (text === undefined) return;
    this.#text += this.source.slice(this.#taken, start) + text;
    this.#taken = end;
  }

  /** Its canonical text; undefined where it is canonical as it stands. */
  close(end: number): string | undefined {
    return this.#text === '' ? undefined : this.#text + this.source.slice(this.#taken, end);
  }
}

interface Member {
  /** Without its quotes. */
  readonly key: string;
  /** With its key. */
  readonly text: string;
}

/** The same of an object. */
class OpenObject {
  readonly #members: Member[] = [];
  #isCanonical = true;
  /** Of the member that is read. */
  #key = '';
  #keyStart = 0;

  constructor(
    private readonly source: string,
    readonly start: number,
  ) {}

  /** Takes the key of the next member. */
  name(start: number, end: number): void {
    const key = this.source.slice(start + 1, end - 1);
    this.#isCanonical &&= this.#members.length === 0 || byCodePoint(this.#key, key) < 0;
    this.#key = key;
    this.#keyStart = start;
  }

  add(_start: number, end: number, text: string | undefined): void {
    const key = this.#key;
    this.#isCanonical &&= text === undefined;
    const whole = text === undefined ? this.source.slice(this.#keyStart, end) : `"${key}":${text}`;
    this.#members.push({ key, text: whole });
  }

  close(): Work<string> | string | undefined {
    if (this.#isCanonical) return undefined;
    return this.#members.length > MANY ? longText(this.#members) : objectText(sorted(this.#members, byKey));
  }
}

const byKey = (a: Member, b: Member): number => byCodePoint(a.key, b.key);

function* longText(members: readonly Member[]): Work<string> {
  return objectText(yield* sorting(members, byKey));
}

function objectText(members: readonly Member[]): string {
  let text = '';
  for (const member of members) text += text === '' ? member.text : `,${member.text}`;
  return `{${text}}`;
}

/**
 * Members in the order of their keys, numbers as `canonicalNumber` has them. Without recursion, so that it can stop
 * anywhere, and with what is canonical already as pieces of the source, which are not copied.
 * @param source in the form that `JsonReader` describes
 */
export function* canonical(source: string): Work<string> {
  const open: (OpenArray | OpenObject)[] = [];
  let whole: string | undefined;
  let count = 0;
  for (let at = 0; at < source.length;) {
    if (++count % STRIDE === 0) yield;
    const c = source.charCodeAt(at);
    const inner = open.at(-1);
    let start = at;
    let text: string | undefined;
    if (c === COMMA) {
      at++;
      continue;
    }
    if (c === OPEN_BRACE || c === OPEN_BRACKET) {
      open.push(c === OPEN_BRACE ? new OpenObject(source, at) : new OpenArray(source, at));
      at++;
      continue;
    }
    if (inner !== undefined && (c === CLOSE_BRACE || c === CLOSE_BRACKET)) {
      open.pop();
      at++;
      ({ start } = inner);
      const closed = inner.close(at);
      text = typeof closed === 'object' ? yield* closed : closed;
    } else if (c === QUOTE) {
      at = stringEnd(source, at);
      if (inner instanceof OpenObject && source.charCodeAt(at) === COLON) {
        inner.name(start, at);
        at++;
        continue;
      }
    } else {
      at = scalarEnd(source, at);
      if (c === MINUS || isDigit(c)) text = numberText(source, start, at);
    }
    const outer = open.at(-1);
    if (outer === undefined) whole = text;
    else outer.add(start, at, text);
  }
  return whole ?? source;
}

const isDigit = (c: number): boolean => c >= ZERO && c <= NINE;

/** Undefined where it is canonical as it stands: a count that does not end with zeros. */
function numberText(source: string, start: number, end: number): string | undefined {
  const isCanonical =
    source.charCodeAt(end - 1) === ZERO ? end === start + 1 : areDigits(source, start + 1, end);
  return isCanonical ? undefined : canonicalNumber(source.slice(start, end));
}

function areDigits(source: string, start: number, end: number): boolean {
  for (let at = start; at < end; at++) if (!isDigit(source.charCodeAt(at))) return false;
  return true;
}

/** Where a number, true, false or null ends. */
export function scalarEnd(source: string, start: number): number {
  let at = start + 1;
  while (at < source.length && !isBehindScalar(source.charCodeAt(at))) at++;
  return at;
}

const isBehindScalar = (c: number): boolean => c === COMMA || c === CLOSE_BRACE || c === CLOSE_BRACKET;

/** Where a string ends that begins somewhere, behind its last quote. */
export function stringEnd(source: string, start: number): number {
  for (let at = start + 1; ;) {
    const quote = source.indexOf('"', at);
    if (quote < 0) return source.length;
    let backslashes = quote;
    while (source.charCodeAt(backslashes - 1) === BACKSLASH) backslashes--;
    at = quote + 1;
    if ((quote - backslashes) % 2 === 0) return at;
  }
}

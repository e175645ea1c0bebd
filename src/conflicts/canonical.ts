import { CLOSE_BRACE, CLOSE_BRACKET, OPEN_BRACE, OPEN_BRACKET } from '../json/containers.js';
import { sorted, sorting } from '../json/sort.js';
import type { Work } from '../json/turns.js';

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

/** Work may be interrupted each time it has gone so many characters further. */
const STRIDE = 16_384;
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

export interface Member {
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
    return objectOf(this.#members);
  }
}

const byKey = (a: Member, b: Member): number => byCodePoint(a.key, b.key);

/** The text of an object with canonical members. */
export const objectOf = (members: readonly Member[]): Work<string> | string =>
  members.length > MANY ? longText(members) : objectText(sorted(members, byKey));

function* longText(members: readonly Member[]): Work<string> {
  return objectText(yield* sorting(members, byKey));
}

function objectText(members: readonly Member[]): string {
  let text = '';
  for (const member of members) text += text === '' ? member.text : `,${member.text}`;
  return `{${text}}`;
}

/**
 * The canonical text of a value: members in the order of their keys, numbers as `canonicalNumber` has them.
 * @param source in the form that `JsonReader` describes
 */
export function* canonical(source: string): Work<string> {
  return (yield* new Canonical(source).pass()) ?? source;
}

/**
 * Finds ends and canonical texts of values. Without recursion, so that it can stop anywhere, and with what is canonical
 * already as pieces of the source, which are not copied.
 */
export class Canonical {
  /** Where the value begins that comes next. */
  at = 0;
  /** That of the last value; undefined where it is canonical as it stands. */
  text: string | undefined;
  readonly #open: (OpenArray | OpenObject)[] = [];
  /** An object at its end, with members that are sorted bit by bit. */
  #long: { readonly start: number; readonly text: Work<string> } | undefined;

  /** @param source in the form that `JsonReader` describes */
  constructor(private readonly source: string) {}

  /** Goes past a value that may be long. @returns its `text` */
  *pass(): Work<string | undefined> {
    while (!(yield* this.#takeLong()) && !this.passUntil(this.at + STRIDE)) yield;
    return this.text;
  }

  /** Sorts the long object that was come to the end of, if there is one. @returns whether that was the whole value */
  *#takeLong(): Work<boolean> {
    const long = this.#long;
    this.#long = undefined;
    return long !== undefined && this.#take(long.start, yield* long.text);
  }

  /** Goes past a value that ends before a place. @returns false where `pass` has to go on with it */
  passUntil(end: number): boolean {
    const { source } = this;
    while (this.at < source.length) {
      const { at } = this;
      if (at >= end) return false;
      const c = source.charCodeAt(at);
      if (c === CLOSE_BRACE || c === CLOSE_BRACKET) {
        const inner = this.#open.pop();
        this.at++;
        if (inner === undefined) continue;
        const text = inner.close(this.at);
        if (typeof text === 'object') {
          this.#long = { start: inner.start, text };
          return false;
        }
        if (this.#take(inner.start, text)) return true;
      } else if (!this.#enter(c) && this.#take(at, this.#scalar(c))) return true;
    }
    return true;
  }

  /** Puts the text of a value where it belongs. @returns whether that was the whole value */
  #take(start: number, text: string | undefined): boolean {
    const outer = this.#open.at(-1);
    if (outer === undefined) this.text = text;
    else outer.add(start, this.at, text);
    return outer === undefined;
  }

  /** Goes past what comes before a value within another one. @returns false where there is nothing of the kind */
  #enter(c: number): boolean {
    const { source, at } = this;
    if (c === COMMA) this.at++;
    else if (c === OPEN_BRACE || c === OPEN_BRACKET) {
      this.#open.push(c === OPEN_BRACE ? new OpenObject(source, at) : new OpenArray(source, at));
      this.at++;
    } else {
      const outer = this.#open.at(-1);
      if (c !== QUOTE || !(outer instanceof OpenObject)) return false;
      const end = stringEnd(source, at);
      if (source.charCodeAt(end) !== COLON) return false;
      outer.name(at, end);
      this.at = end + 1;
    }
    return true;
  }

  /** @returns its canonical text; undefined where it is canonical as it stands */
  #scalar(c: number): string | undefined {
    const { source, at } = this;
    this.at = c === QUOTE ? stringEnd(source, at) : scalarEnd(source, at);
    return isOfNumber(c) ? otherNumber(source, at, this.at) : undefined;
  }
}

/** Whether a number begins with a character. */
export const isOfNumber = (c: number): boolean => c === MINUS || isDigit(c);

const isDigit = (c: number): boolean => c >= ZERO && c <= NINE;

/** The canonical text of a number; undefined where it is canonical as it stands: a count that does not end with zeros. */
function otherNumber(source: string, start: number, end: number): string | undefined {
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

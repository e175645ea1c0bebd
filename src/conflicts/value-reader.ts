import { alikeAtBeginnings, alikeAtEnds } from '../json/alike.js';
import { CLOSE_BRACE, CLOSE_BRACKET, OPEN_BRACE, OPEN_BRACKET } from '../json/containers.js';
import { JsonDepthError, MAX_DEPTH } from '../json/reader.js';
import { JsonScanner } from '../json/scanner.js';
import { normalise } from '../json/text.js';
import { atOnce, type Work } from '../json/turns.js';
import type { ArrayValue, ObjectValue, ScalarValue, Value, Values } from './value.js';

const QUOTE = 0x22;
const COMMA = 0x2c;
const MINUS = 0x2d;
const ZERO = 0x30;
const NINE = 0x39;
const COLON = 0x3a;

/** Work may be interrupted each time it has gone so many characters further. */
const STRIDE = 16_384;

/** Reads a JSON text, which may be long. Other forms than that of `JsonReader` are brought into it. @throws JsonError */
export function* readValue(values: Values, text: string): Work<Value> {
  const reader = new ValueReader(values, text);
  const value = yield* reader.read();
  return reader.isClean ? value : yield* new ValueReader(values, normalise(text)).read();
}

/** `readValue` in one go. */
export const parseValue = (values: Values, text: string): Value => atOnce(readValue(values, text));

/** Reads members of an object that stand without braces, as bodies do. @throws JsonError */
export function* readMembers(values: Values, body: string): Work<ObjectValue> {
  return asObject(yield* readValue(values, `{${body}}`));
}

/** An object that was read, by which texts like its own are read. */
export interface Outline {
  readonly object: ObjectValue;
  /** Where its members end in its text. */
  readonly ends: readonly number[];
}

/** `readMembers` for the first of several bodies that have much in common. */
export function* readOutline(values: Values, body: string): Work<Outline> {
  const text = `{${body}}`;
  let reader = new ValueReader(values, text);
  let value = yield* reader.read();
  if (!reader.isClean) {
    reader = new ValueReader(values, normalise(text));
    value = yield* reader.read();
  }
  return { object: asObject(value), ends: reader.ends };
}

/**
 * `readMembers` for the others: members that stand alike at the beginnings and at the ends of two texts are those of the
 * first, and are not read again.
 */
export function* readLike(values: Values, body: string, like: Outline): Work<ObjectValue> {
  const text = `{${body}}`;
  if (text === like.object.text) return like.object;
  const reader = new ValueReader(values, text, like);
  const value = yield* reader.read();
  return asObject(reader.isClean ? value : yield* new ValueReader(values, normalise(text)).read());
}

function asObject(value: Value): ObjectValue {
  if (value.kind !== 'object') throw new TypeError('no members');
  return value;
}

/** An object or an array whose end was not read yet. */
interface Open {
  readonly start: number;
  readonly members: Map<string, Value> | undefined;
  readonly elements: Value[];
  /** Of the member that is read. */
  name: string;
}

class ValueReader extends JsonScanner {
  /** Where the members or elements of the outermost value end, as far as they were read. */
  readonly ends: number[] = [];
  readonly #open: Open[] = [];
  /** Behind that the text is that of the one like it; Infinity where there is none. */
  #tail = Infinity;

  /** @param like an object whose members may be this one's */
  constructor(
    private readonly values: Values,
    text: string,
    private readonly like?: Outline,
  ) {
    super(text);
    if (like === undefined) return;
    this.#tail = text.length - alikeAtEnds(like.object.text, text);
    this.#adoptHead(like);
  }

  /** Whether the text has the form of `JsonReader`, so that pieces of it may be used as they are. */
  get isClean(): boolean {
    return this.unclean === 0;
  }

  *read(): Work<Value> {
    for (let pause = STRIDE; ;) {
      const value = this.#value();
      const whole = value === undefined ? undefined : this.#put(value);
      if (whole !== undefined) return whole;
      if (this.at < pause) continue;
      pause = this.at + STRIDE;
      yield;
    }
  }

  /** Reads up to the end of a value, or to where one within it begins: undefined then. */
  #value(): Value | undefined {
    const c = this.next();
    if (c !== OPEN_BRACE && c !== OPEN_BRACKET) return this.#scalar(c);
    if (this.#open.length >= MAX_DEPTH)
      throw new JsonDepthError(`JSON may not nest deeper than ${String(MAX_DEPTH)}`);
    const members = c === OPEN_BRACE ? new Map<string, Value>() : undefined;
    const open: Open = { start: this.at++, members, elements: [], name: '' };
    this.#open.push(open);
    if (this.next() === closing(open)) return this.#close(open);
    if (members !== undefined) open.name = this.#name();
    return undefined;
  }

  /** Puts a value where it belongs, and whatever ends with it. @returns the outermost, if that has come to its end */
  #put(value: Value): Value | undefined {
    let ended = value;
    for (let open = this.#open.at(-1); open !== undefined; open = this.#open.at(-1)) {
      this.#add(open, ended);
      if (this.#open.length === 1) this.ends.push(this.at);
      const c = this.next();
      if (c === COMMA && !this.#adoptTail(open)) {
        this.at++;
        if (open.members !== undefined) open.name = this.#name();
        return undefined;
      }
      if (this.next() !== closing(open)) this.fail();
      ended = this.#close(open);
    }
    this.next();
    if (this.at !== this.source.length) this.fail();
    return ended;
  }

  /** Takes the members over that both texts begin with. */
  #adoptHead({ object, ends }: Outline): void {
    const alike = alikeAtBeginnings(object.text, this.source);
    // With what separates them from the next.
    const after = ends.slice(0, -1).findLastIndex((end) => end < alike);
    if (after < 0) return;
    this.at = (ends[after] ?? 0) + 1;
    const members = new Map<string, Value>();
    for (const [name, value] of object.members) {
      if (members.size > after) break;
      members.set(name, value);
    }
    this.#open.push({ start: 0, members, elements: [], name: this.#name() });
  }

  /** Takes the members over that both texts end with, if this is where they begin. @returns whether it was */
  #adoptTail(open: Open): boolean {
    if (this.at < this.#tail || this.#open.length > 1 || this.like === undefined) return false;
    this.#tail = Infinity;
    const { object, ends } = this.like;
    const before = ends.lastIndexOf(this.at + object.text.length - this.source.length);
    if (before < 0) return false;
    let place = 0;
    for (const [name, value] of object.members) {
      if (place++ <= before) continue;
      open.name = name;
      this.#add(open, value);
    }
    this.at = this.source.length - 1;
    return true;
  }

  #add(open: Open, value: Value): void {
    if (open.members === undefined) open.elements.push(value);
    else if (open.members.has(open.name)) this.unclean++;
    else open.members.set(open.name, value);
  }

  #close({ start, members, elements }: Open): ArrayValue | ObjectValue {
    this.at++;
    this.#open.pop();
    const text = this.source.slice(start, this.at);
    return members === undefined ? this.values.array(elements, text) : this.values.object(members, text);
  }

  #scalar(c: number): ScalarValue {
    const isNumber = c === MINUS || (c >= ZERO && c <= NINE);
    const text = this.scalar(c);
    return this.values.scalar(isNumber ? 'number' : c === QUOTE ? 'string' : 'literal', text);
  }

  #name(): string {
    if (this.next() !== QUOTE) this.fail();
    const name = this.string();
    if (this.next() !== COLON) this.fail();
    this.at++;
    return name.includes('\\') ? (JSON.parse(name) as string) : name.slice(1, -1);
  }
}

const closing = ({ members }: Open): number => (members === undefined ? CLOSE_BRACKET : CLOSE_BRACE);

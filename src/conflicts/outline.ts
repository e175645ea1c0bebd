import { alikeAtBeginnings, alikeAtEnds } from '../json/alike.js';
import { OPEN_BRACE, OPEN_BRACKET } from '../json/containers.js';
import { JsonError } from '../json/reader.js';
import type { Work } from '../json/turns.js';
import { Canonical, isOfNumber, scalarEnd, stringEnd } from './canonical.js';
import type { ArrayValue, ObjectValue, Value, Values } from './value.js';
import { parseValue, readValue } from './value-reader.js';

const QUOTE = 0x22;
const COMMA = 0x2c;
const COLON = 0x3a;

/** Work may be interrupted each time it has gone so many characters further. */
const STRIDE = 16_384;
/** Objects and arrays with more characters are read at once: later that would be at one go. */
const SHORT = 4096;

/** The members of a body, and where they stand. What is in them is mostly alike everywhere, and not looked into. */
export interface Outline {
  readonly object: ObjectValue;
  /** What was read. */
  readonly body: string;
  readonly names: readonly string[];
  readonly values: readonly Value[];
  /** Where each of them ends. */
  readonly ends: readonly number[];
}

/**
 * Reads a body, of which `Content` says what it is. @throws JsonError
 * @param like what was read of another one: members that stand alike at the beginnings and at the ends of both are not read
 * again
 */
export function* readOutline(values: Values, body: string, like?: Outline): Work<Outline> {
  if (body === like?.body) return like;
  return yield* new OutlineReader(values, body, like).read();
}

class OutlineReader {
  readonly #names: string[] = [];
  readonly #values: Value[] = [];
  readonly #ends: number[] = [];
  #at = 0;
  #pause = STRIDE;
  readonly #canonical: Canonical;

  constructor(
    private readonly values: Values,
    private readonly body: string,
    private readonly like: Outline | undefined,
  ) {
    this.#canonical = new Canonical(body);
  }

  *read(): Work<Outline> {
    const { body, like } = this;
    if (like !== undefined) this.#adoptHead(like);
    const tail = like === undefined ? body.length : body.length - alikeAtEnds(like.body, body);
    while (this.#at < body.length) {
      if (this.#ends.length > 0) {
        if (this.#at >= tail && like !== undefined && this.#adoptTail(like)) break;
        this.#pass(COMMA);
      }
      const name = this.#name();
      const value = this.#scalar() ?? (yield* this.#container());
      this.#add(name, value, this.#at);
      if (this.#at < this.#pause) continue;
      this.#pause = this.#at + STRIDE;
      yield;
    }
    return this.#outline();
  }

  #outline(): Outline {
    const names = this.#names;
    const values = this.#values;
    const members = new Map<string, Value>();
    for (const [place, name] of names.entries()) {
      const value = values[place];
      if (value !== undefined) members.set(name, value);
    }
    const object = this.values.object(members);
    return { object, body: this.body, names, values, ends: this.#ends };
  }

  #add(name: string, value: Value | undefined, end: number): void {
    if (value === undefined) return;
    this.#names.push(name);
    this.#values.push(value);
    this.#ends.push(end);
  }

  /** Takes the members over that both begin with, with what separates them from the next. */
  #adoptHead({ body, names, values, ends }: Outline): void {
    const alike = alikeAtBeginnings(body, this.body);
    for (const [place, end] of ends.entries()) {
      if (end >= alike) return;
      this.#add(names[place] ?? '', values[place], end);
      this.#at = end;
    }
  }

  /** Takes the members over that both end with, if this is where they begin. @returns whether it was */
  #adoptTail({ body, names, values, ends }: Outline): boolean {
    const shift = this.body.length - body.length;
    const before = ends.lastIndexOf(this.#at - shift);
    if (before < 0) return false;
    for (let place = before + 1; place < ends.length; place++)
      this.#add(names[place] ?? '', values[place], (ends[place] ?? 0) + shift);
    return true;
  }

  #name(): string {
    const start = this.#at;
    if (this.body.charCodeAt(start) !== QUOTE) this.#fail();
    this.#at = stringEnd(this.body, start);
    const name = this.body.slice(start + 1, this.#at - 1);
    this.#pass(COLON);
    return name.includes('\\') ? (JSON.parse(`"${name}"`) as string) : name;
  }

  /** Undefined for an object or an array. */
  #scalar(): Value | undefined {
    const { body, values } = this;
    const start = this.#at;
    const c = body.charCodeAt(start);
    if (c === OPEN_BRACE || c === OPEN_BRACKET) return undefined;
    this.#at = c === QUOTE ? stringEnd(body, start) : scalarEnd(body, start);
    const kind = c === QUOTE ? 'string' : isOfNumber(c) ? 'number' : 'literal';
    return values.scalar(kind, body.slice(start, this.#at));
  }

  *#container(): Work<Value> {
    const { body, values } = this;
    const start = this.#at;
    const end = this.#canonical;
    end.at = start;
    const canonical = yield* end.pass();
    this.#at = end.at;
    const text = body.slice(start, end.at);
    if (text.length > SHORT) return yield* readValue(values, text);
    const Unread = body.charCodeAt(start) === OPEN_BRACE ? UnreadObject : UnreadArray;
    return new Unread(values, text, canonical ?? text);
  }

  #pass(c: number): void {
    if (this.body.charCodeAt(this.#at) !== c) this.#fail();
    this.#at++;
  }

  #fail(): never {
    throw new JsonError(`not a body at ${String(this.#at)}`);
  }
}

/** An object that is read when somebody looks into it. */
class UnreadObject implements ObjectValue {
  readonly kind = 'object';
  identity: number | undefined = undefined;
  #members: ObjectValue['members'] | undefined;

  constructor(
    private readonly values: Values,
    readonly text: string,
    readonly canonical: string,
  ) {}

  get members(): ObjectValue['members'] {
    return (this.#members ??= membersOf(parseValue(this.values, this.text)));
  }
}

/** The same for an array. */
class UnreadArray implements ArrayValue {
  readonly kind = 'array';
  identity: number | undefined = undefined;
  #elements: ArrayValue['elements'] | undefined;

  constructor(
    private readonly values: Values,
    readonly text: string,
    readonly canonical: string,
  ) {}

  get elements(): ArrayValue['elements'] {
    return (this.#elements ??= elementsOf(parseValue(this.values, this.text)));
  }
}

function membersOf(value: Value): ObjectValue['members'] {
  if (value.kind !== 'object') throw new TypeError('no object');
  return value.members;
}

function elementsOf(value: Value): ArrayValue['elements'] {
  if (value.kind !== 'array') throw new TypeError('no array');
  return value.elements;
}

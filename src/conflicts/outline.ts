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
/** Objects and arrays with more characters are read at once, bit by bit: later it would be in one go, for many of them. */
const SHORT = 1024;

/** A body with its members. What is in these is mostly alike everywhere, and not looked into. */
export interface Outline {
  readonly object: ObjectValue;
  readonly body: string;
  readonly members: readonly Found[];
}

interface Found {
  readonly name: string;
  readonly value: Value;
  /** Where it ends in the body. */
  readonly end: number;
}

/** Reads the first of several bodies that have much in common. They have the form that `Content` says. @throws JsonError */
export function* readOutline(values: Values, body: string): Work<Outline> {
  const found: Found[] = [];
  const object = yield* new OutlineReader(values, body, undefined, found).read();
  return { object, body, members: found };
}

/**
 * Reads the others: members that stand alike at the beginnings and at the ends of two bodies are those of the first, and
 * are not read again.
 */
export function* readLike(values: Values, body: string, like: Outline): Work<ObjectValue> {
  return body === like.body ? like.object : yield* new OutlineReader(values, body, like).read();
}

class OutlineReader {
  readonly #members = new Map<string, Value>();
  readonly #canonical: Canonical;
  #at = 0;
  #pause = STRIDE;

  /** @param found where what was found is put */
  constructor(
    private readonly values: Values,
    private readonly body: string,
    private readonly like: Outline | undefined,
    private readonly found?: Found[],
  ) {
    this.#canonical = new Canonical(body);
  }

  *read(): Work<ObjectValue> {
    const { body, like, found } = this;
    if (like !== undefined) this.#adoptHead(like);
    const tail = like === undefined ? body.length : body.length - alikeAtEnds(like.body, body);
    while (this.#at < body.length) {
      if (this.#members.size > 0) {
        if (this.#at >= tail && like !== undefined && this.#adoptTail(like)) break;
        this.#pass(COMMA);
      }
      const name = this.#name();
      const one = this.#scalar() ?? this.#container();
      const value = 'kind' in one ? one : yield* one;
      this.#members.set(name, value);
      found?.push({ name, value, end: this.#at });
      if (this.#at < this.#pause) continue;
      this.#pause = this.#at + STRIDE;
      yield;
    }
    return this.values.object(this.#members);
  }

  /** Takes the members over that both begin with, with what separates them from the next. */
  #adoptHead({ body, members }: Outline): void {
    const alike = alikeAtBeginnings(body, this.body);
    for (const { name, value, end } of members) {
      if (end >= alike) return;
      this.#members.set(name, value);
      this.#at = end;
    }
  }

  /** Takes the members over that both end with, if this is where they begin. @returns whether it was */
  #adoptTail({ body, members }: Outline): boolean {
    const at = this.#at - this.body.length + body.length;
    const before = members.findLastIndex(({ end }) => end === at);
    if (before < 0) return false;
    for (const { name, value } of members.slice(before + 1)) this.#members.set(name, value);
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

  #container(): Value | Work<Value> {
    const { body, values } = this;
    const start = this.#at;
    const canonical = this.#canonical;
    canonical.at = start;
    if (!canonical.passUntil(start + SHORT)) return this.#long(start);
    this.#at = canonical.at;
    const text = body.slice(start, this.#at);
    const Outlined = body.charCodeAt(start) === OPEN_BRACE ? OutlinedObject : OutlinedArray;
    return new Outlined(values, text, canonical.text ?? text);
  }

  *#long(start: number): Work<Value> {
    const { values } = this;
    const canonical = yield* this.#canonical.pass();
    this.#at = this.#canonical.at;
    const text = this.body.slice(start, this.#at);
    const value = yield* readValue(values, text);
    if (value.kind === 'object') return new OutlinedObject(values, text, canonical ?? text, value.members);
    return new OutlinedArray(values, text, canonical ?? text, elementsOf(value));
  }

  #pass(c: number): void {
    if (this.body.charCodeAt(this.#at) !== c) this.#fail();
    this.#at++;
  }

  #fail(): never {
    throw new JsonError(`not a body at ${String(this.#at)}`);
  }
}

/** An object that is read when somebody looks into it, if it was not before. */
class OutlinedObject implements ObjectValue {
  readonly kind = 'object';
  identity: number | undefined = undefined;
  #members: ObjectValue['members'] | undefined;

  constructor(
    private readonly values: Values,
    readonly text: string,
    readonly canonical: string,
    members?: ObjectValue['members'],
  ) {
    this.#members = members;
  }

  get members(): ObjectValue['members'] {
    return (this.#members ??= membersOf(parseValue(this.values, this.text)));
  }
}

/** The same for an array. */
class OutlinedArray implements ArrayValue {
  readonly kind = 'array';
  identity: number | undefined = undefined;
  #elements: ArrayValue['elements'] | undefined;

  constructor(
    private readonly values: Values,
    readonly text: string,
    readonly canonical: string,
    elements?: ArrayValue['elements'],
  ) {
    this.#elements = elements;
  }

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

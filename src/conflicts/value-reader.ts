import { CLOSE_BRACE, CLOSE_BRACKET, OPEN_BRACE, OPEN_BRACKET } from '../json/containers.js';
import { JsonDepthError, MAX_DEPTH } from '../json/reader.js';
import { JsonScanner } from '../json/scanner.js';
import { normalise } from '../json/text.js';
import { atOnce, type Work } from '../json/turns.js';
import { isOfNumber } from './canonical.js';
import type { ArrayValue, ObjectValue, ScalarValue, Value, Values } from './value.js';

const QUOTE = 0x22;
const COMMA = 0x2c;
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
  const value = yield* readValue(values, `{${body}}`);
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
  readonly #open: Open[] = [];

  constructor(
    private readonly values: Values,
    text: string,
  ) {
    super(text);
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
      const c = this.next();
      if (c === COMMA) {
        this.at++;
        if (open.members !== undefined) open.name = this.#name();
        return undefined;
      }
      if (c !== closing(open)) this.fail();
      ended = this.#close(open);
    }
    this.next();
    if (this.at !== this.source.length) this.fail();
    return ended;
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
    const text = this.scalar(c);
    return this.values.scalar(isOfNumber(c) ? 'number' : c === QUOTE ? 'string' : 'literal', text);
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

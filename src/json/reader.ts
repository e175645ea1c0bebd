import {
  checking,
  CLOSE_BRACE,
  CLOSE_BRACKET,
  type Container,
  OPEN_BRACE,
  OPEN_BRACKET,
  rewriting,
} from './containers.js';
import { JsonDepthError, JsonScanner } from './scanner.js';
import { atOnce, type Work } from './turns.js';

export { JsonDepthError, JsonError } from './scanner.js';

/** Deeper nesting is refused: what is read must be fit for functions that call themselves. */
export const MAX_DEPTH = 2500;

const QUOTE = 0x22;
const COMMA = 0x2c;
const COLON = 0x3a;

/** Long work may be interrupted each time it has gone so many characters further. */
const STRIDE = 16_384;

/**
 * JSON that keeps its text. Documents pass through as text, so that integers beyond 2^53, `1.0` and the order of
 * keys survive; only the members that must be understood are turned into values.
 *
 * Text is brought into one form, CouchDB's: no white space, of duplicate keys only the last, escapes only where JSON
 * demands them, integers as they came, other numbers in the shortest form that still shows a fraction (`100.0`).
 *
 * Reads one JSON text from its beginning to its end, value by value. The text comes from `decodeBody`: it is well formed.
 */
export class JsonReader extends JsonScanner {
  #depth = 0;
  /** Whether an object or array was just opened. */
  #opened = false;
  /** Where `isTime` is true again. */
  #pause = STRIDE;

  /** Whether so much was read since this was last true that long work should yield. */
  isTime(): boolean {
    if (this.at < this.#pause) return false;
    this.#pause = this.at + STRIDE;
    return true;
  }

  /** What kind of value comes next. */
  peek(): 'object' | 'array' | 'other' {
    const c = this.next();
    return c === OPEN_BRACE ? 'object' : c === OPEN_BRACKET ? 'array' : 'other';
  }

  /** Begins to read an object: the value of each member that `nextMember` names must be read. */
  openObject(): void {
    this.#open(OPEN_BRACE);
  }

  /** The name of the next member, again for a key that is repeated; undefined at the end of the object. */
  nextMember(): string | undefined {
    if (!this.#more(CLOSE_BRACE)) return undefined;
    const key = this.#key();
    return key.includes('\\') ? (JSON.parse(key) as string) : key.slice(1, -1);
  }

  /** Begins to read an array: each element that `nextElement` finds must be read. */
  openArray(): void {
    this.#open(OPEN_BRACKET);
  }

  /** Whether there is one more; false ends the array. */
  nextElement(): boolean {
    return this.#more(CLOSE_BRACKET);
  }

  /** The next value as text in the form described above. */
  readText(): string {
    const c = this.next();
    return c === OPEN_BRACE || c === OPEN_BRACKET ? atOnce(this.#container()) : this.scalar(c);
  }

  /** `readText` for what may be long. */
  *readLongText(): Work<string> {
    const c = this.next();
    return c === OPEN_BRACE || c === OPEN_BRACKET ? yield* this.#container() : this.scalar(c);
  }

  /** Checks a value that nobody wants. */
  *skip(): Work<void> {
    yield* this.#walk(checking);
  }

  /** The next value. */
  readValue(): unknown {
    return JSON.parse(this.readText()) as unknown;
  }

  /** @throws JsonError if anything but white space is left. */
  end(): void {
    this.next();
    if (this.at !== this.source.length) this.fail();
  }

  #open(bracket: number): void {
    if (this.next() !== bracket) this.fail();
    if (++this.#depth > MAX_DEPTH)
      throw new JsonDepthError(`JSON may not nest deeper than ${String(MAX_DEPTH)}`);
    this.at++;
    this.#opened = true;
  }

  /** Moves to the next member or element; false where the object or array closes instead. */
  #more(bracket: number): boolean {
    const c = this.next();
    const first = this.#opened;
    this.#opened = false;
    if (c === bracket) {
      this.at++;
      this.#depth--;
      return false;
    }
    if (first) return true;
    if (c !== COMMA) this.fail();
    this.at++;
    return true;
  }

  /** A member's key in its final form, quotes included, and its colon. */
  #key(): string {
    if (this.next() !== QUOTE) this.fail();
    const key = this.string();
    if (this.next() !== COLON) this.fail();
    this.at++;
    return key;
  }

  /** Reads an object or an array: mostly its text is what it should be, and need not be put together again. */
  *#container(): Work<string> {
    const start = this.at;
    const before = this.unclean;
    yield* this.#walk(checking);
    if (this.unclean === before) return this.source.slice(start, this.at);
    this.at = this.#pause = start;
    return yield* this.#walk(rewriting);
  }

  /** Goes through the next value without calling itself, so that it can stop anywhere. */
  *#walk(newContainer: (bracket: number) => Container): Work<string> {
    const outer: Container[] = [];
    let inner: Container | undefined;
    for (;;) {
      if (this.isTime()) yield;
      const c = this.next();
      if (c === OPEN_BRACE || c === OPEN_BRACKET) {
        this.#open(c);
        if (inner !== undefined) outer.push(inner);
        inner = newContainer(c);
      } else {
        const text = this.scalar(c);
        if (inner === undefined) return text;
        inner.value(text);
      }
      while (!this.#advance(inner)) {
        const text = inner.text();
        inner = outer.pop();
        if (inner === undefined) return text;
        inner.value(text);
      }
    }
  }

  /** Moves to the next value in a container; false where it closes. */
  #advance(container: Container): boolean {
    if (!container.isObject) return this.#more(CLOSE_BRACKET);
    if (!this.#more(CLOSE_BRACE)) return false;
    if (!container.key(this.#key())) this.unclean++;
    return true;
  }
}

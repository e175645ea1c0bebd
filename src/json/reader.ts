/**
 * JSON that keeps its text. Documents pass through as text, so that integers beyond 2^53, `1.0` and the order of
 * keys survive; only the members that must be understood are turned into values.
 *
 * Text is brought into one form, CouchDB's: no white space, the last of duplicate keys, escapes only where JSON
 * demands them, integers as they came, other numbers in the shortest form that still shows a fraction (`100.0`).
 */

/** The text is not JSON, or nests deeper than `MAX_DEPTH`. */
export class JsonError extends Error {
  override readonly name = 'JsonError';
}

/** Deeper nesting is refused: reading it would need more stack than there is. */
export const MAX_DEPTH = 2500;

// Everything but quotes, backslashes and control characters.
const PLAIN_STRING = /"[ !#-[\]-\uffff]*"/y;
const ANY_STRING = /"(?:[ !#-[\]-\uffff]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"/y;
const NUMBER = /-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?/y;

const QUOTE = 0x22;
const COMMA = 0x2c;
const MINUS = 0x2d;
const COLON = 0x3a;
const OPEN_BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;

/** Up to this many keys a linear search for a duplicate beats a set. */
const FEW_KEYS = 12;

/** Reads one JSON text from its beginning to its end, value by value. The text comes from `decodeBody`: it is well formed. */
export class JsonReader {
  #at = 0;
  #depth = 0;
  /** How many things were read so far that do not have the form described above. */
  #unclean = 0;

  constructor(private readonly source: string) {}

  /** What kind of value comes next. */
  peek(): 'object' | 'array' | 'other' {
    this.#skipSpace();
    const c = this.source.charCodeAt(this.#at);
    return c === OPEN_BRACE ? 'object' : c === OPEN_BRACKET ? 'array' : 'other';
  }

  /** Reads an object; `visit` must read the value of each member, and is called again for a key that is repeated. */
  readObject(visit: (name: string) => void): void {
    this.#open(OPEN_BRACE);
    if (!this.#closes(CLOSE_BRACE)) {
      do {
        const name = this.#key();
        visit(
          name.charCodeAt(0) === QUOTE && name.includes('\\')
            ? (JSON.parse(name) as string)
            : name.slice(1, -1),
        );
      } while (this.#more(CLOSE_BRACE));
    }
    this.#depth--;
  }

  /** Reads an array; `visit` must read each element. */
  readArray(visit: (index: number) => void): void {
    this.#open(OPEN_BRACKET);
    if (!this.#closes(CLOSE_BRACKET)) {
      let index = 0;
      do visit(index++);
      while (this.#more(CLOSE_BRACKET));
    }
    this.#depth--;
  }

  /** The next value as text in the form described above. */
  readText(): string {
    this.#skipSpace();
    const start = this.#at;
    const before = this.#unclean;
    this.#skipValue();
    if (this.#unclean === before) return this.source.slice(start, this.#at);
    this.#at = start;
    return this.#rewrite();
  }

  /** The next value. */
  readValue(): unknown {
    return JSON.parse(this.readText()) as unknown;
  }

  /** @throws JsonError if anything but white space is left. */
  end(): void {
    this.#skipSpace();
    if (this.#at !== this.source.length) this.#fail();
  }

  #fail(): never {
    throw new JsonError(`not JSON at ${String(this.#at)}`);
  }

  #skipSpace(): void {
    for (;;) {
      const c = this.source.charCodeAt(this.#at);
      if (c !== 0x20 && c !== 0x0a && c !== 0x0d && c !== 0x09) return;
      this.#unclean++;
      this.#at++;
    }
  }

  #open(bracket: number): void {
    this.#skipSpace();
    if (this.source.charCodeAt(this.#at) !== bracket) this.#fail();
    if (++this.#depth > MAX_DEPTH) throw new JsonError(`nested deeper than ${String(MAX_DEPTH)}`);
    this.#at++;
  }

  /** Whether the bracket that was just opened closes at once. */
  #closes(bracket: number): boolean {
    this.#skipSpace();
    if (this.source.charCodeAt(this.#at) !== bracket) return false;
    this.#at++;
    return true;
  }

  /** After a value: true at a comma, false at the closing bracket. */
  #more(bracket: number): boolean {
    this.#skipSpace();
    const c = this.source.charCodeAt(this.#at++);
    if (c === COMMA) return true;
    if (c === bracket) return false;
    this.#at--;
    this.#fail();
  }

  /** A member's key in its final form, quotes included, and its colon. */
  #key(): string {
    this.#skipSpace();
    const key = this.#string();
    this.#skipSpace();
    if (this.source.charCodeAt(this.#at++) !== COLON) {
      this.#at--;
      this.#fail();
    }
    return key;
  }

  #string(): string {
    PLAIN_STRING.lastIndex = this.#at;
    if (PLAIN_STRING.test(this.source)) {
      const text = this.source.slice(this.#at, PLAIN_STRING.lastIndex);
      this.#at = PLAIN_STRING.lastIndex;
      return text;
    }
    const end = this.#stringEnd();
    const value = JSON.parse(this.source.slice(this.#at, end)) as string;
    if (!value.isWellFormed()) this.#fail();
    const text = JSON.stringify(value);
    if (text.length !== end - this.#at || !this.source.startsWith(text, this.#at)) this.#unclean++;
    this.#at = end;
    return text;
  }

  #stringEnd(): number {
    ANY_STRING.lastIndex = this.#at;
    if (!ANY_STRING.test(this.source)) this.#fail();
    return ANY_STRING.lastIndex;
  }

  #number(): string {
    NUMBER.lastIndex = this.#at;
    const match = NUMBER.exec(this.source);
    if (match === null) this.#fail();
    const [lexeme, fraction, exponent] = match;
    this.#at = NUMBER.lastIndex;
    const text =
      fraction === undefined && exponent === undefined ? (lexeme === '-0' ? '0' : lexeme) : double(lexeme);
    if (text === undefined) this.#fail();
    if (text !== lexeme) this.#unclean++;
    return text;
  }

  #literal(): string {
    for (const word of ['true', 'false', 'null']) {
      if (this.source.startsWith(word, this.#at)) {
        this.#at += word.length;
        return word;
      }
    }
    this.#fail();
  }

  /** Reads a value that is not an object or an array. */
  #scalar(c: number): string {
    if (c === QUOTE) return this.#string();
    if (c === MINUS || (c >= 0x30 && c <= 0x39)) return this.#number();
    return this.#literal();
  }

  /** Checks the next value and moves past it, counting in `#unclean` what of its text cannot be used as it is. */
  #skipValue(): void {
    this.#skipSpace();
    const c = this.source.charCodeAt(this.#at);
    if (c === OPEN_BRACE) {
      const keys = new KeySet();
      this.#open(OPEN_BRACE);
      if (!this.#closes(CLOSE_BRACE)) {
        do {
          if (!keys.add(this.#key())) this.#unclean++;
          this.#skipValue();
        } while (this.#more(CLOSE_BRACE));
      }
      this.#depth--;
    } else if (c === OPEN_BRACKET) {
      this.#open(OPEN_BRACKET);
      if (!this.#closes(CLOSE_BRACKET)) {
        do this.#skipValue();
        while (this.#more(CLOSE_BRACKET));
      }
      this.#depth--;
    } else {
      this.#scalar(c);
    }
  }

  /** Reads the next value, building its final form. */
  #rewrite(): string {
    this.#skipSpace();
    const c = this.source.charCodeAt(this.#at);
    if (c === OPEN_BRACE) {
      const members = new Map<string, string>();
      this.#open(OPEN_BRACE);
      if (!this.#closes(CLOSE_BRACE)) {
        do members.set(this.#key(), this.#rewrite());
        while (this.#more(CLOSE_BRACE));
      }
      this.#depth--;
      return `{${Array.from(members, ([key, text]) => `${key}:${text}`).join(',')}}`;
    }
    if (c === OPEN_BRACKET) {
      const elements: string[] = [];
      this.#open(OPEN_BRACKET);
      if (!this.#closes(CLOSE_BRACKET)) {
        do elements.push(this.#rewrite());
        while (this.#more(CLOSE_BRACKET));
      }
      this.#depth--;
      return `[${elements.join(',')}]`;
    }
    return this.#scalar(c);
  }
}

/** Finds duplicates among the keys of one object. */
class KeySet {
  readonly #few: string[] = [];
  #many: Set<string> | undefined;

  /** @returns false for a key that was there. */
  add(key: string): boolean {
    if (this.#many !== undefined) {
      const before = this.#many.size;
      return this.#many.add(key).size !== before;
    }
    if (this.#few.includes(key)) return false;
    if (this.#few.push(key) > FEW_KEYS) this.#many = new Set(this.#few);
    return true;
  }
}

/** The text of a number that has a fraction or an exponent; undefined where it is beyond a double. */
function double(lexeme: string): string | undefined {
  const value = Number(lexeme);
  if (!Number.isFinite(value)) return undefined;
  const text = Object.is(value, -0) ? '-0' : String(value);
  return /^-?[0-9]+$/.test(text) ? `${text}.0` : text;
}

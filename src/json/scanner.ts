/** The text is not JSON. */
export class JsonError extends Error {
  override readonly name: string = 'JsonError';
}

/** The text may be JSON, but nests too deep to be taken. */
export class JsonDepthError extends JsonError {
  override readonly name = 'JsonDepthError';
}

// Everything but quotes, backslashes and control characters.
const PLAIN_STRING = /"[ !#-[\]-\uffff]*"/y;
/** Only so many escapes at a time, because the expression needs stack for each; with none of them it is at an end. */
const STRING_PART = /[ !#-[\]-\uffff]*(?:\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})[ !#-[\]-\uffff]*){0,1000}/y;
const FRACTION = /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/y;

const SPACE = 0x20;
const QUOTE = 0x22;
const MINUS = 0x2d;
const POINT = 0x2e;
const ZERO = 0x30;
const NINE = 0x39;

/** Goes through JSON text token by token. What the tokens make up is the business of `JsonReader`. */
export class JsonScanner {
  protected at = 0;
  /** How many things were read so far that do not have the form that `JsonReader` describes. */
  protected unclean = 0;

  constructor(protected readonly source: string) {}

  protected fail(): never {
    throw new JsonError(`not JSON at ${String(this.at)}`);
  }

  /** The code of the character that comes next, white space aside; NaN at the end. */
  protected next(): number {
    for (;;) {
      const c = this.source.charCodeAt(this.at);
      if (c > SPACE || (c !== SPACE && c !== 0x0a && c !== 0x0d && c !== 0x09)) return c;
      this.unclean++;
      this.at++;
    }
  }

  /** A value that is not an object or an array, in its final form. @param c its first character */
  protected scalar(c: number): string {
    if (c === QUOTE) return this.string();
    if (c === MINUS || (c >= ZERO && c <= NINE)) return this.#number();
    return this.#literal();
  }

  protected string(): string {
    PLAIN_STRING.lastIndex = this.at;
    if (PLAIN_STRING.test(this.source)) {
      const text = this.source.slice(this.at, PLAIN_STRING.lastIndex);
      this.at = PLAIN_STRING.lastIndex;
      return text;
    }
    const end = this.#stringEnd();
    const value = JSON.parse(this.source.slice(this.at, end)) as string;
    if (!value.isWellFormed()) this.fail();
    const text = JSON.stringify(value);
    if (text.length !== end - this.at || !this.source.startsWith(text, this.at)) this.unclean++;
    this.at = end;
    return text;
  }

  #stringEnd(): number {
    if (this.source.charCodeAt(this.at) !== QUOTE) this.fail();
    let end = this.at + 1;
    do {
      STRING_PART.lastIndex = end;
      if (!STRING_PART.test(this.source) || STRING_PART.lastIndex === end) this.fail();
      end = STRING_PART.lastIndex;
    } while (this.source.charCodeAt(end) !== QUOTE);
    return end + 1;
  }

  #number(): string {
    const { source } = this;
    const start = this.at;
    let end = source.charCodeAt(start) === MINUS ? start + 1 : start;
    const digits = end;
    while (isDigit(source.charCodeAt(end))) end++;
    const next = source.charCodeAt(end);
    if (next === POINT || next === 0x45 || next === 0x65) return this.#double();
    if (end === digits || (end > digits + 1 && source.charCodeAt(digits) === ZERO)) this.fail();
    this.at = end;
    const text = source.slice(start, end);
    if (text !== '-0') return text;
    this.unclean++;
    return '0';
  }

  #double(): string {
    FRACTION.lastIndex = this.at;
    if (!FRACTION.test(this.source)) this.fail();
    const lexeme = this.source.slice(this.at, FRACTION.lastIndex);
    this.at = FRACTION.lastIndex;
    const text = double(lexeme);
    if (text === undefined) this.fail();
    if (text !== lexeme) this.unclean++;
    return text;
  }

  #literal(): string {
    for (const word of ['true', 'false', 'null']) {
      if (this.source.startsWith(word, this.at)) {
        this.at += word.length;
        return word;
      }
    }
    this.fail();
  }
}

const isDigit = (c: number): boolean => c >= ZERO && c <= NINE;

/** The text of a number that has a fraction or an exponent; undefined where it is beyond a double. */
function double(lexeme: string): string | undefined {
  const value = Number(lexeme);
  if (!Number.isFinite(value)) return undefined;
  const text = Object.is(value, -0) ? '-0' : String(value);
  return /^-?[0-9]+$/.test(text) ? `${text}.0` : text;
}

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
const LITERALS = ['true', 'false', 'null'];
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
    const start = this.at;
    return this.pass(c) ?? this.source.slice(start, this.at);
  }

  /** Goes past such a value. @returns its final form, unless it stands there in it */
  protected pass(c: number): string | undefined {
    const start = this.at;
    const text = c === QUOTE ? this.#passString() : this.#passOther(c);
    const isThere = text?.length === this.at - start && this.source.startsWith(text, start);
    if (text === undefined || isThere) return undefined;
    this.unclean++;
    return text;
  }

  protected string(): string {
    return this.scalar(QUOTE);
  }

  #passOther(c: number): string | undefined {
    if (c === MINUS || (c >= ZERO && c <= NINE)) return this.#passNumber();
    this.#passLiteral();
    return undefined;
  }

  #passString(): string | undefined {
    PLAIN_STRING.lastIndex = this.at;
    if (PLAIN_STRING.test(this.source)) {
      this.at = PLAIN_STRING.lastIndex;
      return undefined;
    }
    const end = this.#stringEnd();
    const value = JSON.parse(this.source.slice(this.at, end)) as string;
    if (!value.isWellFormed()) this.fail();
    this.at = end;
    return JSON.stringify(value);
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

  #passNumber(): string | undefined {
    const { source } = this;
    const start = this.at;
    const isNegative = source.charCodeAt(start) === MINUS;
    const digits = isNegative ? start + 1 : start;
    let end = digits;
    while (isDigit(source.charCodeAt(end))) end++;
    const next = source.charCodeAt(end);
    if (next === POINT || next === 0x45 || next === 0x65) return this.#passDouble();
    const isZero = source.charCodeAt(digits) === ZERO;
    if (end === digits || (end > digits + 1 && isZero)) this.fail();
    this.at = end;
    return isNegative && isZero ? '0' : undefined;
  }

  #passDouble(): string {
    FRACTION.lastIndex = this.at;
    if (!FRACTION.test(this.source)) this.fail();
    const text = double(this.source.slice(this.at, FRACTION.lastIndex));
    if (text === undefined) this.fail();
    this.at = FRACTION.lastIndex;
    return text;
  }

  #passLiteral(): void {
    for (const word of LITERALS) {
      if (!this.source.startsWith(word, this.at)) continue;
      this.at += word.length;
      return;
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

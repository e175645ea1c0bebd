import { isAscii, isUtf8 } from 'node:buffer';
import { JsonError } from './scanner.js';

const QUOTE = 0x22;
const COMMA = 0x2c;
const OPEN_BRACKET = 0x5b;
const BACKSLASH = 0x5c;
const CLOSE_BRACKET = 0x5d;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;

/** Bytes outside of elements: there is little of it in an answer that is what it should be. */
const REST_LIMIT = 16 << 20;

/**
 * Takes objects out of a JSON text while it arrives: those that lie at one depth, such as the rows of a feed, which
 * are in an array in an object and so at depth 2. Nothing is checked but that brackets close and the whole comes to its
 * end: whoever reads an element finds out whether it is JSON.
 */
export class ElementStream {
  #depth = 0;
  #inString = false;
  #escaped = false;
  #ended = false;
  /** The element that is read, as far as it came in earlier chunks. */
  #parts: Buffer[] = [];
  /** What came since the last element, and what is around elements before that. */
  #gap: Buffer[] = [];
  readonly #rest: Buffer[] = [];
  #restLength = 0;

  /** @param level how many brackets are open around an element */
  constructor(private readonly level: number) {}

  /** The elements that a chunk completes, as text. @throws JsonError */
  take(chunk: Buffer): readonly string[] {
    const found: string[] = [];
    const { level } = this;
    let from = 0;
    let at = 0;
    while (at < chunk.length) {
      if (this.#inString) {
        at = this.#string(chunk, at);
        continue;
      }
      const c = chunk[at++];
      if (c === QUOTE) {
        this.#inString = true;
        this.#escaped = false;
      } else if (c === OPEN_BRACE || c === OPEN_BRACKET) {
        if (this.#depth++ !== level || c !== OPEN_BRACE) continue;
        this.#note(chunk.subarray(from, at - 1));
        this.#closeGap();
        from = at - 1;
      } else if (c === CLOSE_BRACE || c === CLOSE_BRACKET) {
        if (--this.#depth < 0) throw new JsonError('brackets do not match');
        if (this.#depth === 0) this.#ended = true;
        if (this.#depth !== level || c !== CLOSE_BRACE) continue;
        found.push(this.#element(chunk.subarray(from, at)));
        from = at;
      }
    }
    const left = chunk.subarray(from);
    if (this.#depth > level) this.#parts.push(left);
    else this.#note(left);
    return found;
  }

  /**
   * What is around the elements, at the end of the text: their places are empty.
   * @throws JsonError where the text has not come to its end, or is no object
   */
  end(): Readonly<Record<string, unknown>> {
    if (!this.#ended || this.#depth !== 0) throw new JsonError('ended early');
    const rest: unknown = JSON.parse(Buffer.concat([...this.#rest, ...this.#gap]).toString());
    if (typeof rest !== 'object' || rest === null) throw new JsonError('not an object');
    return rest as Readonly<Record<string, unknown>>;
  }

  /** Goes on in a string. @returns what follows it, or the end of the chunk */
  #string(chunk: Buffer, start: number): number {
    for (let at = start; ;) {
      const quote = chunk.indexOf(QUOTE, at);
      const end = quote < 0 ? chunk.length : quote;
      // An odd number of backslashes makes the quote a part of the string.
      let backslashes = end;
      while (backslashes > start && chunk[backslashes - 1] === BACKSLASH) backslashes--;
      const before = backslashes === start && this.#escaped ? 1 : 0;
      const isEscaped = (end - backslashes + before) % 2 === 1;
      if (quote < 0) {
        this.#escaped = isEscaped;
        return end;
      }
      this.#escaped = false;
      if (!isEscaped) {
        this.#inString = false;
        return quote + 1;
      }
      at = quote + 1;
    }
  }

  #element(last: Buffer): string {
    const bytes = this.#parts.length === 0 ? last : Buffer.concat([...this.#parts, last]);
    this.#parts = [];
    if (isAscii(bytes)) return bytes.toString('latin1');
    if (!isUtf8(bytes)) throw new JsonError('not UTF-8');
    return bytes.toString('utf8');
  }

  #note(bytes: Buffer): void {
    if (bytes.length === 0) return;
    this.#restLength += bytes.length;
    if (this.#restLength > REST_LIMIT) throw new JsonError('too much beside what was asked for');
    this.#gap.push(bytes);
  }

  /** An element begins: what only parted it from the one before is dropped with it. */
  #closeGap(): void {
    const bytes = this.#gap.length === 1 ? this.#gap[0] : Buffer.concat(this.#gap);
    if (bytes !== undefined && !isSeparator(bytes)) this.#rest.push(Buffer.from(bytes));
    else this.#restLength -= bytes?.length ?? 0;
    this.#gap = [];
  }
}

/** A comma with white space around it. */
function isSeparator(bytes: Buffer): boolean {
  return bytes.every((c) => c === COMMA || c === 0x20 || (c >= 0x09 && c <= 0x0d));
}

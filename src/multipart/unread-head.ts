import { MultipartError } from './errors.js';
import { LINE_LIMIT } from './part-headers.js';

/** Bytes of a head. An attachment has its name there, which may be as long as a document. */
const LIMIT = 16 << 20;

const TAB = 0x09;
const LINE_FEED = 0x0a;
const RETURN = 0x0d;
const SPACE = 0x20;
const DASH = 0x2d;
const COLON = 0x3a;

/**
 * The head of a part that nobody reads, and nothing of which is kept. CouchDB writes names and types of attachments into heads
 * as they are, however long and with any control characters, and asks no more of those that it gets than a colon in each line.
 */
export class UnreadHead {
  #length = 0;
  /** The first line is what follows the boundary. */
  #lines = 0;
  /** Of the line that is read, with the return at its end. */
  #lineLength = 0;
  #hasColon = false;
  #isBlank = true;
  #goesOn = false;
  #last = 0;

  /**
   * @returns what is behind it in a chunk, and whether there is no part behind the boundary; undefined where
   * the head goes on behind the chunk
   * @throws MultipartError `headers`
   */
  take(chunk: Buffer): { readonly rest: Buffer; readonly isLast: boolean } | undefined {
    for (const [at, c] of chunk.entries()) {
      const last = this.#last;
      this.#last = c;
      const isLast = ++this.#length === 2 && last === DASH && c === DASH;
      const isLineEnd = last === RETURN && c === LINE_FEED;
      if (isLast || (isLineEnd && this.#lines > 0 && this.#lineLength === 1))
        return { rest: chunk.subarray(at + 1), isLast };
      if (isLineEnd) this.#endLine();
      else this.#note(c);
    }
    if (this.#length > LIMIT) throw bad('The headers of a part are too long');
    return undefined;
  }

  #note(c: number): void {
    const isSpace = c === SPACE || c === TAB;
    // A line that begins with a space goes on with the line before it.
    if (this.#lineLength++ === 0) this.#goesOn = isSpace && this.#lines > 1;
    this.#isBlank &&= isSpace || c === RETURN;
    this.#hasColon ||= c === COLON;
  }

  #endLine(): void {
    if (this.#lines === 0 && !this.#isBlank) throw bad('A boundary is followed by other text');
    if (this.#lines > 0 && !this.#hasColon && !this.#goesOn) throw bad('bad part header');
    if (!this.#goesOn && ++this.#lines > LINE_LIMIT + 1) throw bad('A part has too many headers');
    this.#lineLength = 0;
    this.#hasColon = false;
    this.#isBlank = true;
  }
}

const bad = (message: string): MultipartError => new MultipartError('headers', message);

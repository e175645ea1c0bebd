const CR = 0x0d;
const NOTHING = Buffer.alloc(0);

/** What a chunk was found to be. */
export interface Scanned {
  /** Certainly not of the delimiter. */
  readonly data: Buffer;
  /** What has not been looked at. */
  readonly rest: Buffer;
  /** The delimiter stands between them. */
  readonly found: boolean;
}

/**
 * Looks for `CR LF -- boundary` in a stream, chunk by chunk. Nothing is copied: where a chunk ends with the beginning
 * of the delimiter, only the length of that is kept. As CR stands nowhere else in a delimiter, a beginning that comes
 * to nothing is data as a whole, and the search goes on after it.
 */
export class DelimiterSearch {
  readonly #delimiter: Buffer;
  /** How much of the delimiter the input has ended with so far. */
  #matched = 0;
  /** How much of that was never part of the data. */
  #silent = 0;

  /** @throws RangeError where the boundary is empty or more than a line */
  constructor(boundary: string) {
    if (!/^[^\r\n]+$/.test(boundary)) throw new RangeError('A boundary has to be a part of a line');
    this.#delimiter = Buffer.from(`\r\n--${boundary}`);
    this.startOfLine();
  }

  /** What comes next begins a line, so that the delimiter may do without its own line end. */
  startOfLine(): void {
    this.#matched = this.#silent = 2;
  }

  /** @param chunk the next of the input; `rest` of the answer comes before what follows it */
  scan(chunk: Buffer): Scanned {
    return this.#matched === 0 ? this.#find(chunk) : this.#continue(chunk);
  }

  #find(chunk: Buffer): Scanned {
    const at = chunk.indexOf(this.#delimiter);
    if (at >= 0) {
      return { data: chunk.subarray(0, at), rest: chunk.subarray(at + this.#delimiter.length), found: true };
    }
    this.#matched = this.#beginning(chunk);
    return { data: chunk.subarray(0, chunk.length - this.#matched), rest: NOTHING, found: false };
  }

  /** How much of the delimiter a chunk ends with, where it does not hold the whole. */
  #beginning(chunk: Buffer): number {
    const end = chunk.subarray(Math.max(0, chunk.length - this.#delimiter.length + 1));
    const cr = end.lastIndexOf(CR);
    if (cr < 0) return 0;
    const length = end.length - cr;
    return this.#delimiter.compare(end, cr, end.length, 0, length) === 0 ? length : 0;
  }

  #continue(chunk: Buffer): Scanned {
    const from = this.#matched;
    const length = Math.min(chunk.length, this.#delimiter.length - from);
    if (this.#delimiter.compare(chunk, 0, length, from, from + length) === 0) {
      const found = from + length === this.#delimiter.length;
      if (found) this.#matched = this.#silent = 0;
      else this.#matched = from + length;
      return { data: NOTHING, rest: chunk.subarray(length), found };
    }
    const data = Buffer.from(this.#delimiter.subarray(this.#silent, from));
    this.#matched = this.#silent = 0;
    return { data, rest: chunk, found: false };
  }
}

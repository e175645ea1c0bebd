import { DelimiterSearch } from './delimiter.js';
import { MultipartError } from './errors.js';
import { Input } from './input.js';
import { HEAD_LIMIT, parsePartHeaders } from './part-headers.js';
import { UnreadHead } from './unread-head.js';

/** Bytes before the first boundary. */
const PREAMBLE_LIMIT = 16_384;

const END_OF_HEAD = '\r\n\r\n';

/** One part of a multipart body. */
export interface MultipartPart {
  /** By their names in lower case; of equal names the first counts. */
  readonly headers: ReadonlyMap<string, string>;
  /**
   * The part's bytes, slices of the source's chunks, once and only until the next part is asked for; an inner
   * multipart body is read from it by a reader of its own. Who stops early skips the rest. @throws MultipartError
   */
  readonly body: AsyncIterable<Buffer>;
}

/**
 * Reads the parts of a multipart body (RFC 2046) one after the other, and holds no more of it than a chunk of its
 * source and the head of a part. A boundary has to begin a line, and lines end with CR LF, as CouchDB has it; what
 * follows `--boundary--` is not looked at. When a step fails, all later ones fail alike.
 *
 * The source's `return` is called when the reader is cancelled, or fails before the source has ended. A request would
 * then be destroyed and lose its socket before it is answered: read `request.iterator({ destroyOnReturn: false })`.
 */
export class MultipartReader implements AsyncIterable<MultipartPart> {
  readonly #input: Input;
  readonly #search: DelimiterSearch;
  /** How many parts have begun. */
  #parts = 0;
  /** A delimiter was read, and what comes next is the head of a part or the mark of the last delimiter. */
  #atDelimiter = false;
  #closed = false;
  #busy = false;
  #failure: Error | undefined;

  /** @param boundary as it stands in the Content-Type, without the dashes before it */
  constructor(source: AsyncIterable<Buffer>, boundary: string) {
    this.#input = new Input(source);
    this.#search = new DelimiterSearch(boundary);
  }

  /** The next part, after skipping what is left of the one before; undefined after the last. @throws MultipartError */
  next(): Promise<MultipartPart | undefined> {
    return this.#step(async () => {
      await this.#skip();
      const head = this.#closed ? undefined : await this.#head();
      const headers = head && parsePartHeaders(head);
      const body = this.#begin(headers !== undefined);
      return headers && body && { headers, body };
    });
  }

  /**
   * The body of the next part, for whom its head tells nothing: attachments follow a document in the order in which it
   * names them. Undefined after the last part. @throws MultipartError
   */
  nextBody(): Promise<AsyncIterable<Buffer> | undefined> {
    return this.#step(async () => {
      await this.#skip();
      return this.#begin(!this.#closed && (await this.#passHead()));
    });
  }

  /** All parts that are left, and then what follows them; leaving the loop cancels the reader. @throws MultipartError */
  async *[Symbol.asyncIterator](): AsyncGenerator<MultipartPart> {
    try {
      for (let part; (part = await this.next()) !== undefined;) yield part;
      await this.drain();
    } finally {
      await this.cancel();
    }
  }

  /** Skips the parts that are left and reads the source to its end. @throws MultipartError */
  async drain(): Promise<void> {
    while ((await this.nextBody()) !== undefined) continue;
    await this.#step(async () => {
      while ((await this.#input.take()) !== undefined) continue;
    });
  }

  /** Lets go of the source. Nothing can be read afterwards. */
  async cancel(): Promise<void> {
    this.#failure ??= new Error('The multipart body is no longer read');
    await this.#input.close();
  }

  /** Skips what is left before the next head. */
  async #skip(): Promise<void> {
    if (this.#closed) return;
    if (this.#parts === 0) await this.#skipPreamble();
    else await this.#skipBody();
  }

  /** @param isPart whether a head was read; else there are no more parts. @returns what follows it */
  #begin(isPart: boolean): AsyncIterable<Buffer> | undefined {
    this.#closed ||= !isPart;
    if (this.#closed) return undefined;
    this.#atDelimiter = false;
    // The line end of the head also serves a delimiter that follows at once.
    this.#search.startOfLine();
    return this.#body(++this.#parts);
  }

  async *#body(part: number): AsyncGenerator<Buffer> {
    for (;;) {
      // It would look like the end of a whole body.
      if (part !== this.#parts) throw new Error('The part of a multipart body was left before its end');
      const data = await this.#step(() => this.#data());
      if (data === undefined) return;
      yield data;
    }
  }

  /** Runs one step at a time: two at once would take chunks from each other. */
  async #step<T>(work: () => Promise<T>): Promise<T> {
    if (this.#failure !== undefined) throw this.#failure;
    if (this.#busy) throw new Error('A multipart body can only be read one step after the other');
    this.#busy = true;
    try {
      return await work();
    } catch (error) {
      this.#failure = error instanceof Error ? error : new Error(String(error), { cause: error });
      // What went wrong first is what counts.
      await this.cancel().catch(() => undefined);
      throw this.#failure;
    } finally {
      this.#busy = false;
    }
  }

  async #skipPreamble(): Promise<void> {
    let size = 0;
    for (let data; (data = await this.#data()) !== undefined;) {
      size += data.length;
      if (size > PREAMBLE_LIMIT) {
        throw new MultipartError('preamble', 'A multipart body does not begin with its boundary');
      }
    }
  }

  async #skipBody(): Promise<void> {
    while ((await this.#data()) !== undefined) continue;
  }

  /** Some bytes before the next delimiter; undefined when it has been read. */
  async #data(): Promise<Buffer | undefined> {
    while (!this.#atDelimiter) {
      const { data, rest, found } = this.#search.scan(await this.#take());
      this.#input.putBack(rest);
      this.#atDelimiter = found;
      if (data.length > 0) return data;
    }
    return undefined;
  }

  /** What follows a delimiter, up to an empty line; undefined where the delimiter is the last. */
  async #head(): Promise<Buffer | undefined> {
    let head: Buffer | undefined;
    for (;;) {
      const chunk = await this.#take();
      const before = head?.length ?? 0;
      const more = chunk.subarray(0, HEAD_LIMIT + END_OF_HEAD.length - before);
      head = head === undefined ? more : Buffer.concat([head, more]);
      if (head.length >= 2 && head.toString('latin1', 0, 2) === '--') {
        this.#input.putBack(chunk.subarray(2 - before));
        return undefined;
      }
      const end = head.indexOf(END_OF_HEAD, Math.max(0, before - END_OF_HEAD.length + 1));
      if (end >= 0) {
        this.#input.putBack(chunk.subarray(end + END_OF_HEAD.length - before));
        return head.subarray(0, end);
      }
      if (head.length === HEAD_LIMIT + END_OF_HEAD.length) {
        throw new MultipartError('headers', 'The headers of a part are too long');
      }
    }
  }

  /** @returns false where the delimiter is the last */
  async #passHead(): Promise<boolean> {
    const head = new UnreadHead();
    for (;;) {
      const end = head.take(await this.#take());
      if (end === undefined) continue;
      this.#input.putBack(end.rest);
      return !end.isLast;
    }
  }

  async #take(): Promise<Buffer> {
    const chunk = await this.#input.take();
    if (chunk !== undefined) return chunk;
    if (this.#parts > 0 || this.#atDelimiter) {
      throw new MultipartError('truncated', 'A multipart body ended early');
    }
    throw new MultipartError('no-boundary', 'A multipart body does not hold its boundary');
  }
}

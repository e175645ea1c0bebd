import type { IncomingMessage } from 'node:http';
import { pipeline } from 'node:stream';
import { promisify } from 'node:util';
import {
  brotliCompress,
  type BrotliCompress,
  brotliCompressSync,
  constants,
  createBrotliCompress,
  createGzip,
  gzip,
  type Gzip,
  gzipSync,
} from 'node:zlib';
import Negotiator from 'negotiator';
import type { Config } from '../config/schema.js';
import { ClientGone } from './body.js';

const gzipWhole = promisify(gzip);
const brotliWhole = promisify(brotliCompress);

type Coding = 'br' | 'gzip';

type Body = AsyncIterable<string | Buffer> | Iterable<string | Buffer>;

type Chunks = AsyncGenerator<string | Buffer, void>;

/**
 * The better one first. Measured with pages of documents and of changes: Brotli at its quality 1 makes them 12.7 and 4.4
 * times smaller for 1.1 and 2.4 µs of processor time a KiB; gzip at level 3, the cheapest for documents, 11.6 and 3.9
 * times for 2.2 and 6.8. Higher qualities cost a multiple and save a tenth.
 */
const CODINGS: readonly Coding[] = ['br', 'gzip'];

/** Compresses answers for clients that ask for it. */
export class Compression {
  #running = 0;

  /** @param config read at each use: it may change */
  constructor(private readonly config: Pick<Config, 'compression'>) {}

  /**
   * Undefined where an answer is to be sent as it is.
   * @param length its bytes, where they are known
   */
  offer(request: IncomingMessage, status: number, type: string, length = Infinity): Packing | undefined {
    const { enabled, minSize, concurrency } = this.config.compression;
    if (length < minSize || request.headers['accept-encoding'] === undefined) return undefined;
    // Errors are short. What is no JSON is multipart or an attachment, compressed already where that helps.
    if (!enabled || request.method === 'HEAD' || status >= 300 || type !== 'application/json')
      return undefined;
    if (this.#running >= concurrency) return undefined;
    const coding = codingOf(request);
    return coding === undefined ? undefined : new Packing(coding, minSize, () => this.#enter());
  }

  /** A place for one answer, to be left with the function that is returned; undefined where there is none. */
  #enter(): (() => void) | undefined {
    if (this.#running >= this.config.compression.concurrency) return undefined;
    this.#running++;
    return () => this.#running--;
  }
}

/** What a client likes best of what it takes, where that is not the plain answer. */
function codingOf(request: IncomingMessage): Coding | undefined {
  const accepted = new Negotiator(request).encodings([...CODINGS, 'identity']);
  return accepted[0] === 'identity' ? undefined : CODINGS.find((coding) => accepted.includes(coding));
}

/** One answer that is compressed, unless it turns out to be short, or too many others are just then. */
export class Packing {
  #isPacked = false;

  constructor(
    private readonly coding: Coding,
    private readonly minSize: number,
    private readonly enter: () => (() => void) | undefined,
  ) {}

  /**
   * The headers of the answer, names and values in turn, once its first chunk is there. Its ETag stays what it is: clients
   * send it back in If-Match, where CouchDB refuses a weak one, and no part of a document can be asked for.
   */
  headers(given: readonly string[]): readonly string[] {
    return this.#isPacked ? [...given, 'Content-Encoding', this.coding, 'Vary', 'Accept-Encoding'] : given;
  }

  /**
   * A body as it is sent; it is read as fast as its reader reads on.
   * @param isOver whether nobody takes it any more
   */
  async *pack(body: Body, isOver: () => boolean): AsyncGenerator<string | Buffer> {
    const chunks = gathered(chunksOf(body, isOver), Math.max(PORTION, this.minSize));
    try {
      const first = await chunks.next();
      if (first.done === true) return;
      const { bytes, isLast } = first.value;
      const leave = isLast && bytes.length < this.minSize ? undefined : this.enter();
      this.#isPacked = leave !== undefined;
      if (leave === undefined) yield* joined(bytes, chunks);
      else if (isLast) yield await compressWhole(this.coding, bytes).finally(leave);
      else yield* this.#compressed(joined(bytes, chunks), leave);
    } finally {
      await chunks.return();
    }
  }

  async *#compressed(portions: AsyncIterable<Buffer>, leave: () => void): AsyncGenerator<Buffer> {
    const compressor = createCompressor(this.coding);
    try {
      // A failure is heard of below.
      pipeline(portions, compressor, () => undefined);
      for await (const bytes of compressor as AsyncIterable<Buffer>) yield bytes;
    } finally {
      leave();
    }
  }
}

/** A part of a body that is compressed at once. */
interface Portion {
  readonly bytes: Buffer;
  readonly isLast: boolean;
}

/** Bytes of a portion, at least, unless it is the last: for each one a thread is woken. */
const PORTION = 64 * 1024;

/** @param atFirst bytes of the first portion, at least, unless it is the last */
async function* gathered(chunks: Chunks, atFirst: number): AsyncGenerator<Portion, void> {
  let enough = atFirst;
  let waiting: Buffer[] = [];
  let length = 0;
  for await (const chunk of chunks) {
    const bytes = typeof chunk === 'string' ? Buffer.from(chunk) : chunk;
    if (length >= enough) {
      yield { bytes: Buffer.concat(waiting, length), isLast: false };
      waiting = [];
      length = 0;
      enough = PORTION;
    }
    waiting.push(bytes);
    length += bytes.length;
  }
  if (length > 0) yield { bytes: Buffer.concat(waiting, length), isLast: true };
}

async function* chunksOf(body: Body, isOver: () => boolean): Chunks {
  for await (const chunk of body) {
    // What is compressed comes out late, and where nothing passes a filter never.
    if (isOver()) throw new ClientGone('the client left');
    if (chunk.length > 0) yield chunk;
  }
}

async function* joined(first: Buffer, rest: AsyncIterable<Portion>): AsyncGenerator<Buffer> {
  yield first;
  for await (const { bytes } of rest) yield bytes;
}

/** A smaller memory makes these texts no larger. */
const GZIP = { level: 3, memLevel: 7 };

const { BROTLI_PARAM_QUALITY, BROTLI_PARAM_LGWIN, BROTLI_PARAM_MODE, BROTLI_MODE_TEXT } = constants;
const BROTLI = {
  params: {
    [BROTLI_PARAM_QUALITY]: 1,
    // A window of 64 KB: a wider one takes 300 KB more and makes these texts no smaller; a narrower one, a sixth larger.
    [BROTLI_PARAM_LGWIN]: 16,
    [BROTLI_PARAM_MODE]: BROTLI_MODE_TEXT,
  },
};

const createCompressor = (coding: Coding): BrotliCompress | Gzip =>
  coding === 'gzip' ? createGzip(GZIP) : createBrotliCompress(BROTLI);

/**
 * A stream costs more than all the work on an answer that is short. One of a portion is compressed here and now: that
 * takes 0.1 ms, and to have a thread do it costs this one as much, and that one several times as much.
 */
async function compressWhole(coding: Coding, bytes: Buffer): Promise<Buffer> {
  if (bytes.length > PORTION) return coding === 'gzip' ? gzipWhole(bytes, GZIP) : brotliWhole(bytes, BROTLI);
  return coding === 'gzip' ? gzipSync(bytes, GZIP) : brotliCompressSync(bytes, BROTLI);
}

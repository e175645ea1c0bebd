import type { IncomingMessage } from 'node:http';
import type { Readable } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { badContentType, badRequest, CouchError, invalidJson } from '../errors.js';
import { decodeInTurns } from '../json/text.js';
import type { BodyShare } from './body-budget.js';

const tooLarge = (): CouchError => new CouchError(413, 'too_large', 'the request entity is too large');

/** The client went away before it had sent its whole request: there is nobody to answer. */
export class ClientGone extends Error {
  override readonly name = 'ClientGone';
}

export interface BodyOptions {
  /** The most bytes, as they are sent and as they unpack. */
  readonly limit: number;
  /** Where the memory is counted; bodies with a small limit do without. */
  readonly share?: BodyShare;
}

/** The bytes of a request's body as they were sent. @throws CouchError 413, ClientGone */
export async function readBody(request: IncomingMessage, options: BodyOptions): Promise<Buffer> {
  return Buffer.concat(await readChunks(request, options));
}

function readChunks(request: IncomingMessage, options: BodyOptions): Promise<Buffer[]> {
  if (request.destroyed) return Promise.reject(new ClientGone('the client left'));
  if (Number(request.headers['content-length'] ?? 0) > options.limit) return Promise.reject(tooLarge());
  return collect(request, options);
}

/** The chunks of a request's body without its Content-Encoding. @throws CouchError 400, 413, 415, ClientGone */
async function readDecoded(request: IncomingMessage, options: BodyOptions): Promise<Buffer[]> {
  const encoding = request.headers['content-encoding'];
  if (encoding === undefined || encoding === 'identity') return readChunks(request, options);
  if (encoding !== 'gzip') throw badContentType(`${encoding} is not a supported content encoding.`);
  if (request.destroyed) throw new ClientGone('the client left');
  return await unzip(request, options);
}

async function unzip(request: IncomingMessage, options: BodyOptions): Promise<Buffer[]> {
  const plain = createGunzip();
  const gone = (): void => {
    if (!request.readableEnded) plain.destroy();
  };
  request.on('close', gone).pipe(plain);
  try {
    return await collect(plain, options);
  } catch (error) {
    if (plain.errored) throw badRequest('Request body is not properly gzipped.');
    throw error;
  } finally {
    request.off('close', gone).unpipe(plain);
    plain.destroy();
    // What was not read is let go of, so that the client can send it and read the answer.
    request.resume();
  }
}

/** All bytes of a stream. */
function collect(stream: Readable, { limit, share }: BodyOptions): Promise<Buffer[]> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let size = 0;
    const resume = (): void => void stream.resume();
    const finish = (settle: () => void): void => {
      stream.off('data', take).off('end', end).off('error', broken).off('close', broken);
      settle();
    };
    const take = (chunk: Buffer): void => {
      size += chunk.length;
      chunks.push(chunk);
      if (size > limit) finish(() => reject(tooLarge()));
      else if (share?.take(chunk.length, resume) === false) stream.pause();
    };
    const end = (): void => finish(() => resolve(chunks));
    const broken = (error?: Error): void =>
      finish(() => reject(new ClientGone('the request was cut off', { cause: error })));
    stream.on('data', take).on('end', end).on('error', broken).on('close', broken);
  });
}

/** The text of a JSON body, not yet parsed. @throws CouchError, ClientGone */
export async function readText(request: IncomingMessage, options: BodyOptions): Promise<string> {
  const chunks = await readDecoded(request, options);
  try {
    return await decodeInTurns(chunks);
  } catch {
    throw invalidJson();
  }
}

/** Where CouchDB insists on a type; parameters behind it do not matter. @throws CouchError 415 */
export function requireContentType(header: string | undefined, type: string): void {
  if (header !== type && header?.split(';')[0] !== type) throw badContentType(`Content-Type must be ${type}`);
}

/**
 * The body as it comes. Where it is left early, the rest is thrown away as it comes: the client can send it, read the
 * answer and use the connection again.
 * @param held how much of it is held in memory at most
 * @throws ClientGone
 */
export async function* streamBody(
  request: IncomingMessage,
  share: BodyShare,
  held: number,
): AsyncGenerator<Buffer> {
  let left = held;
  try {
    for await (const chunk of request.iterator({ destroyOnReturn: false })) {
      const bytes = chunk as Buffer;
      const counted = Math.min(left, bytes.length);
      left -= counted;
      if (counted > 0) await room(request, share, counted);
      yield bytes;
    }
  } catch (error) {
    throw new ClientGone('the request was cut off', { cause: error });
  } finally {
    request.resume();
  }
}

/** Resolves when there is memory for so many bytes, or nobody to need it. */
function room(request: IncomingMessage, share: BodyShare, bytes: number): Promise<void> {
  return new Promise((resolve) => {
    const settle = (): void => {
      request.off('close', settle);
      resolve();
    };
    if (share.take(bytes, settle)) resolve();
    else request.once('close', settle);
  });
}

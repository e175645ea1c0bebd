import { once } from 'node:events';
import type { IncomingHttpHeaders, ServerResponse } from 'node:http';
import type { Readable } from 'node:stream';
import { createGunzip, type Gunzip } from 'node:zlib';
import { badContentType, badRequest, CouchError, invalidJson, requestTimeout } from '../errors.js';
import { decodeInTurns } from '../json/text.js';
import type { BodyShare } from './body-budget.js';
import type { Transfer } from './patience.js';

export const tooLarge = (): CouchError => new CouchError(413, 'too_large', 'the request entity is too large');

/** The client went away before it had sent its whole request: there is nobody to answer. */
export class ClientGone extends Error {
  override readonly name = 'ClientGone';
}

/** A body that is still to come. */
export interface Incoming {
  readonly request: Readable & { readonly headers: IncomingHttpHeaders };
  /** Whose end is the end of everything. */
  readonly response: ServerResponse;
  /** Where its memory is counted. */
  readonly share: BodyShare;
  /** Tells a client that waits for it to go on; before anything is read. */
  readonly invite: () => void;
  /** Watches over its pace. */
  readonly watch: (giveUp: () => void) => Transfer;
}

/**
 * The bytes of a body as they were sent.
 * @param limit in bytes
 * @throws CouchError 408, 413, ClientGone
 */
export async function readBody(incoming: Incoming, limit: number): Promise<Buffer> {
  return Buffer.concat(await readChunks(incoming, limit));
}

async function readChunks(incoming: Incoming, limit: number): Promise<Buffer[]> {
  open(incoming, limit);
  return collect(incoming, limit);
}

/** @throws CouchError 413 for what says that it is too large, before any of it is sent; ClientGone */
function open({ request, invite }: Incoming, limit: number): void {
  if (request.destroyed) throw new ClientGone('the client left');
  if (Number(request.headers['content-length'] ?? 0) > limit) throw tooLarge();
  invite();
}

/** All bytes, as fast as they come: bodies of JSON are many and short. */
function collect({ request, share, watch }: Incoming, limit: number): Promise<Buffer[]> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let size = 0;
    const finish = (settle: () => void): void => {
      transfer.end();
      request.off('data', take).off('end', end).off('error', broken).off('close', broken);
      settle();
    };
    const transfer = watch(() => finish(() => reject(requestTimeout())));
    const resume = (): void => {
      request.resume();
      transfer.wait();
    };
    const take = (chunk: Buffer): void => {
      transfer.moved(chunk.length);
      size += chunk.length;
      chunks.push(chunk);
      if (size > limit) finish(() => reject(tooLarge()));
      else if (share.take(chunk.length, resume)) transfer.wait();
      else request.pause();
    };
    const end = (): void => finish(() => resolve(chunks));
    const broken = (error?: Error): void => finish(() => reject(cutOff(error)));
    request.on('data', take).on('end', end).on('error', broken).on('close', broken);
    transfer.wait();
  });
}

const cutOff = (cause: unknown): ClientGone => new ClientGone('the request was cut off', { cause });

/**
 * The text of a JSON body, not yet parsed, without its Content-Encoding.
 * @param limit in bytes, as they are sent and as they unpack
 * @throws CouchError 400, 408, 413, 415, ClientGone
 */
export async function readText(incoming: Incoming, limit: number): Promise<string> {
  const encoding = incoming.request.headers['content-encoding'];
  const plain = encoding === undefined || encoding === 'identity';
  if (!plain && encoding !== 'gzip') {
    throw badContentType(`${encoding} is not a supported content encoding.`);
  }
  const chunks = await (plain ? readChunks(incoming, limit) : unzip(incoming, limit));
  try {
    return await decodeInTurns(chunks);
  } catch {
    throw invalidJson();
  }
}

async function unzip(incoming: Incoming, limit: number): Promise<Buffer[]> {
  open(incoming, limit);
  const gunzip = createGunzip();
  const unpacked = unpack(gunzip, incoming, limit);
  const sent = sendTo(gunzip, incoming, limit);
  try {
    const [chunks, bytes] = await Promise.all([unpacked, sent]);
    // Something else follows what was packed.
    if (gunzip.bytesWritten !== bytes) throw notGzip();
    return chunks;
  } finally {
    gunzip.destroy();
    await Promise.allSettled([unpacked, sent]);
  }
}

const notGzip = (): CouchError => badRequest('Request body is not properly gzipped.');

/** @returns how many bytes it was given */
async function sendTo(gunzip: Gunzip, incoming: Incoming, limit: number): Promise<number> {
  let size = 0;
  try {
    for await (const chunk of streamBody(incoming)) {
      size += chunk.length;
      if (size > limit) throw tooLarge();
      // It failed, or has found its end: that is known to who unpacks.
      if (gunzip.destroyed || gunzip.readableEnded) continue;
      if (!gunzip.write(chunk)) await once(gunzip, 'drain').catch(() => undefined);
    }
  } catch (error) {
    gunzip.destroy();
    throw error;
  }
  gunzip.end();
  return size;
}

/** @throws CouchError 400, 413, Error where `sendTo` gave up */
async function unpack(gunzip: Gunzip, { response, share }: Incoming, limit: number): Promise<Buffer[]> {
  const chunks: Buffer[] = [];
  let size = 0;
  try {
    for await (const chunk of gunzip as Readable & AsyncIterable<Buffer>) {
      size += chunk.length;
      if (size > limit) throw tooLarge();
      chunks.push(chunk);
      await room(response, share, chunk.length);
    }
  } catch (error) {
    throw gunzip.errored === null || error instanceof CouchError ? error : notGzip();
  }
  return chunks;
}

/** Where CouchDB insists on a type; parameters behind it do not matter. @throws CouchError 415 */
export function requireContentType(header: string | undefined, type: string): void {
  if (header !== type && header?.split(';')[0] !== type) throw badContentType(`Content-Type must be ${type}`);
}

/**
 * The body as it comes. Where it is left early, the rest is thrown away as it comes: the client can send it, read the
 * answer and use the connection again.
 * @throws CouchError 408, ClientGone
 */
export async function* streamBody({ request, invite, watch }: Incoming): AsyncGenerator<Buffer> {
  if (request.destroyed) throw new ClientGone('the client left');
  invite();
  const chunks = request.iterator({ destroyOnReturn: false });
  const client: { late: boolean; giveUp?: () => void } = { late: false };
  const transfer = watch(() => {
    client.late = true;
    client.giveUp?.();
  });
  const next = (): Promise<IteratorResult<Buffer, unknown>> =>
    new Promise((resolve, reject) => {
      client.giveUp = () => reject(requestTimeout());
      (chunks.next() as Promise<IteratorResult<Buffer, unknown>>).then(resolve, (error: unknown) =>
        reject(cutOff(error)),
      );
    });
  try {
    for (;;) {
      transfer.wait();
      const { done, value } = await next();
      if (done === true) return;
      transfer.moved(value.length);
      yield value;
    }
  } finally {
    transfer.end();
    // While it still waits for bytes it would wait for them here.
    if (!client.late) await chunks.return?.();
    request.resume();
  }
}

/** Resolves when there is memory for so many bytes, or nobody to need it. */
export function room(response: ServerResponse, share: BodyShare, bytes: number): Promise<void> {
  return new Promise((resolve) => {
    const settle = (): void => {
      response.off('close', settle);
      resolve();
    };
    if (response.destroyed || share.take(bytes, settle)) resolve();
    else response.once('close', settle);
  });
}

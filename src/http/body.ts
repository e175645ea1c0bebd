import type { IncomingMessage } from 'node:http';
import { promisify } from 'node:util';
import { gunzip } from 'node:zlib';
import { badContentType, badRequest, CouchError, invalidJson } from '../errors.js';
import { decodeBody } from '../json/text.js';

const unzip = promisify(gunzip);

const tooLarge = (): CouchError => new CouchError(413, 'too_large', 'the request entity is too large');

/** The client went away before it had sent its whole request: there is nobody to answer. */
export class ClientGone extends Error {
  override readonly name = 'ClientGone';
}

/** The bytes of a request's body as they were sent. @throws CouchError 413 where there are more than `limit` */
export function readBody(request: IncomingMessage, limit: number): Promise<Buffer> {
  if (request.destroyed) return Promise.reject(new ClientGone('the client left'));
  if (Number(request.headers['content-length'] ?? 0) > limit) return Promise.reject(tooLarge());
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let size = 0;
    const finish = (settle: () => void): void => {
      request.off('data', take).off('end', end).off('error', broken).off('close', broken);
      settle();
    };
    const take = (chunk: Buffer): void => {
      size += chunk.length;
      chunks.push(chunk);
      if (size > limit) finish(() => reject(tooLarge()));
    };
    const end = (): void =>
      finish(() =>
        resolve(chunks.length === 1 && chunks[0] !== undefined ? chunks[0] : Buffer.concat(chunks)),
      );
    const broken = (): void => finish(() => reject(new ClientGone('the request was cut off')));
    request.on('data', take).on('end', end).on('error', broken).on('close', broken);
  });
}

/** A body without its Content-Encoding. @throws CouchError */
export async function decompress(body: Buffer, encoding: string | undefined, limit: number): Promise<Buffer> {
  if (encoding === undefined || encoding === 'identity') return body;
  if (encoding !== 'gzip') throw badContentType(`${encoding} is not a supported content encoding.`);
  try {
    return await unzip(body, { maxOutputLength: limit });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE') throw tooLarge();
    throw badRequest('Request body is not properly gzipped.');
  }
}

/** The text of a JSON body, not yet parsed. @throws CouchError */
export async function readText(request: IncomingMessage, limit: number): Promise<string> {
  const sent = await readBody(request, limit);
  const encoding = request.headers['content-encoding'];
  const body = encoding === undefined ? sent : await decompress(sent, encoding, limit);
  try {
    return decodeBody(body);
  } catch {
    throw invalidJson();
  }
}

/** Where CouchDB insists on a type; parameters behind it do not matter. @throws CouchError 415 */
export function requireContentType(header: string | undefined, type: string): void {
  if (header !== type && header?.split(';')[0] !== type) throw badContentType(`Content-Type must be ${type}`);
}

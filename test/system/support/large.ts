import { createHash } from 'node:crypto';
import { once } from 'node:events';
import http from 'node:http';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { settledMemory } from './memory.js';
import { MemoryWatch } from './proc.js';
import type { Restartable } from './restartable.js';

export const MiB = 1024 * 1024;
export const PIECE = 64 * 1024;

/** Bytes that differ from piece to piece, and need no memory. @param seed tells contents of equal length apart */
export function* content(length: number, seed = 0): Generator<Buffer> {
  for (let at = 0; at < length; at += PIECE)
    yield pieceAt(at, seed).subarray(0, Math.min(PIECE, length - at));
}

export function pieceAt(at: number, seed = 0): Buffer {
  const piece = Buffer.alloc(PIECE);
  for (let word = 0; word < PIECE; word += 4)
    piece.writeUInt32LE((Math.imul(at + word + seed, 2_654_435_761) ^ at) >>> 0, word);
  return piece;
}

export function digestOf(pieces: Iterable<Buffer>): string {
  const md5 = createHash('md5');
  for (const piece of pieces) md5.update(piece);
  return md5.digest('base64');
}

export interface LargeAnswer {
  readonly status: number;
  readonly headers: http.IncomingHttpHeaders;
  readonly length: number;
  /** Of all that came. */
  readonly digest: string;
  /** Only the beginning of long ones. */
  readonly text: string;
}

/** Sends and takes bodies of any size, of which nothing is kept but a digest; of small ones their text. */
export async function largeRequest(
  server: Restartable,
  method: string,
  path: string,
  headers: http.OutgoingHttpHeaders = {},
  source: Iterable<Buffer> = [],
): Promise<LargeAnswer> {
  const sent = http.request(server.url + path, {
    method,
    headers: { authorization: server.authorization, ...headers },
    agent: false,
  });
  const answered = once(sent, 'response') as Promise<[http.IncomingMessage]>;
  const [[response]] = await Promise.all([answered, pipeline(Readable.from(source), sent)]);
  const md5 = createHash('md5');
  let length = 0;
  let text = '';
  for await (const chunk of response as AsyncIterable<Buffer>) {
    md5.update(chunk);
    length += chunk.length;
    if (length < PIECE) text += chunk.toString();
  }
  return {
    status: response.statusCode ?? 0,
    headers: response.headers,
    length,
    digest: md5.digest('base64'),
    text,
  };
}

/** A document with attachments of one length that follow it, as a body and its headers. */
export function related(
  count: number,
  length: number,
): { readonly headers: http.OutgoingHttpHeaders; readonly body: () => Generator<Buffer> } {
  const names = Array.from({ length: count }, (_, at) => `f${String(at)}`);
  const attachments = Object.fromEntries(names.map((name) => [name, { follows: true, length }]));
  const json = JSON.stringify({ _attachments: attachments });
  const head = Buffer.from(`--B\r\nContent-Type: application/json\r\n\r\n${json}`);
  const before = Buffer.from('\r\n--B\r\n\r\n');
  const end = Buffer.from('\r\n--B--');
  return {
    headers: {
      'content-type': 'multipart/related; boundary=B',
      'content-length': head.length + count * (before.length + length) + end.length,
    },
    *body() {
      yield head;
      for (const at of names.keys()) {
        yield before;
        yield* content(length, at);
      }
      yield end;
    },
  };
}

/** A batch of documents, each with an attachment of one length in its JSON. */
export function inlineDocuments(count: number, length: number): Buffer {
  const docs = Array.from({ length: count }, (_, at) => {
    const data = Buffer.concat([...content(length, at)]).toString('base64');
    return `{"_id":"inline${String(at)}","_attachments":{"f":{"data":"${data}"}}}`;
  });
  return Buffer.from(`{"docs":[${docs.join()}]}`);
}

/** Does work, and says how much more memory than before the server had at most. */
export async function peakOf(server: Restartable, work: () => Promise<void>): Promise<number> {
  const idle = await settledMemory(server.pid);
  const watch = new MemoryWatch(server.pid);
  await work();
  return (await watch.stop()) - idle;
}

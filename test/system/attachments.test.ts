import { createHash } from 'node:crypto';
import { once } from 'node:events';
import http from 'node:http';
import net from 'node:net';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { settledMemory } from './support/memory.js';
import { MemoryWatch, megabytes } from './support/proc.js';
import { Restartable } from './support/restartable.js';

const MiB = 1024 * 1024;
const PIECE = 64 * 1024;

/** What a server may need more than when it is idle, whatever the size of what passes through it. */
const BOUND = 120e6;

let gateway: Restartable;
beforeAll(async () => {
  gateway = await Restartable.start();
  await gateway.couch.put('/db');
});
afterAll(() => gateway.remove());

/** Bytes that differ from piece to piece, and need no memory. */
function* content(length: number): Generator<Buffer> {
  for (let at = 0; at < length; at += PIECE) yield pieceAt(at).subarray(0, Math.min(PIECE, length - at));
}

function pieceAt(at: number): Buffer {
  const piece = Buffer.alloc(PIECE);
  for (let word = 0; word < PIECE; word += 4)
    piece.writeUInt32LE((Math.imul(at + word, 2_654_435_761) ^ at) >>> 0, word);
  return piece;
}

interface Answer {
  readonly status: number;
  readonly headers: http.IncomingHttpHeaders;
  readonly length: number;
  readonly digest: string;
  readonly text: string;
}

/** Sends and takes bodies of any size, of which nothing is kept but a digest; of small ones their text. */
async function request(
  method: string,
  path: string,
  headers: http.OutgoingHttpHeaders = {},
  source: Iterable<Buffer> = [],
): Promise<Answer> {
  const sent = http.request(gateway.url + path, {
    method,
    headers: { authorization: gateway.authorization, ...headers },
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

function digestOf(pieces: Iterable<Buffer>): string {
  const md5 = createHash('md5');
  for (const piece of pieces) md5.update(piece);
  return md5.digest('base64');
}

/** Does work, and says how much more memory than before the program had at most. */
async function peakOf(work: () => Promise<void>): Promise<number> {
  const idle = await settledMemory(gateway.pid);
  const watch = new MemoryWatch(gateway.pid);
  await work();
  return (await watch.stop()) - idle;
}

describe('an attachment of 64 MiB', () => {
  const LENGTH = 64 * MiB;
  const DIGEST = digestOf(content(LENGTH));

  async function up(path: string, type: string, headers: http.OutgoingHttpHeaders): Promise<void> {
    const peak = await peakOf(async () => {
      const answer = await request('PUT', path, { 'content-type': type, ...headers }, content(LENGTH));
      expect(answer.status, answer.text).toBe(201);
    });
    expect(peak, megabytes(peak)).toBeLessThan(BOUND);
  }

  test('comes in in little memory, however it is sent', async () => {
    await up('/db/doc/f', 'application/octet-stream', { 'content-length': LENGTH });
    await up('/db/chunked/f', 'application/octet-stream', { 'transfer-encoding': 'chunked' });
    await up('/db/text/f', 'text/plain', { 'content-length': LENGTH });
    const json = JSON.stringify({ _attachments: { f: { follows: true, length: LENGTH } } });
    const head = Buffer.from(`--B\r\nContent-Type: application/json\r\n\r\n${json}\r\n--B\r\n\r\n`);
    const end = Buffer.from('\r\n--B--');
    function* related(): Generator<Buffer> {
      yield head;
      yield* content(LENGTH);
      yield end;
    }
    const peak = await peakOf(async () => {
      const headers = {
        'content-type': 'multipart/related; boundary=B',
        'content-length': head.length + LENGTH + end.length,
      };
      expect((await request('PUT', '/db/related', headers, related())).status).toBe(201);
    });
    expect(peak, megabytes(peak)).toBeLessThan(BOUND);
  });

  test('goes out in little memory, in all forms', async () => {
    const peak = await peakOf(async () => {
      for (const doc of ['doc', 'text']) {
        const whole = await request('GET', `/db/${doc}/f`);
        expect(whole).toMatchObject({ status: 200, length: LENGTH, digest: DIGEST });
      }
      const accept = { accept: 'multipart/related' };
      const related = await request('GET', '/db/doc?attachments=true', accept);
      expect(related.headers['content-length']).toBe(String(related.length));
      expect(related.length).toBeGreaterThan(LENGTH);
      const json = await request('GET', '/db/doc?attachments=true', { accept: 'application/json' });
      expect(json.length).toBeGreaterThan((LENGTH / 3) * 4);
    });
    expect(peak, megabytes(peak)).toBeLessThan(BOUND);
  });

  test('can be read in parts', async () => {
    const peak = await peakOf(async () => {
      const middle = await request('GET', '/db/doc/f', { range: `bytes=${20 * PIECE}-${24 * PIECE - 1}` });
      expect(middle).toMatchObject({
        status: 206,
        length: 4 * PIECE,
        digest: digestOf([20, 21, 22, 23].map((at) => pieceAt(at * PIECE))),
      });
      const most = await request('GET', '/db/doc/f', { range: 'bytes=1-' });
      expect(most).toMatchObject({ status: 206, length: LENGTH - 1 });
      const end = await request('GET', '/db/doc/f', { range: 'bytes=-10' });
      expect(end).toMatchObject({
        status: 206,
        length: 10,
        digest: digestOf([pieceAt(LENGTH - PIECE).subarray(-10)]),
      });
    });
    expect(peak, megabytes(peak)).toBeLessThan(BOUND);
  });

  test('is there after a restart', async () => {
    await gateway.restart();
    expect(await request('GET', '/db/related/f')).toMatchObject({ status: 200, digest: DIGEST });
  });
});

describe('many at once', () => {
  test('slow readers hold little of what they read', async () => {
    const length = 4 * MiB;
    const put = await request('PUT', '/db/slow/f', { 'content-length': length }, content(length));
    expect(put.status).toBe(201);
    const sockets: net.Socket[] = [];
    const peak = await peakOf(async () => {
      const head = `GET /db/slow/f HTTP/1.1\r\nHost: x\r\nAuthorization: ${gateway.authorization}\r\n\r\n`;
      for (let at = 0; at < 30; at += 1) {
        const socket = net.connect(gateway.port, '127.0.0.1');
        sockets.push(socket);
        socket.write(head);
        // The answer has begun; they take no more of it.
        await once(socket, 'readable');
      }
      await settledMemory(gateway.pid);
    });
    for (const socket of sockets) socket.destroy();
    expect(peak, megabytes(peak)).toBeLessThan(60e6);
    expect((await request('GET', '/db/slow/f')).digest).toBe(digestOf(content(length)));
  });
});

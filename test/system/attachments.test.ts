import { once } from 'node:events';
import type http from 'node:http';
import net from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  content,
  digestOf,
  type LargeAnswer,
  largeRequest,
  MiB,
  peakOf,
  PIECE,
  pieceAt,
  related,
} from './support/large.js';
import { settledMemory } from './support/memory.js';
import { megabytes } from './support/proc.js';
import { Restartable } from './support/restartable.js';

/** What a server may need more than when it is idle, whatever the size of what passes through it. */
const BOUND = 120e6;

let gateway: Restartable;
beforeAll(async () => {
  gateway = await Restartable.start();
  await gateway.couch.put('/db');
});
afterAll(() => gateway.remove());

const request = (
  method: string,
  path: string,
  headers?: http.OutgoingHttpHeaders,
  source?: Iterable<Buffer>,
): Promise<LargeAnswer> => largeRequest(gateway, method, path, headers, source);

describe('an attachment of 64 MiB', () => {
  const LENGTH = 64 * MiB;
  const DIGEST = digestOf(content(LENGTH));

  async function up(path: string, type: string, headers: http.OutgoingHttpHeaders): Promise<void> {
    const peak = await peakOf(gateway, async () => {
      const answer = await request('PUT', path, { 'content-type': type, ...headers }, content(LENGTH));
      expect(answer.status, answer.text).toBe(201);
    });
    expect(peak, megabytes(peak)).toBeLessThan(BOUND);
  }

  test('comes in in little memory, however it is sent', async () => {
    await up('/db/doc/f', 'application/octet-stream', { 'content-length': LENGTH });
    await up('/db/chunked/f', 'application/octet-stream', { 'transfer-encoding': 'chunked' });
    await up('/db/text/f', 'text/plain', { 'content-length': LENGTH });
    const peak = await peakOf(gateway, async () => {
      const { headers, body } = related(1, LENGTH);
      expect((await request('PUT', '/db/related', headers, body())).status).toBe(201);
    });
    expect(peak, megabytes(peak)).toBeLessThan(BOUND);
  });

  test('goes out in little memory, in all forms', async () => {
    const peak = await peakOf(gateway, async () => {
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
    const peak = await peakOf(gateway, async () => {
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
    expect(await request('GET', '/db/related/f0')).toMatchObject({ status: 200, digest: DIGEST });
  });
});

describe('many at once', () => {
  test('come in and go out in little memory', async () => {
    const [count, length] = [120, 3 * MiB];
    const peak = await peakOf(gateway, async () => {
      const { headers, body } = related(count, length);
      expect((await request('PUT', '/db/many', headers, body())).status).toBe(201);
      const mixed = await request('GET', '/db/many?open_revs=all', { accept: 'multipart/mixed' });
      expect(mixed.length).toBeGreaterThan(count * length);
      const wanted = Buffer.from('{"docs":[{"id":"many"}]}');
      const json = { 'content-type': 'application/json', accept: 'application/json' };
      const got = await request('POST', '/db/_bulk_get?attachments=true', json, [wanted]);
      expect(got.length).toBeGreaterThan((count * length * 4) / 3);
    });
    // As much as for a few of them: garbage, and what LevelDB has yet to write. All at once are 377 MB, and more with copies.
    expect(peak, megabytes(peak)).toBeLessThan(250e6);
    for (const at of [0, 1, count - 1]) {
      const one = await request('GET', `/db/many/f${String(at)}`);
      expect(one.digest).toBe(digestOf(content(length, at)));
    }
  });

  test('slow readers hold little of what they read', async () => {
    const length = 4 * MiB;
    const put = await request('PUT', '/db/slow/f', { 'content-length': length }, content(length));
    expect(put.status).toBe(201);
    const sockets: net.Socket[] = [];
    const peak = await peakOf(gateway, async () => {
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

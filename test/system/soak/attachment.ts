import assert from 'node:assert/strict';
import { content, digestOf, inlineDocuments, largeRequest, MiB, peakOf, related } from '../support/large.js';
import { Restartable } from '../support/restartable.js';
import type { SoakContext } from './context.js';

const LENGTH = 1024 * MiB;
const DIGEST = digestOf(content(LENGTH));

/** What the server may need more than when it is idle. */
const BOUND = 200e6;

const JSON_ONLY = { 'content-type': 'application/json', accept: 'application/json' };
const BINARY = { 'content-type': 'application/octet-stream' };

/** One attachment of 1 GiB up, down and by range, and many smaller ones in one request, in memory that knows none of it. */
export async function attachment(context: SoakContext): Promise<boolean> {
  await context.needDisk(12e9);
  const server = await Restartable.start();
  try {
    const { status } = await server.couch.request('PUT', '/db');
    assert.equal(status, 201);
    for (const [what, bytes, work] of steps(server)) await measure(context, server, what, bytes, work);
    return true;
  } finally {
    await server.remove();
  }
}

type Step = readonly [what: string, bytes: number, work: () => Promise<void>];

function steps(server: Restartable): readonly Step[] {
  return [...oneLarge(server), ...manySmall(server)];
}

async function measure(
  context: SoakContext,
  server: Restartable,
  what: string,
  bytes: number,
  work: () => Promise<void>,
): Promise<void> {
  let seconds = 0;
  const peak = await peakOf(server, async () => {
    const started = performance.now();
    await work();
    seconds = (performance.now() - started) / 1000;
  });
  await context.record({
    what,
    seconds: Math.round(seconds * 10) / 10,
    megabytesPerSecond: Math.round(bytes / 1e6 / seconds),
    peakMegabytes: Math.round(peak / 1e6),
  });
  assert(peak < BOUND, `${what} needs ${String(peak)} bytes`);
}

function oneLarge(server: Restartable): readonly Step[] {
  const down = async (path: string, headers: Record<string, string>, length: number): Promise<void> => {
    const answer = await largeRequest(server, 'GET', path, headers);
    assert.equal(answer.length, length);
    if (length === LENGTH) assert.equal(answer.digest, DIGEST);
  };
  return [
    [
      'standalone up',
      LENGTH,
      async () => {
        const headers = { ...BINARY, 'content-length': LENGTH };
        const put = await largeRequest(server, 'PUT', '/db/one/f0', headers, content(LENGTH));
        assert.equal(put.status, 201, put.text);
      },
    ],
    [
      'standalone up, without a length',
      LENGTH,
      async () => {
        const headers = { ...BINARY, 'transfer-encoding': 'chunked' };
        const put = await largeRequest(server, 'PUT', '/db/chunked/f0', headers, content(LENGTH));
        assert.equal(put.status, 201, put.text);
      },
    ],
    [
      'multipart/related up',
      LENGTH,
      async () => {
        const { headers, body } = related(1, LENGTH);
        const put = await largeRequest(server, 'PUT', '/db/related', headers, body());
        assert.equal(put.status, 201, put.text);
      },
    ],
    ['standalone down', LENGTH, () => down('/db/one/f0', {}, LENGTH)],
    [
      'multipart/related down',
      LENGTH,
      () => downMore(server, '/db/related?attachments=true', 'multipart/related', LENGTH),
    ],
    ['by range, all but a byte', LENGTH - 1, () => down('/db/one/f0', { range: 'bytes=1-' }, LENGTH - 1)],
    [
      'by 1000 ranges of 1000 bytes',
      1e6,
      async () => {
        for (let at = 0; at < 1000; at += 1) {
          const first = at * 1_000_003;
          await down('/db/one/f0', { range: `bytes=${String(first)}-${String(first + 999)}` }, 1000);
        }
      },
    ],
  ];
}

function manySmall(server: Restartable): readonly Step[] {
  const [count, length] = [200, 3 * MiB];
  return [
    [
      '200 of 3 MiB up, multipart/related',
      count * length,
      async () => {
        const { headers, body } = related(count, length);
        const put = await largeRequest(server, 'PUT', '/db/many', headers, body());
        assert.equal(put.status, 201, put.text);
      },
    ],
    [
      '200 of 3 MiB down, open_revs',
      count * length,
      () => downMore(server, '/db/many?open_revs=all', 'multipart/mixed', count * length),
    ],
    [
      '200 of 3 MiB down, _bulk_get',
      (count * length * 4) / 3,
      async () => {
        const body = Buffer.from('{"docs":[{"id":"many"}]}');
        const answer = await largeRequest(server, 'POST', '/db/_bulk_get?attachments=true', JSON_ONLY, [
          body,
        ]);
        assert(answer.length > (count * length * 4) / 3);
      },
    ],
    [
      '16 of 2.9 MB up in a batch, inline',
      16 * 2_900_000,
      async () => {
        const batch = inlineDocuments(16, 2_900_000);
        const headers = { ...JSON_ONLY, 'content-length': batch.length };
        const post = await largeRequest(server, 'POST', '/db/_bulk_docs', headers, [batch]);
        assert.equal(post.status, 201, post.text);
      },
    ],
  ];
}

/** An answer that holds more than so many bytes. */
async function downMore(server: Restartable, path: string, accept: string, bytes: number): Promise<void> {
  const answer = await largeRequest(server, 'GET', path, { accept });
  assert.equal(answer.status, 200);
  assert(answer.length > bytes);
}

import { once } from 'node:events';
import http from 'node:http';
import net, { type AddressInfo } from 'node:net';
import { Readable } from 'node:stream';
import { createGunzip, gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { expect, test, vi } from 'vitest';
import { MultipartError } from '../../src/multipart/errors.js';
import { bulkGetBody, bulkGetDocument, openRevsBody } from '../../src/http/mixed.js';
import { parseMultipartType } from '../../src/multipart/parameters.js';
import { MultipartReader, type MultipartPart } from '../../src/multipart/reader.js';
import {
  documentEntity,
  errorEntity,
  jsonEntity,
  type Chunk,
  type Entity,
  type FollowingAttachment,
} from '../../src/multipart/writer.js';

// ---- sources and what is read from them -----------------------------------------------------------------------

/** Tells what a reader does with it. */
class Source implements AsyncIterable<Buffer> {
  pulled = 0;
  returned = 0;
  ended = false;
  readonly #chunks: Iterator<Buffer>;

  constructor(chunks: Iterable<Buffer>) {
    this.#chunks = chunks[Symbol.iterator]();
  }

  [Symbol.asyncIterator](): AsyncIterator<Buffer> {
    return {
      next: async () => {
        // A source that takes its time.
        await new Promise(setImmediate);
        const next = this.#chunks.next();
        if (next.done === true) this.ended = true;
        else this.pulled += 1;
        return next;
      },
      return: () => {
        this.returned += 1;
        return Promise.resolve({ done: true, value: undefined });
      },
    };
  }
}

/** Bytes in chunks that end at the given places; where one is given twice, a chunk is empty. */
function* cut(bytes: Buffer, places: readonly number[]): Generator<Buffer> {
  let from = 0;
  for (const to of [...places].sort((a, b) => a - b)) {
    yield bytes.subarray(from, to);
    from = to;
  }
  yield bytes.subarray(from);
}

// eslint-disable-next-line @typescript-eslint/require-await -- a source
async function* source(chunks: Iterable<Buffer>): AsyncGenerator<Buffer> {
  yield* chunks;
}

async function all(chunks: AsyncIterable<Chunk> | Iterable<Chunk>): Promise<Buffer> {
  const found: Buffer[] = [];
  for await (const chunk of chunks) found.push(Buffer.from(chunk));
  return Buffer.concat(found);
}

interface Read {
  headers: Record<string, string>;
  body: string;
}

/** A form in which bytes can be compared and shown. */
const shown = (bytes: Uint8Array): string => Buffer.from(bytes).toString('latin1');

interface Outcome {
  parts: Read[];
  /** What was read of a part that broke off. */
  broken?: string | undefined;
  error?: unknown;
}

/** Reads as far as it goes. */
async function outcome(chunks: AsyncIterable<Buffer>, boundary: string): Promise<Outcome> {
  const reader = new MultipartReader(chunks, boundary);
  const parts: Read[] = [];
  let broken: string | undefined;
  try {
    for (let part; (part = await reader.next()) !== undefined; broken = undefined) {
      broken = '';
      for await (const chunk of part.body) broken += shown(chunk);
      parts.push({ headers: Object.fromEntries(part.headers), body: broken });
    }
    return { parts };
  } catch (error) {
    return { parts, broken, error: error instanceof MultipartError ? error.code : error };
  }
}

const read = (text: string, boundary = 'b0', places: readonly number[] = []): Promise<Outcome> =>
  outcome(source(cut(Buffer.from(text, 'latin1'), places)), boundary);

async function firstPart(reader: MultipartReader): Promise<MultipartPart> {
  const part = await reader.next();
  if (part === undefined) throw new Error('there is a part');
  return part;
}

// ---- any bytes ------------------------------------------------------------------------------------------------

const BOUNDARIES = ['b0', 'b', '-', '--', '--0f3a', '-b-', "b0'()+_,-./:=? b", 'x'.repeat(70)];

/** Bytes that look like the delimiters of some boundaries, and hold none. */
function lookalike(boundaries: readonly string[]): fc.Arbitrary<Buffer> {
  const delimiters = boundaries.map((boundary) => `\r\n--${boundary}`);
  const likeOne = fc
    .tuple(fc.constantFrom(...delimiters), fc.nat(80), fc.nat(80))
    .map(([delimiter, from, to]) => delimiter.slice(from % 3, to % (delimiter.length + 1)));
  const piece = fc.oneof(
    likeOne,
    fc.uint8Array({ maxLength: 20 }).map(shown),
    fc.constantFrom('\r', '\n', '\r\n', '-', '--', '\r\n--', '\r\n-', '\r\r\n--', ...boundaries),
  );
  return fc
    .array(piece, { maxLength: 12 })
    .map((pieces) => pieces.join(''))
    .filter((text) => !delimiters.some((delimiter) => `\r\n${text}`.includes(delimiter)))
    .map((text) => Buffer.from(text, 'latin1'));
}

interface Message {
  boundary: string;
  document: string;
  attachments: { name: string; body: Buffer }[];
}

/** @param outer the boundary of what the messages stand in */
const messages = (...outer: string[]): fc.Arbitrary<Message> =>
  fc.constantFrom(...BOUNDARIES).chain((boundary) => {
    const body = lookalike([boundary, ...outer]);
    const attachment = fc.record({ name: fc.string({ unit: 'grapheme' }), body });
    return fc.record({
      boundary: fc.constant(boundary),
      document: fc.json(),
      attachments: fc.array(attachment, { minLength: 1, maxLength: 5 }),
    });
  });

const message = messages();

const followingOf = ({ attachments }: Message): FollowingAttachment[] =>
  attachments.map(({ name, body }) => ({
    name,
    type: 'application/octet-stream',
    length: body.length,
    body: () => source([body]),
  }));

const entityOf = (sent: Message): Entity => documentEntity(sent.document, followingOf(sent), sent.boundary);

const bodiesOf = ({ document, attachments }: Message): string[] => [
  shown(Buffer.from(document)),
  ...attachments.map(({ body }) => shown(body)),
];

/** Places where a message is cut, of which some lie close together. */
const places = fc
  .array(fc.tuple(fc.nat(2000), fc.nat(6)), { maxLength: 20 })
  .map((pairs) => pairs.flatMap(([at, near]) => [at, at + near]));

const within = (bytes: Buffer, at: readonly number[]): number[] =>
  at.map((place) => place % (bytes.length + 1));

test('what was written is read, however it is cut', async () => {
  await fc.assert(
    fc.asyncProperty(message, places, async (sent, at) => {
      const bytes = await all(entityOf(sent).chunks());
      const { parts, error } = await outcome(source(cut(bytes, within(bytes, at))), sent.boundary);
      expect(error).toBeUndefined();
      expect(parts.map((part) => part.body)).toEqual(bodiesOf(sent));
      expect(parts.slice(1).map(({ headers }) => headers['content-length'])).toEqual(
        sent.attachments.map(({ body }) => String(body.length)),
      );
    }),
    { numRuns: 1000 },
  );
});

test('what was written is read when it is cut at any byte, or at every one', async () => {
  await fc.assert(
    fc.asyncProperty(message, async (sent) => {
      const bytes = await all(entityOf(sent).chunks());
      const every = Array.from(bytes, (_, at) => at);
      for (const at of [every, ...every.map((place) => [place])]) {
        const { parts } = await outcome(source(cut(bytes, at)), sent.boundary);
        expect(parts.map((part) => part.body)).toEqual(bodiesOf(sent));
      }
    }),
    { numRuns: 20 },
  );
});

test('what ends early is said to, and no part is taken for whole that is not', async () => {
  await fc.assert(
    fc.asyncProperty(message, async (sent) => {
      const bytes = await all(entityOf(sent).chunks());
      const bodies = bodiesOf(sent);
      const first = `--${sent.boundary}`.length;
      for (let end = 0; end < bytes.length; end++) {
        const { parts, broken = '', error } = await outcome(source([bytes.subarray(0, end)]), sent.boundary);
        expect(error).toBe(end < first ? 'no-boundary' : 'truncated');
        expect(parts.map((part) => part.body)).toEqual(bodies.slice(0, parts.length));
        expect((bodies[parts.length] ?? '').startsWith(broken)).toBe(true);
      }
    }),
    { numRuns: 20 },
  );
});

test('bytes of any kind are read alike however they are cut, and end', async () => {
  const piece = fc.oneof(
    fc.uint8Array({ maxLength: 8 }).map(shown),
    fc.constantFrom('--b', '\r\n--b', '\r\n', '\r\n\r\n', ' ', '--', '-', 'a: b', ':', '\r\n x'),
  );
  const any = fc.array(piece, { maxLength: 25 }).map((pieces) => pieces.join(''));
  await fc.assert(
    fc.asyncProperty(any, places, async (text, at) => {
      const bytes = Buffer.from(`--b\r\n${text}`, 'latin1');
      const whole = await outcome(source([bytes]), 'b');
      expect(await outcome(source(cut(bytes, within(bytes, at))), 'b')).toEqual(whole);
      expect(
        await outcome(
          source(
            cut(
              bytes,
              Array.from(bytes, (_, n) => n),
            ),
          ),
          'b',
        ),
      ).toEqual(whole);
    }),
    { numRuns: 1000 },
  );
});

// ---- the form -------------------------------------------------------------------------------------------------

const body = async (text: string): Promise<unknown> => {
  const { parts, error } = await read(text);
  return error ?? parts.map((part) => part.body);
};

test.each([
  ['a preamble and an epilogue', 'hello\r\n--b0\r\n\r\na\r\n--b0--epilogue', ['a']],
  ['a line end before the first boundary', '\r\n--b0\r\n\r\na\r\n--b0--\r\n', ['a']],
  ['a boundary within a line is data', '--b0\r\n\r\na--b0\r\n--b0--', ['a--b0']],
  ['one within a line of the preamble is none', 'x--b0\r\n--b0\r\n\r\na\r\n--b0--', ['a']],
  [
    'a boundary after a bare line feed is data, as with CouchDB',
    '--b0\r\n\r\na\n--b0\r\n--b0--',
    ['a\n--b0'],
  ],
  ['spaces after a boundary', '--b0 \t \r\nA: b\r\n\r\na\r\n--b0  \r\n\r\nb\r\n--b0--  ', ['a', 'b']],
  ['parts without headers', '--b0\r\n\r\na\r\n--b0\r\n\r\nb\r\n--b0--', ['a', 'b']],
  ['empty parts', '--b0\r\n\r\n\r\n--b0\r\nA: b\r\n\r\n\r\n--b0--', ['', '']],
  [
    'parts without a body, whose head ends at the boundary',
    '--b0\r\n\r\n--b0\r\nA: b\r\n\r\n--b0--',
    ['', ''],
  ],
  ['no part', '--b0--', []],
  ['line ends at the end of a part', '--b0\r\n\r\ntwo\r\n\r\n--b0--', ['two\r\n']],
  ['text after a boundary', '--b0\r\n\r\na\r\n--b0x\r\n\r\nb\r\n--b0--', 'headers'],
  ['a head without a colon', '--b0\r\nA b\r\n\r\na\r\n--b0--', 'headers'],
  ['a head without a name', '--b0\r\n: b\r\n\r\na\r\n--b0--', 'headers'],
  ['a name of several words', '--b0\r\nA B: b\r\n\r\na\r\n--b0--', 'headers'],
  ['a control character in a header', '--b0\r\nA: b\nC: d\r\n\r\na\r\n--b0--', 'headers'],
  ['nothing', '', 'no-boundary'],
  ['another boundary', '--b1\r\n\r\na\r\n--b1--', 'no-boundary'],
  ['no end', '--b0\r\n\r\na\r\n--b0\r\n', 'truncated'],
])('%s', async (_, text, expected) => {
  expect(await body(text)).toEqual(expected);
});

test('bodies of parts whose heads nobody reads', async () => {
  const text = '--b0\r\nA B: b\r\nC: \0\n\r\n\r\na\r\n--b0\r\n\r\nb\r\n--b0\r\nno header\r\n\r\nc\r\n--b0--';
  const reader = new MultipartReader(source([Buffer.from(text)]), 'b0');
  for (const wanted of ['a', 'b']) expect(shown(await all((await reader.nextBody()) ?? []))).toBe(wanted);
  await expect(reader.nextBody()).rejects.toMatchObject({ code: 'headers' });
});

test('heads that nobody reads may be long, and come in any pieces', async () => {
  const line = fc.constantFrom(
    'A: b',
    ' goes on',
    '\tgoes on',
    `Name: ${'x'.repeat(40_000)}`,
    ':\n\r:',
    'no header',
  );
  const head = fc.array(line, { maxLength: 4 });
  await fc.assert(
    fc.asyncProperty(
      fc.array(head, { minLength: 1, maxLength: 3 }),
      fc.infiniteStream(fc.nat(50_000)),
      async (heads, sizes) => {
        const whole = Buffer.from(
          heads
            .map((lines, at) => `--b0\r\n${lines.map((one) => `${one}\r\n`).join('')}\r\nbody ${at}\r\n`)
            .join('') + '--b0--',
        );
        const chunks: Buffer[] = [];
        for (let at = 0; at < whole.length;) {
          const size = 1 + (sizes.next().value as number);
          chunks.push(whole.subarray(at, (at += size)));
        }
        const reader = new MultipartReader(source(chunks), 'b0');
        for (const [at, lines] of heads.entries()) {
          const isGood = lines.every((one, n) => one.includes(':') || (n > 0 && /^[ \t]/.test(one)));
          if (!isGood) {
            await expect(reader.nextBody()).rejects.toMatchObject({ code: 'headers' });
            return;
          }
          expect(shown(await all((await reader.nextBody()) ?? []))).toBe(`body ${at}`);
        }
        expect(await reader.nextBody()).toBeUndefined();
      },
    ),
    { numRuns: 200 },
  );
  const endless = Buffer.from(`--b0\r\n: ${'x'.repeat(17 << 20)}`);
  const reader = new MultipartReader(source([endless]), 'b0');
  await expect(reader.nextBody()).rejects.toMatchObject({ code: 'headers' });
});

test('headers by their names in lower case', async () => {
  const head = 'Content-TYPE : text/plain\r\nX-Name:\r\nDisposition: a;\r\n\t b=c\r\ncontent-type: other';
  const { parts } = await outcome(source([Buffer.from(`--b0\r\n${head}\r\nN: ä\r\n\r\n\r\n--b0--`)]), 'b0');
  expect(parts[0]?.headers).toEqual({
    'content-type': 'text/plain',
    'x-name': '',
    disposition: 'a; b=c',
    n: 'ä',
  });
});

test('heads have limits, however they are cut', async () => {
  const withHead = (head: string) => Buffer.from(`--b0\r\n${head}\r\n\r\nbody\r\n--b0--`);
  const codes = async (head: string) => {
    const bytes = withHead(head);
    const every = Array.from(bytes, (_, at) => at);
    const found = [];
    for (const at of [[], [20, 21], every]) found.push((await outcome(source(cut(bytes, at)), 'b0')).error);
    return found;
  };
  const header = (size: number) => `A: ${'x'.repeat(size - 3)}`;
  const fine = [undefined, undefined, undefined];
  const bad = ['headers', 'headers', 'headers'];
  // The line end of the boundary counts.
  expect(await codes(header(16_382))).toEqual(fine);
  expect(await codes(header(16_383))).toEqual(bad);
  const lines = (count: number) => Array.from({ length: count }, (_, n) => `h${n}: x`).join('\r\n');
  expect(await codes(lines(100))).toEqual(fine);
  expect(await codes(lines(101))).toEqual(bad);
});

test('a head without an end is given up early', async () => {
  const endless = function* () {
    yield Buffer.from('--b0\r\nA: ');
    for (;;) yield Buffer.alloc(1000, 'x');
  };
  const from = new Source(endless());
  expect((await outcome(from, 'b0')).error).toBe('headers');
  expect(from.pulled).toBe(18);
  expect(from.returned).toBe(1);
});

test('a preamble has a limit, however it is cut', async () => {
  for (const size of [1, 1000, 100_000]) {
    const codeAfter = async (length: number) => {
      const bytes = Buffer.from(`${'p'.repeat(length)}\r\n--b0--`);
      const at = Array.from({ length: bytes.length / size }, (_, n) => n * size);
      return (await outcome(source(cut(bytes, at)), 'b0')).error;
    };
    expect(await codeAfter(16_384)).toBeUndefined();
    expect(await codeAfter(16_385)).toBe('preamble');
  }
});

test('a boundary has to be a part of a line', () => {
  for (const boundary of ['', '\r', 'a\nb']) {
    expect(() => new MultipartReader(source([]), boundary)).toThrow(RangeError);
  }
});

// ---- parts that are not read ----------------------------------------------------------------------------------

test('parts that are not read, or not to their ends, are skipped', async () => {
  const wanted = fc.array(fc.constantFrom('all', 'some', 'none'), { minLength: 6, maxLength: 6 });
  await fc.assert(
    fc.asyncProperty(message, places, wanted, async (sent, at, plan) => {
      const bytes = await all(entityOf(sent).chunks());
      const bodies = bodiesOf(sent);
      const reader = new MultipartReader(source(cut(bytes, within(bytes, at))), sent.boundary);
      let count = 0;
      for await (const part of reader) {
        const expected = bodies[count] ?? 'no such part';
        const how = plan[count];
        count += 1;
        if (how === 'none') continue;
        let found = '';
        for await (const chunk of part.body) {
          found += shown(chunk);
          if (how === 'some') break;
        }
        if (how === 'all') expect(found).toBe(expected);
        else expect(expected.startsWith(found)).toBe(true);
      }
      expect(count).toBe(bodies.length);
    }),
    { numRuns: 500 },
  );
});

test('a part that was left does not look whole', async () => {
  const reader = new MultipartReader(
    source([Buffer.from('--b0\r\n\r\none\r\n--b0\r\n\r\ntwo\r\n--b0--')]),
    'b0',
  );
  const { body: left } = await firstPart(reader);
  const second = await firstPart(reader);
  await expect(all(left)).rejects.toThrow('left');
  expect((await all(second.body)).toString()).toBe('two');
  expect(await reader.next()).toBeUndefined();
  expect(await reader.next()).toBeUndefined();
});

test('a body is given once', async () => {
  const { body } = await firstPart(
    new MultipartReader(source([Buffer.from('--b0\r\n\r\none\r\n--b0--')]), 'b0'),
  );
  expect([(await all(body)).toString(), (await all(body)).toString()]).toEqual(['one', '']);
});

test('two steps at once are refused, and harm nothing', async () => {
  const reader = new MultipartReader(
    new Source(cut(Buffer.from('--b0\r\n\r\none\r\n--b0--'), [2, 10])),
    'b0',
  );
  const first = firstPart(reader);
  await expect(reader.next()).rejects.toThrow('one step after the other');
  expect((await all((await first).body)).toString()).toBe('one');
});

test('what failed once goes on failing', async () => {
  const lost = new Error('connection lost');
  const breaking = function* () {
    yield Buffer.from('--b0\r\n\r\nabc');
    throw lost;
  };
  const broken = new Source(breaking());
  const reader = new MultipartReader(broken, 'b0');
  const part = await firstPart(reader);
  await expect(all(part.body)).rejects.toBe(lost);
  await expect(reader.next()).rejects.toBe(lost);
  expect(broken.returned).toBe(0);
  const bad = new MultipartReader(
    source([Buffer.from('--b0\r\nbad\r\n\r\nx\r\n--b0\r\n\r\ny\r\n--b0--')]),
    'b0',
  );
  await expect(bad.next()).rejects.toMatchObject({ code: 'headers' });
  await expect(bad.next()).rejects.toMatchObject({ code: 'headers' });
});

// ---- the source -----------------------------------------------------------------------------------------------

/** A part of many chunks, and what follows it. */
function* large(count: number, size: number, after = ''): Generator<Buffer> {
  yield Buffer.from('--b0\r\n\r\n');
  for (let n = 0; n < count; n++) yield Buffer.alloc(size, 'x');
  yield Buffer.from(`\r\n--b0--${after}`);
}

test('no more is taken from the source than was asked for', async () => {
  const from = new Source(large(100, 1000));
  const reader = new MultipartReader(from, 'b0');
  expect(from.pulled).toBe(0);
  const { body } = await firstPart(reader);
  expect(from.pulled).toBe(1);
  let read = 0;
  for await (const chunk of body) {
    for (let tick = 0; tick < 3; tick++) await new Promise(setImmediate);
    expect(from.pulled - 1).toBe(++read);
    expect(chunk).toHaveLength(1000);
  }
  expect(read).toBe(100);
});

test('chunks are passed on, not copied', async () => {
  const chunk = Buffer.from(`${'x'.repeat(5000)}\r\n--b`);
  const chunks = [Buffer.from('--b0\r\n\r\n'), chunk, chunk, Buffer.from('1\r\n--b0--')];
  const { body } = await firstPart(new MultipartReader(source(chunks), 'b0'));
  const found: string[] = [];
  for await (const piece of body) {
    found.push(piece.length > 10 ? String(piece.length) : piece.toString());
    if (piece.length === 5000) expect(piece.buffer === chunk.buffer).toBe(true);
    // What stands for the beginning of a delimiter is the consumer's own.
    else piece.fill(0);
  }
  expect(found).toEqual(['5000', '\r\n--b', '5000', '\r\n--b', '1']);
});

test('a large part is not held', async () => {
  const used = () => process.memoryUsage().arrayBuffers;
  const before = used();
  const { body } = await firstPart(new MultipartReader(source(large(3200, 65_536)), 'b0'));
  let size = 0;
  let most = 0;
  for await (const chunk of body) {
    size += chunk.length;
    most = Math.max(most, used() - before);
  }
  expect(size).toBe(3200 * 65_536);
  expect(most).toBeLessThan(100_000_000);
});

test('the source is told when the reader stops early', async () => {
  const inLoop = new Source(large(10, 10));
  for await (const part of new MultipartReader(inLoop, 'b0')) if (part.headers.size === 0) break;
  expect([inLoop.returned, inLoop.pulled]).toEqual([1, 1]);

  const inBody = new Source(large(10, 10));
  const reader = new MultipartReader(inBody, 'b0');
  const { body } = await firstPart(reader);
  for await (const chunk of body) if (chunk.length > 0) break;
  // Who leaves a part may still want the next.
  expect(inBody.returned).toBe(0);
  await reader.cancel();
  await reader.cancel();
  expect([inBody.returned, inBody.pulled]).toEqual([1, 2]);
  await expect(reader.next()).rejects.toThrow('no longer');

  const failing = new Source(cut(Buffer.from('--b0\r\nbad\r\n\r\n more'), [13]));
  expect((await outcome(failing, 'b0')).error).toBe('headers');
  expect(failing.returned).toBe(1);
});

test('the source is told while it is still being asked', async () => {
  const from = new Source(large(10, 10));
  const reader = new MultipartReader(from, 'b0');
  const first = reader.next();
  await reader.cancel();
  expect(from.returned).toBe(1);
  await first;
});

test('a source that was read to its end is not told anything', async () => {
  const looped = new Source(large(10, 10, 'epilogue'));
  let size = 0;
  for await (const part of new MultipartReader(looped, 'b0')) size += (await all(part.body)).length;
  expect([size, looped.returned, looped.ended]).toEqual([100, 0, true]);

  const drained = new Source(large(10, 10, 'epilogue'));
  const reader = new MultipartReader(drained, 'b0');
  await reader.next();
  await reader.drain();
  await reader.cancel();
  expect([drained.returned, drained.ended]).toEqual([0, true]);
});

test('what follows the closing boundary is only read by draining', async () => {
  const from = new Source(cut(Buffer.from('--b0\r\n\r\na\r\n--b0--epilogue'), [17, 20]));
  const reader = new MultipartReader(from, 'b0');
  await reader.next();
  expect(await reader.next()).toBeUndefined();
  expect([from.pulled, from.ended]).toEqual([1, false]);
  await reader.drain();
  expect([from.pulled, from.ended]).toEqual([3, true]);
  await expect(
    new MultipartReader(source([Buffer.from('--b0\r\n\r\na')]), 'b0').drain(),
  ).rejects.toMatchObject({
    code: 'truncated',
  });
});

test('a stream of Node is a source', async () => {
  const zipped = gzipSync(Buffer.concat([...large(100, 5000)]));
  const stream = Readable.from([zipped]).pipe(createGunzip());
  let size = 0;
  for await (const part of new MultipartReader(stream, 'b0')) size += (await all(part.body)).length;
  expect(size).toBe(500_000);
});

test('a request that is given up can be answered, and one that breaks off is said to', async () => {
  const ends: unknown[] = [];
  const server = http.createServer((request, response) => {
    const chunks: AsyncIterable<Buffer> = request.iterator({ destroyOnReturn: false });
    void outcome(chunks, 'b0').then(({ error }) => {
      ends.push([error instanceof Error ? error.message : error, request.destroyed]);
      response.end('answered');
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const send = (text: string) =>
    net.connect(port, '127.0.0.1').setEncoding('utf8').end(`PUT / HTTP/1.1\r\nHost: x\r\n${text}`);

  const answer = send('Connection: close\r\nContent-Length: 19\r\n\r\n--b0\r\nbad\r\n\r\nmore!!');
  expect((await answer.toArray()).join('')).toContain('answered');
  await once(send('Content-Length: 1000\r\n\r\n--b0\r\n\r\nabc').resume(), 'close');
  await vi.waitFor(() =>
    expect(ends).toEqual([
      ['headers', false],
      ['aborted', true],
    ]),
  );
  server.close();
});

// ---- multipart in multipart -----------------------------------------------------------------------------------

/** The bodies of a part that is multipart itself, or its own. */
async function bodies(part: MultipartPart): Promise<string | string[]> {
  const type = parseMultipartType(part.headers.get('content-type'));
  if (type === undefined) return shown(await all(part.body));
  const found: string[] = [];
  for await (const inner of new MultipartReader(part.body, type.boundary))
    found.push(shown(await all(inner.body)));
  return found;
}

/** Only a quoted boundary may have spaces; CouchDB does not quote that of `_bulk_get`. */
const bulkEntityOf = (sent: Message): Entity =>
  bulkGetDocument('id', '1-a', sent.document, followingOf(sent), sent.boundary);

const OUTER = 'out';
const nested = messages(OUTER);

test.each([
  { what: 'open_revs', message: nested, entity: entityOf, write: openRevsBody },
  {
    what: '_bulk_get',
    message: nested.filter(({ boundary }) => !/[ ,;]/.test(boundary)),
    entity: bulkEntityOf,
    write: bulkGetBody,
  },
])('the documents of $what are read, however they are cut', async ({ message, entity, write }) => {
  await fc.assert(
    fc.asyncProperty(fc.array(message, { maxLength: 3 }), fc.json(), places, async (sent, json, at) => {
      const bytes = await all(write([...sent.map(entity), jsonEntity(json), errorEntity('{}')], OUTER));
      const found = [];
      for await (const part of new MultipartReader(source(cut(bytes, within(bytes, at))), OUTER)) {
        found.push(await bodies(part));
      }
      expect(found).toEqual([...sent.map(bodiesOf), shown(Buffer.from(json)), '{}']);
    }),
    { numRuns: 500 },
  );
});

test('an inner reader that stops or fails leaves the outer one where it was', async () => {
  const part = (text: string) => `\r\n--out\r\nContent-Type: multipart/related; boundary=in\r\n\r\n${text}`;
  const text = `${part('--in\r\n\r\na\r\n--in--')}${part('--in\r\n\r\nb')}${part('--in\r\nbad\r\n\r\n')}${part('--in--')}\r\n--out--`;
  const reader = new MultipartReader(source([Buffer.from(text)]), 'out');
  const inner = async () => new MultipartReader((await firstPart(reader)).body, 'in');
  for await (const one of await inner()) if (one.headers.size === 0) break;
  expect(await outcomeOf(await inner())).toBe('truncated');
  expect(await outcomeOf(await inner())).toBe('headers');
  expect(await outcomeOf(await inner())).toBeUndefined();
  expect(await reader.next()).toBeUndefined();
});

async function outcomeOf(reader: MultipartReader): Promise<unknown> {
  try {
    await reader.drain();
    return undefined;
  } catch (error) {
    return error instanceof MultipartError ? error.code : error;
  }
}

test('an outer body that ends early is told by the inner reader', async () => {
  const inner = '--in\r\n\r\na\r\n--in--';
  const text = `--out\r\n\r\n${inner}\r\n--out--`;
  for (let end = '--out'.length; end < text.length; end++) {
    const reader = new MultipartReader(source([Buffer.from(text.slice(0, end))]), 'out');
    const whole = (async () => {
      for await (const part of reader) await new MultipartReader(part.body, 'in').drain();
    })();
    await expect(whole).rejects.toMatchObject({ code: 'truncated' });
  }
});

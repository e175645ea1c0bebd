import { createHash } from 'node:crypto';
import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startApp, type TestApp } from './app.js';

/** The soak asks for more. */
const RUNS = Number(process.env.FUZZ_RUNS ?? 500);

let it: TestApp;
let count = 0;
beforeAll(async () => {
  it = await startApp({
    limits: { maxAttachmentSize: 50_000, maxHttpRequestSize: 50_000 },
    store: { chunkAbove: 1024 },
  });
  await it.request('PUT', '/db');
});
afterAll(() => it.stop());

const md5 = (bytes: Buffer): string => `md5-${createHash('md5').update(bytes).digest('base64')}`;

/** Something that is sent behind a document. */
interface Part {
  readonly name: string;
  readonly plain: Buffer;
  readonly sent: Buffer;
  /** What the document says of it. */
  readonly given: object;
  readonly head: string;
}

interface Body {
  readonly boundary: string;
  readonly parts: readonly Part[];
  readonly bytes: Buffer;
}

const BOUNDARIES = ['B', 'x', '--', '=_=', 'a b', '0123456789abcdef0123456789abcdef', "'():+_,-./?"];

/** Bytes that look like what stands between parts. */
const piece = fc.oneof(
  { weight: 3, arbitrary: fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes)) },
  {
    weight: 3,
    arbitrary: fc
      .constantFrom('\r\n', '\r', '\n', '--', '\r\n--', '\r\n-', 'B', '\r\n\r\n', '--B', '\r\n--C', '{', '"')
      .map((text) => Buffer.from(text)),
  },
  {
    weight: 1,
    arbitrary: fc.constantFrom(1023, 1024, 1025, 3000).map((length) => Buffer.alloc(length, 'z')),
  },
);
const content = fc.array(piece, { maxLength: 6 }).map((pieces) => Buffer.concat(pieces));

const part = fc
  .record({
    name: fc.oneof(
      fc.constantFrom('a', 'b', '10', '9', 'toString', 'a/b', 'ä', '"'),
      fc.string({ unit: 'grapheme', maxLength: 4 }).filter((name) => !name.startsWith('_')),
    ),
    plain: content,
    gzip: fc.boolean(),
    length: fc.boolean(),
    digest: fc.boolean(),
    type: fc.constantFrom('text/plain', 'image/x', undefined),
    head: fc.constantFrom(
      '',
      '\r\nContent-Length: 3',
      '\r\nContent-Type: text/html\r\nContent-Type: application/json',
      '\r\nContent-Encoding: gzip\r\nContent-Disposition: attachment; filename="other"',
    ),
  })
  .map(({ name, plain, gzip, length, digest, type, head }): Part => {
    const sent = gzip ? gzipSync(plain) : plain;
    const encoded = gzip ? { encoding: 'gzip', ...(length && { encoded_length: sent.length }) } : {};
    const given = {
      follows: true,
      content_type: type,
      // Where it is left out for gzip, it would be taken for the length of what is sent.
      ...(length && { length: plain.length }),
      ...encoded,
      ...(digest && { digest: md5(sent) }),
    };
    return { name, plain, sent, given, head };
  });

const body = fc
  .record({
    boundary: fc.constantFrom(...BOUNDARIES),
    parts: fc.uniqueArray(part, { maxLength: 4, selector: ({ name }) => name }),
    extra: fc.array(content, { maxLength: 1 }),
    preamble: fc.constantFrom('', '\r\n', 'text\r\n'),
    epilogue: fc.constantFrom('', '\r\n', 'text'),
  })
  // A sender chooses a boundary that stands in no part.
  .filter(({ boundary, parts, extra }) =>
    [...extra, ...parts.map(({ sent }) => sent)].every(
      (bytes) => !Buffer.concat([Buffer.from('\r\n'), bytes]).includes(`\r\n--${boundary}`),
    ),
  )
  .map(({ boundary, parts, extra, preamble, epilogue }): Body => {
    const members = parts.map(({ name, given }) => `${JSON.stringify(name)}:${JSON.stringify(given)}`);
    const document = `{"v":1,"_attachments":{${members.join(',')}}}`;
    const chunks: Buffer[] = [
      Buffer.from(`${preamble}--${boundary}\r\nContent-Type: application/json\r\n\r\n${document}`),
    ];
    for (const { head, sent } of parts) chunks.push(Buffer.from(`\r\n--${boundary}${head}\r\n\r\n`), sent);
    for (const bytes of extra) chunks.push(Buffer.from(`\r\n--${boundary}\r\n\r\n`), bytes);
    chunks.push(Buffer.from(`\r\n--${boundary}--${epilogue}`));
    return { boundary, parts, bytes: Buffer.concat(chunks) };
  });

/** Changes bytes somewhere: noise, a piece that is left out, that comes twice, or that is not of the body at all. */
const mutation = fc.record({
  at: fc.nat(),
  removed: fc.oneof(fc.constantFrom(0, 0, 1, 2), fc.nat(300)),
  repeated: fc.constantFrom(0, 0, 0, 1, 5, 60),
  added: fc.oneof(
    fc.constantFrom(
      '',
      '',
      '\r\n--B',
      '\r\n--B--',
      '\r\n--x\r\n\r\n',
      '\r\n\r\n',
      '"length":1,',
      '9',
      ':',
      '\0',
    ),
    fc.string({ maxLength: 5 }),
  ),
});

type Mutation = typeof mutation extends fc.Arbitrary<infer T> ? T : never;

function mutate(bytes: Buffer, { at, removed, repeated, added }: Mutation): Buffer {
  const place = at % (bytes.length + 1);
  return Buffer.concat([
    bytes.subarray(0, place),
    Buffer.from(added),
    bytes.subarray(Math.max(0, place - repeated), place),
    bytes.subarray(place + removed),
  ]);
}

interface Framing {
  /** Bytes of each chunk; 0 for a body with a Content-Length. */
  readonly chunk: number;
  /** Bytes that are announced and do not come. */
  readonly lacking: number;
}

const END = Buffer.from('0\r\n\r\n');

function* chunksOf(bytes: Buffer, size: number): Generator<Buffer> {
  for (let at = 0; at < bytes.length; at += size) {
    const chunk = bytes.subarray(at, at + size);
    yield Buffer.concat([Buffer.from(`${chunk.length.toString(16)}\r\n`), chunk, Buffer.from('\r\n')]);
  }
}

/** Where the body is cut into chunks, the server gets it piece by piece. */
const chunkSize = fc.constantFrom(0, 0, 1, 7, 100_000);

/** Sends a body to a document of its own. @returns its status; undefined where nothing came back */
async function send(
  boundary: string,
  bytes: Buffer,
  framing: Framing,
  id: string,
): Promise<number | undefined> {
  const { chunk, lacking } = framing;
  const length =
    chunk > 0 ? 'Transfer-Encoding: chunked' : `Content-Length: ${String(bytes.length + lacking)}`;
  const lines = ['Host: x', 'X-Test-User: admin', 'Connection: close', length];
  const head = `PUT /db/${id} HTTP/1.1\r\n${lines.join('\r\n')}\r\nContent-Type: multipart/related; boundary="${boundary}"`;
  const content = chunk > 0 ? Buffer.concat([...chunksOf(bytes, chunk), END.subarray(lacking)]) : bytes;
  const whole = Buffer.concat([Buffer.from(`${head}\r\n\r\n`), content]);
  const answer = await it.raw(whole, lacking > 0 ? 25 : 5000);
  if (answer === '') return undefined;
  return Number(/^HTTP\/1\.1 (\d{3}) /.exec(answer)?.[1]);
}

/** The document is not there, or all of it is as it says itself. */
async function judge(
  status: number | undefined,
  id: string,
  parts: readonly Part[] | undefined,
): Promise<void> {
  const read = await it.request('GET', `/db/${id}?att_encoding_info=true`);
  if (status !== 201) {
    expect(read.status).toBe(404);
    return;
  }
  expect(read.status).toBe(200);
  const { _attachments: shown = {} } = read.body as {
    _attachments?: Record<string, { length: number; digest: string; encoding?: string }>;
  };
  for (const [name, { length, digest, encoding }] of Object.entries(shown)) {
    // There is no path to one without a name, and paths are put in order.
    if (!/^[^./\\][^/\\]*$/.test(name)) continue;
    const headers = encoding === undefined ? {} : { 'accept-encoding': 'gzip' };
    const { status: found, bytes } = await it.request('GET', `/db/${id}/${encodeURIComponent(name)}`, {
      headers,
    });
    expect(found).toBe(200);
    expect(md5(bytes)).toBe(digest);
    if (encoding === undefined) expect(bytes.length).toBe(length);
  }
  if (parts === undefined) return;
  expect(Object.keys(shown).sort()).toEqual(parts.map(({ name }) => name).sort());
  const whole = await it.request('GET', `/db/${id}?attachments=true`);
  const { _attachments: data = {} } = whole.body as { _attachments?: Record<string, { data: string }> };
  for (const { name, plain } of parts) expect(data[name]?.data).toBe(plain.toString('base64'));
}

const nextId = (): string => `d${String(++count)}`;

async function isAlive(): Promise<void> {
  expect((await it.request('GET', '/_up')).status).toBe(200);
  expect(it.errors).toEqual([]);
}

test('what is sent as it should be is stored as it was sent', async () => {
  await fc.assert(
    fc.asyncProperty(body, chunkSize, async ({ boundary, parts, bytes }, chunk) => {
      const id = nextId();
      const status = await send(boundary, bytes, { chunk, lacking: 0 }, id);
      expect(status).toBe(201);
      await judge(status, id, parts);
    }),
    { numRuns: RUNS },
  );
  await isAlive();
}, 600_000);

test('what is not is refused, or makes a document that is whole', async () => {
  const statuses = new Map<number | undefined, number>();
  await fc.assert(
    fc.asyncProperty(
      body,
      fc.array(mutation, { minLength: 1, maxLength: 3 }),
      chunkSize,
      fc.constantFrom(0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 50),
      async ({ boundary, bytes }, mutations, chunk, lacking) => {
        const id = nextId();
        const changed = mutations.reduce<Buffer>(mutate, bytes);
        const status = await send(boundary, changed, { chunk, lacking }, id);
        statuses.set(status, (statuses.get(status) ?? 0) + 1);
        if (status === undefined) expect(lacking).toBeGreaterThan(0);
        else expect(String(status)).toMatch(/^(201|200|4..)$/);
        if (status !== 200) await judge(status, id, undefined);
      },
    ),
    { numRuns: RUNS },
  );
  // Neither all nor none of them are refused.
  expect([...statuses.keys()]).toEqual(expect.arrayContaining([201, 400]));
  await isAlive();
}, 600_000);

test('a body that ends at any byte is no document', async () => {
  const zipped = gzipSync('zipped');
  const document = {
    _attachments: {
      a: { follows: true, length: 6 },
      z: { follows: true, encoding: 'gzip', length: 6, encoded_length: zipped.length },
      n: { follows: true },
    },
  };
  const bytes = Buffer.concat([
    Buffer.from(`--B\r\nContent-Type: application/json\r\n\r\n${JSON.stringify(document)}\r\n--B\r\n\r\n`),
    Buffer.from('a\r\n--a\r\n--B\r\nX: y\r\n\r\n'),
    zipped,
    Buffer.from('\r\n--B\r\n\r\nnn\r\n--B--'),
  ]);
  for (let end = 0; end < bytes.length; end++) {
    const id = nextId();
    expect(await send('B', bytes.subarray(0, end), { chunk: 0, lacking: 0 }, id), String(end)).toBe(400);
    expect((await it.request('GET', `/db/${id}`)).status).toBe(404);
  }
  expect(await send('B', bytes, { chunk: 0, lacking: 0 }, 'whole')).toBe(201);
  await isAlive();
}, 600_000);

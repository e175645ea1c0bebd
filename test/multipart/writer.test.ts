import fc from 'fast-check';
import { expect, test } from 'vitest';
import { bulkGetBody, bulkGetDocument, openRevsBody } from '../../src/http/mixed.js';
import { parseHeaderParameters } from '../../src/multipart/parameters.js';
import {
  documentEntity,
  errorEntity,
  jsonEntity,
  newBoundary,
  type Chunk,
  type FollowingAttachment,
} from '../../src/multipart/writer.js';

const attachment = (name: string, type: string, ...chunks: (string | Uint8Array)[]): FollowingAttachment => {
  const body = chunks.map((chunk) => Buffer.from(chunk));
  return { name, type, length: Buffer.concat(body).length, body: () => source(body) };
};

// eslint-disable-next-line @typescript-eslint/require-await -- a source
async function* source(chunks: Iterable<Buffer>): AsyncGenerator<Buffer> {
  yield* chunks;
}

async function bytes(chunks: AsyncIterable<Chunk> | Iterable<Chunk>): Promise<Buffer> {
  const all: Buffer[] = [];
  for await (const chunk of chunks) all.push(Buffer.from(chunk));
  return Buffer.concat(all);
}

const text = async (chunks: AsyncIterable<Chunk> | Iterable<Chunk>): Promise<string> =>
  (await bytes(chunks)).toString();

const two = [attachment('one.bin', 'application/octet-stream', 'o', 'ne'), attachment('b', 'image/png', '')];

// ---- a document -----------------------------------------------------------------------------------------------

test('a document and its attachments, byte by byte as CouchDB sends them', async () => {
  const [one, ...more] = two;
  if (one === undefined) throw new Error('there is one');
  const entity = documentEntity('{"_id":"a"}', [{ ...one, encoding: 'gzip' }, ...more], 'b0');
  expect(entity.type).toBe('multipart/related; boundary="b0"');
  expect(await text(entity.chunks())).toBe(
    [
      '--b0\r\nContent-Type: application/json\r\n\r\n{"_id":"a"}',
      '\r\n--b0\r\nContent-Disposition: attachment; filename="one.bin"\r\nContent-Type: application/octet-stream',
      '\r\nContent-Length: 3\r\nContent-Encoding: gzip\r\n\r\none',
      '\r\n--b0\r\nContent-Disposition: attachment; filename="b"\r\nContent-Type: image/png',
      '\r\nContent-Length: 0\r\n\r\n\r\n--b0--',
    ].join(''),
  );
});

test('a document without attachments is JSON', async () => {
  const entity = documentEntity('{"_id":"ä"}', [], 'b0');
  expect([entity.type, entity.length(), await text(entity.chunks())]).toEqual([
    'application/json',
    12,
    '{"_id":"ä"}',
  ]);
});

test('the length of a document is known beforehand', async () => {
  const any = fc.record({
    document: fc.string({ unit: 'binary' }),
    boundary: fc.constantFrom('b', newBoundary(), '--x'),
    attachments: fc.array(
      fc.tuple(fc.string({ unit: 'binary' }), fc.string({ unit: 'binary' }), fc.uint8Array(), fc.boolean()),
    ),
  });
  await fc.assert(
    fc.asyncProperty(any, async ({ document, boundary, attachments }) => {
      const parts = attachments.map(([name, type, data, zipped]) => ({
        ...attachment(name, type, data),
        encoding: zipped ? ('gzip' as const) : undefined,
      }));
      const entity = documentEntity(document, parts, boundary);
      expect((await bytes(entity.chunks())).length).toBe(entity.length());
    }),
  );
});

test('names and types cannot add headers, and names come back', async () => {
  await fc.assert(
    fc.asyncProperty(fc.string({ unit: 'binary' }), fc.string({ unit: 'binary' }), async (name, type) => {
      // eslint-disable-next-line no-control-regex -- they are written as what they are in URLs
      fc.pre(!/[\x00-\x1f\x7f]/.test(name));
      const entity = documentEntity('{}', [attachment(name, `text/x${type}\r\nX: y`, '')], 'b0');
      const [, part = ''] = (await text(entity.chunks())).split('\r\n\r\n{}\r\n--b0\r\n');
      const lines = part.split('\r\n\r\n')[0]?.split('\r\n') ?? [];
      expect(lines.map((line) => line.split(':', 1)[0])).toEqual([
        'Content-Disposition',
        'Content-Type',
        'Content-Length',
      ]);
      const { parameters } = parseHeaderParameters(lines[0] ?? '');
      expect(parameters.get('filename')).toBe(name);
    }),
  );
  const entity = documentEntity('{}', [attachment('a\r\nX: "y"\\', 'b', '')], 'b0');
  expect(await text(entity.chunks())).toContain('filename="a%0D%0AX: \\"y\\"\\\\"\r\n');
});

test.each([
  ['less', 4],
  ['more', 2],
])('an attachment with %s than was announced breaks off', async (word, length) => {
  const entity = documentEntity('{}', [{ ...attachment('a', 'b', 'abc'), length }], 'b0');
  let sent = '';
  const sending = (async () => {
    for await (const chunk of entity.chunks()) sent += chunk.toString();
  })();
  await expect(sending).rejects.toThrow(word);
  expect(sent).toMatch(word === 'less' ? /abc$/ : /\r\n\r\n$/);
});

test('who stops closes the attachment that is being sent, and opens no other', async () => {
  const events: string[] = [];
  const watched = (name: string): FollowingAttachment => ({
    name,
    type: 'a/b',
    length: 1000,
    async *body() {
      events.push(`open ${name}`);
      try {
        for (;;) yield await Promise.resolve(Buffer.alloc(1));
      } finally {
        events.push(`close ${name}`);
      }
    },
  });
  const entity = documentEntity('{}', [watched('a'), watched('b')], 'inner');
  for await (const chunk of openRevsBody([entity], 'outer')) if (typeof chunk !== 'string') break;
  expect(events).toEqual(['open a', 'close a']);
});

// ---- several documents ----------------------------------------------------------------------------------------

test('open_revs, byte by byte as CouchDB sends them', async () => {
  const parts = [jsonEntity('{"a":1}'), documentEntity('{}', two, 'in'), errorEntity('{"missing":"1-a"}')];
  expect(await text(openRevsBody(parts, 'out'))).toBe(
    [
      '--out\r\nContent-Type: application/json\r\n\r\n{"a":1}',
      '\r\n--out\r\nContent-Type: multipart/related; boundary="in"\r\n\r\n',
      await text(documentEntity('{}', two, 'in').chunks()),
      '\r\n--out\r\nContent-Type: application/json; error="true"\r\n\r\n{"missing":"1-a"}',
      '\r\n--out--',
    ].join(''),
  );
  expect(await text(openRevsBody([], 'out'))).toBe('--out--');
});

test('_bulk_get, byte by byte as CouchDB sends it', async () => {
  const rows = [
    bulkGetDocument('a', '1-a', '{"a":1}', [], '--in'),
    bulkGetDocument('b\r\nX: ä', '2-b', '{}', two, '--in'),
    errorEntity('{"rev":"1-a","error":"not_found","reason":"missing"}'),
  ];
  expect(await text(bulkGetBody(rows, '--out'))).toBe(
    [
      '\r\n----out\r\nContent-Type: application/json\r\n\r\n{"a":1}',
      '\r\n----out\r\nX-Doc-Id: b%0D%0AX: ä\r\nX-Rev-Id: 2-b\r\nContent-Type: multipart/related; boundary=--in\r\n\r\n',
      await text(documentEntity('{}', two, '--in').chunks()),
      '\r\n----out\r\nContent-Type: application/json; error="true"\r\n\r\n',
      '{"rev":"1-a","error":"not_found","reason":"missing"}',
      '\r\n----out--\r\n',
    ].join(''),
  );
  expect(await text(bulkGetBody([], '--out'))).toBe('');
});

test('small texts are sent together, and large ones are not held back', async () => {
  const sizes = async (parts: number, length: number): Promise<number[]> => {
    const chunks: number[] = [];
    const entities = Array.from({ length: parts }, () => jsonEntity('x'.repeat(length)));
    for await (const chunk of openRevsBody(entities, 'b')) chunks.push(chunk.length);
    return chunks;
  };
  expect(await sizes(100, 50)).toHaveLength(1);
  const many = await sizes(1000, 5000);
  expect(many.length).toBeGreaterThan(70);
  expect(Math.max(...many)).toBeLessThan(65_536 + 5000);
});

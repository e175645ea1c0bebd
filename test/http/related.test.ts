import { createHash } from 'node:crypto';
import { gunzipSync, gzipSync } from 'node:zlib';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { type Answer, startApp, type TestApp } from './app.js';
import { Wire } from './wire.js';

let it: TestApp;
let count = 0;
/** A new database for each test. */
let db = '';

beforeAll(async () => {
  it = await startApp({
    limits: { maxAttachmentSize: 100_000, maxHttpRequestSize: 20_000 },
    store: { chunkAbove: 10_000 },
  });
});
afterAll(async () => {
  expect(it.errors).toEqual([]);
  await it.stop();
});
beforeEach(async () => {
  db = `/db${String(++count)}`;
  await it.request('PUT', db);
});

const md5 = (bytes: string | Buffer): string => `md5-${createHash('md5').update(bytes).digest('base64')}`;
const base64 = (text: string): string => Buffer.from(text).toString('base64');
const revOf = ({ body }: Answer): string => (body as { rev: string }).rev;
const get = (path: string, headers = {}): Promise<Answer> => it.request('GET', `${db}/${path}`, { headers });
const follows = (length?: number, more: object = {}): object => ({
  content_type: 'image/x',
  follows: true,
  length,
  ...more,
});
const error = (status: number, name: string, reason?: string): object => ({
  status,
  body: { error: name, reason: reason ?? (expect.any(String) as string) },
});

type Part = string | Buffer;

/** A body as CouchDB's replicator writes it: heads of parts are of no use to the receiver. */
function related(
  document: object | string,
  parts: readonly Part[],
  { boundary = 'B', head = '' } = {},
): Buffer {
  const json = typeof document === 'string' ? document : JSON.stringify(document);
  const chunks: Part[] = [`--${boundary}\r\nContent-Type: application/json\r\n\r\n${json}`];
  for (const part of parts) chunks.push(`\r\n--${boundary}${head}\r\n\r\n`, part);
  chunks.push(`\r\n--${boundary}--`);
  return Buffer.concat(chunks.map((chunk) => Buffer.from(chunk)));
}

const TYPE = 'multipart/related; boundary="B"';

const send = (path: string, text: Buffer | string, headers = {}): Promise<Answer> =>
  it.request('PUT', `${db}/${path}`, { text, headers: { 'content-type': TYPE, ...headers } });

describe('up', () => {
  test('a document and what follows it', async () => {
    const document = {
      v: 1,
      _attachments: { b: follows(3, { digest: md5('two') }), inline: { data: base64('in') }, a: follows(1) },
    };
    const answer = await send('doc', related(document, ['two', 'A']));
    expect(answer).toMatchObject({ status: 201, body: { ok: true, id: 'doc' } });
    expect(answer.headers.etag).toBe(`"${revOf(answer)}"`);
    expect(answer.headers.location).toMatch(new RegExp(`^http://.*${db}/doc$`));
    expect((await get('doc/b')).text).toBe('two');
    expect((await get('doc/a')).text).toBe('A');
    expect((await get('doc/inline')).text).toBe('in');
    expect((await get('doc')).body).toMatchObject({ v: 1, _attachments: { a: { length: 1, revpos: 1 } } });
  });

  test('parts belong to attachments by their order, whatever these are called', async () => {
    const text = `{"_attachments":{"10":${JSON.stringify(follows(2))},"9":${JSON.stringify(follows(1))}}}`;
    expect((await send('doc', related(text, ['10', '9']))).status).toBe(201);
    expect((await get('doc/10')).text).toBe('10');
    expect((await get('doc/9')).text).toBe('9');
  });

  test('what the heads of parts say does not matter', async () => {
    const head =
      '\r\nContent-Disposition: attachment; filename="other"\r\nContent-Type: text/html\r\n' +
      'Content-Length: 77\r\nContent-Encoding: gzip';
    const answer = await send('doc', related({ _attachments: { f: follows(3) } }, ['abc'], { head }));
    expect(answer.status).toBe(201);
    const read = await get('doc/f');
    expect(read.text).toBe('abc');
    expect(read.headers['content-type']).toBe('image/x');
  });

  test.each([
    ['a line feed', 'a\nb'],
    ['a return', 'a\rb'],
    ['a null', 'a\0b'],
    ['what looks like a header', 'a\r\nb: c'],
    ['what looks like a line that goes on', 'a\r\n b'],
  ])('a name that CouchDB writes as it is: %s', async (_, name) => {
    const head = `\r\nContent-Disposition: attachment; filename="${name}"\r\nContent-Type: text/plain`;
    const body = related({ _attachments: { [name]: follows(3), g: follows(1) } }, ['abc', 'g'], { head });
    expect((await send('doc', body)).status).toBe(201);
    expect((await get(`doc/${encodeURIComponent(name)}`)).text).toBe('abc');
    expect((await get('doc/g')).text).toBe('g');
  });

  test('stubs, parts and inline data together', async () => {
    const first = await send('doc', related({ _attachments: { s: follows(1), g: follows(1) } }, ['s', 'g']));
    const document = {
      _rev: revOf(first),
      _attachments: { s: { stub: true }, p: follows(1), i: { data: base64('i') }, g: follows(2) },
    };
    const second = await send('doc', related(document, ['p', 'gg']));
    expect(second.status).toBe(201);
    for (const [name, text] of Object.entries({ s: 's', p: 'p', i: 'i', g: 'gg' })) {
      expect((await get(`doc/${name}`)).text).toBe(text);
    }
    expect((await get('doc')).body).toMatchObject({
      _attachments: { s: { revpos: 1 }, p: { revpos: 2 }, i: { revpos: 2 }, g: { revpos: 2 } },
    });
  });

  test('replicated revisions keep their ids and what their attachments say', async () => {
    const _revisions = { start: 5, ids: ['e', 'd'] };
    const zipped = gzipSync('hello');
    const gzip = {
      encoding: 'gzip',
      encoded_length: zipped.length,
      digest: md5(zipped),
      content_type: 'text/plain',
    };
    const _attachments = {
      f: follows(1, { revpos: 4 }),
      z: follows(5, { ...gzip, revpos: 2 }),
      n: follows(1),
    };
    const body = related({ _id: 'doc', _rev: '5-e', _revisions, _attachments }, ['f', zipped, 'n']);
    const answer = await send('doc?new_edits=false', body);
    expect(answer).toMatchObject({ status: 201, body: { rev: '5-e' } });
    expect((await get('doc?att_encoding_info=true')).body).toMatchObject({
      _attachments: {
        f: { revpos: 4, length: 1 },
        z: { revpos: 2, length: 5, digest: md5(zipped), encoding: 'gzip', encoded_length: zipped.length },
        n: { revpos: 0 },
      },
    });
    expect((await get('doc/z')).text).toBe('hello');
    // Once more changes nothing.
    const { update_seq: before } = (await it.request('GET', db)).body as { update_seq: string };
    expect((await send('doc?new_edits=false', body)).status).toBe(201);
    expect((await it.request('GET', db)).body).toMatchObject({ update_seq: before });
  });

  test('what was known before is not judged again', async () => {
    const first = await send('doc', related({ _attachments: { f: follows(1) } }, ['f']));
    const document = { _rev: revOf(first), _attachments: { g: { stub: true }, f: follows(1) } };
    expect((await send('doc?new_edits=false', related(document, ['x']))).status).toBe(201);
    expect((await get('doc/f')).text).toBe('f');
  });

  test('a deletion is answered 200', async () => {
    const answer = await send('doc', related({ _deleted: true, _attachments: { f: follows(1) } }, ['f']));
    expect(answer.status).toBe(200);
    expect((await get(`doc/f?rev=${revOf(answer)}`)).text).toBe('f');
  });

  test.each<[string, object | undefined, string[]]>([
    ['more parts than were announced', { f: follows(1) }, ['f', 'more', 'and more']],
    ['no parts though some are sent', undefined, ['x']],
    ['no parts and none are sent', undefined, []],
    ['only inline data', { f: { data: base64('f') } }, []],
    ['a length that is not said', { f: follows() }, ['f']],
    ['an empty part', { f: follows(1), e: follows(0) }, ['f', '']],
  ])('%s', async (_, _attachments, parts) => {
    expect((await send('doc', related({ _attachments }, parts))).status).toBe(201);
    if (_attachments !== undefined) expect((await get('doc/f')).text).toBe('f');
    else expect((await get('doc')).body).not.toHaveProperty('_attachments');
  });

  test.each([
    'multipart/related;boundary=B',
    'Multipart/Related; type="application/json"; boundary=B',
    'multipart/related ; boundary="B"; boundary="C"',
  ])('the type %s', async (type) => {
    const body = related({ _attachments: { f: follows(1) } }, ['f']);
    expect((await send('doc', body, { 'content-type': type })).status).toBe(201);
  });

  test('text before the first boundary and behind the last is passed over', async () => {
    const body = related({ _attachments: { f: follows(7) } }, ['\r\n--\r\nB']);
    const around = Buffer.concat([Buffer.from('preamble\r\n'), body, Buffer.from('\r\nepilogue --B')]);
    expect((await send('doc', around)).status).toBe(201);
    expect((await get('doc/f')).text).toBe('\r\n--\r\nB');
  });

  test('text that shrinks is compressed', async () => {
    const document = {
      _attachments: { f: follows(5, { content_type: 'text/plain', digest: md5('words') }) },
    };
    expect((await send('doc', related(document, ['words']))).status).toBe(201);
    const zipped = await get('doc/f', { 'accept-encoding': 'gzip' });
    expect(gunzipSync(zipped.bytes).toString()).toBe('words');
    expect((await get('doc')).body).not.toMatchObject({ _attachments: { f: { digest: md5('words') } } });
  });

  test('in chunks of one byte', async () => {
    const body = related({ _attachments: { f: follows(6), g: follows(2) } }, ['\r\n--\r\n', '\r\n']);
    const chunks = Array.from(body, (byte) =>
      Buffer.concat([Buffer.from('1\r\n'), Buffer.of(byte), Buffer.from('\r\n')]),
    );
    const head = `PUT ${db}/doc HTTP/1.1\r\nHost: x\r\nX-Test-User: admin\r\nContent-Type: ${TYPE}\r\n`;
    const wire = await Wire.open(it.port);
    await wire.send(`${head}Transfer-Encoding: chunked\r\n\r\n`);
    for (const chunk of chunks) await wire.send(chunk);
    await wire.send('0\r\n\r\n');
    expect((await wire.answer()).status).toBe(201);
    wire.end();
    expect((await get('doc/f')).text).toBe('\r\n--\r\n');
    expect((await get('doc/g')).text).toBe('\r\n');
  });
});

describe('what is wrong', () => {
  const one = { _attachments: { f: follows(3) } };
  const two = { _attachments: { f: follows(3), g: follows(3) } };
  const good = related(one, ['abc']);
  const SHORTER = error(400, 'bad_request', 'attachment shorter than expected');
  const LONGER = error(400, 'bad_request', 'attachment longer than expected');
  const head = (text: string): string => `--B${text}\r\n\r\n{}\r\n--B--`;
  const name = { _attachments: { _f: follows(3) } };
  const stub = { _attachments: { s: { stub: true }, f: follows(3) } };
  const digest = { _attachments: { f: follows(3, { digest: md5('other') }) } };
  const zipped = gzipSync('zipped');
  const gzip = (more: object): object => ({ _attachments: { f: follows(6, { encoding: 'gzip', ...more }) } });

  const cases: [string, Buffer | string, object, Record<string, string>?][] = [
    ['no boundary', good, error(400, 'bad_request'), { 'content-type': 'multipart/related; a=b' }],
    [
      'an empty boundary',
      good,
      error(400, 'bad_request'),
      { 'content-type': 'multipart/related; boundary=""' },
    ],
    ['no parameters', good, error(400, 'bad_request'), { 'content-type': 'multipart/related' }],
    [
      'another boundary',
      good,
      error(400, 'bad_request'),
      { 'content-type': 'multipart/related; boundary=C' },
    ],
    ['nothing', '', error(400, 'bad_request')],
    ['no part', '--B--', error(400, 'bad_request')],
    ['a first part without an end', good.subarray(0, 50), error(400, 'bad_request')],
    [
      'a first part of no type',
      head(''),
      error(415, 'bad_content_type', 'Content-Type must be application/json'),
    ],
    ['a first part of another type', head('\r\nContent-Type: text/plain'), error(415, 'bad_content_type')],
    ['a first part that is no JSON', related('{"a"', []), error(400, 'bad_request', 'invalid UTF-8 JSON')],
    [
      'a first part that is no UTF-8',
      related('{}', []).toString().replace('{}', '\xff'),
      error(400, 'bad_request'),
    ],
    [
      'a first part that is no object',
      related('[]', []),
      error(400, 'bad_request', 'Document must be a JSON object'),
    ],
    ['a part that is too long', related(one, ['abcd']), LONGER],
    ['a part that is too long, and another', related(two, ['abcd', 'ab']), LONGER],
    ['a part that is too short', related(one, ['ab']), SHORTER],
    ['a part that is too short, and another', related(two, ['ab', 'abcd']), SHORTER],
    ['fewer parts', related(two, ['abc']), SHORTER],
    ['no parts', related(one, []), SHORTER],
    ['a body without its end', good.subarray(0, -5), SHORTER],
    ['a body without its last dash', good.subarray(0, -1), SHORTER],
    [
      'a digest of something else',
      related(digest, ['abc']),
      error(400, 'content_md5_mismatch', 'Possible message corruption.'),
    ],
    [
      'a header that is none',
      related(one, ['abc'], { head: '\r\nnonsense' }),
      error(400, 'bad_request', 'bad part header'),
    ],
    ['a prohibited name', related(name, ['abc']), error(400, 'bad_request')],
    [
      'a stub of nothing',
      related(stub, ['abc']),
      error(412, 'missing_stub', 'Invalid attachment stub in doc for s'),
    ],
    ['gzip that is none', related(gzip({ encoded_length: 3 }), ['abc']), error(400, 'bad_request')],
    [
      'gzip that is cut off',
      related(gzip({ encoded_length: 20 }), [zipped.subarray(0, 20)]),
      error(400, 'bad_request'),
    ],
    [
      'the digest of what was zipped',
      related(gzip({ encoded_length: zipped.length, digest: md5('zipped') }), [zipped]),
      error(400, 'content_md5_mismatch'),
    ],
    [
      'an announced length that is too much',
      related({ _attachments: { f: follows(100_001) } }, ['abc']),
      error(413, 'attachment_too_large', 'f'),
    ],
    [
      'too much',
      related({ _attachments: { f: follows() } }, [Buffer.alloc(100_001)]),
      error(413, 'attachment_too_large', 'f'),
    ],
    [
      'gzip that unpacks to too much',
      related(gzip({ length: undefined }), [gzipSync(Buffer.alloc(100_001))]),
      error(413, 'attachment_too_large', 'f'),
    ],
    ['a document that is too much', related({ a: 'x'.repeat(20_000) }, []), error(413, 'too_large')],
    [
      'a revision that is none',
      related({ ...one, _rev: 'x' }, ['abc']),
      error(400, 'bad_request', 'Invalid rev format'),
    ],
  ];

  test.each<[string, Buffer | string, object, Record<string, string>?]>(cases)(
    '%s',
    async (_, body, wanted, headers = {}) => {
      const { update_seq: before } = (await it.request('GET', db)).body as { update_seq: string };
      expect(await send('doc', body, headers)).toMatchObject(wanted);
      expect(await send('doc', body, { 'transfer-encoding': 'chunked', ...headers })).toMatchObject(wanted);
      expect(await get('doc')).toMatchObject(error(404, 'not_found', 'missing'));
      expect((await it.request('GET', db)).body).toMatchObject({ update_seq: before });
    },
  );

  test('a conflict', async () => {
    expect((await send('doc', good)).status).toBe(201);
    expect(await send('doc', good)).toMatchObject(error(409, 'conflict'));
    expect((await get('doc?conflicts=true')).body).not.toHaveProperty('_conflicts');
  });

  test('attachments may be larger than a document may be, and some of them go to the disk', async () => {
    const parts = [Buffer.alloc(90_000, 1), Buffer.alloc(10_001, 2), Buffer.alloc(10_000, 3)];
    const _attachments = Object.fromEntries(
      parts.map((part, at) => [`f${String(at)}`, follows(part.length)]),
    );
    expect((await send('doc', related({ _attachments }, parts))).status).toBe(201);
    for (const [at, part] of parts.entries()) {
      expect((await get(`doc/f${String(at)}`)).bytes.equals(part)).toBe(true);
    }
  });

  test('other requests take no such bodies', async () => {
    const headers = { 'content-type': TYPE };
    expect((await it.request('POST', db, { text: good, headers })).status).toBe(415);
    expect((await it.request('POST', `${db}/_bulk_docs`, { text: good, headers })).status).toBe(415);
    expect((await it.request('PUT', `${db}/_design/d`, { text: good, headers, as: null })).status).toBe(401);
  });
});

describe('down', () => {
  const WORDS = 'words '.repeat(20);

  /** Two revisions; what is new in the second is a text, stored compressed. */
  async function fill(
    id = 'doc',
  ): Promise<{ readonly first: string; readonly second: string; readonly zipped: Buffer }> {
    const first = revOf(
      await send(id, related({ v: 1, _attachments: { 'a"\r\n': follows(5) } }, ['a\r\n--'])),
    );
    const headers = { 'content-type': 'text/plain' };
    const second = revOf(await it.request('PUT', `${db}/${id}/w?rev=${first}`, { text: WORDS, headers }));
    const { bytes: zipped } = await get(`${id}/w`, { 'accept-encoding': 'gzip' });
    return { first, second, zipped };
  }

  const boundaryOf = (answer: Answer, pattern = /; boundary="([^"]+)"$/): string =>
    pattern.exec(answer.headers['content-type'] ?? '')?.[1] ?? 'none';

  const partA = (boundary: string): Buffer =>
    Buffer.from(
      `\r\nContent-Disposition: attachment; filename="a\\"%0D%0A"\r\nContent-Type: image/x\r\n` +
        `Content-Length: 5\r\n\r\na\r\n--\r\n--${boundary}`,
    );
  const partW = (boundary: string, zipped: Buffer): Buffer =>
    Buffer.concat([
      Buffer.from(
        `\r\nContent-Disposition: attachment; filename="w"\r\nContent-Type: text/plain\r\n` +
          `Content-Length: ${String(zipped.length)}\r\nContent-Encoding: gzip\r\n\r\n`,
      ),
      zipped,
      Buffer.from(`\r\n--${boundary}`),
    ]);

  /** The document with its second attachment, and the first where it is wanted as well. */
  async function whole(
    boundary: string,
    revs: Awaited<ReturnType<typeof fill>>,
    a: boolean,
    query = '',
  ): Promise<Buffer> {
    const { text } = await get(`doc?att_encoding_info=true${query}`);
    const json = text
      .trimEnd()
      .replace(/"stub":true/g, (stub, at: number) =>
        a || at < text.indexOf('"a\\') ? '"follows":true' : stub,
      );
    return Buffer.concat([
      Buffer.from(`--${boundary}\r\nContent-Type: application/json\r\n\r\n${json}\r\n--${boundary}`),
      partW(boundary, revs.zipped),
      a ? partA(boundary) : Buffer.alloc(0),
      Buffer.from('--'),
    ]);
  }

  test.each([
    ['multipart/related', '?attachments=true', true],
    ['*/*', '?attachments=true', true],
    ['multipart/*', '?attachments=true', true],
    ['text/html, multipart/related;q=0.1', '?attachments=true', true],
    ['multipart/related', '?attachments=true&atts_since=["FIRST"]', false],
    ['multipart/related', '?atts_since=["FIRST"]', false],
  ])('a document to a client that accepts %s, with %s', async (accept, query, a) => {
    const revs = await fill();
    const answer = await get(`doc${encodeURI(query.replace('FIRST', revs.first))}`, { accept });
    expect(answer.status).toBe(200);
    expect(answer.headers['content-type']).toMatch(/^multipart\/related; boundary="[0-9a-f]{32}"$/);
    expect(answer.headers['content-length']).toBe(String(answer.bytes.length));
    expect(answer.headers).not.toHaveProperty('transfer-encoding');
    expect(answer.headers.etag).toBe(`"${revs.second}"`);
    expect(answer.bytes.toString('latin1')).toBe(
      (await whole(boundaryOf(answer), revs, a)).toString('latin1'),
    );
    const head = await it.request('HEAD', `${db}/doc${encodeURI(query.replace('FIRST', revs.first))}`, {
      headers: { accept },
    });
    expect(head).toMatchObject({
      status: 200,
      text: '',
      headers: { 'content-length': String(answer.bytes.length) },
    });
    const same = await get('doc?attachments=true', { accept, 'if-none-match': `"${revs.second}"` });
    expect(same.status).toBe(304);
  });

  test.each([
    ['multipart/related', ''],
    ['multipart/related', '?att_encoding_info=true'],
    ['multipart/related', '?atts_since=["SECOND"]'],
    ['application/json', '?attachments=true'],
    ['multipart/related;q=0, */*', '?attachments=true'],
    ['multipart/mixed', '?attachments=true'],
  ])('JSON to a client that accepts %s, with %s', async (accept, query) => {
    const { second } = await fill();
    const answer = await get(`doc${encodeURI(query.replace('SECOND', second))}`, { accept });
    expect(answer).toMatchObject({ status: 200, body: { _id: 'doc' } });
    expect(answer.headers['content-type']).toBe('application/json');
  });

  test('what comes down may go up again', async () => {
    const { second } = await fill();
    const answer = await get('doc?attachments=true&revs=true', { accept: 'multipart/related' });
    const headers = { 'content-type': answer.headers['content-type'] };
    const up = await send(
      'doc2?new_edits=false',
      answer.bytes.toString('latin1').includes('"_id":"doc"') ? answer.bytes : '',
      headers,
    );
    expect(up).toMatchObject({ status: 201, body: { id: 'doc2', rev: second } });
    const strip = async (id: string): Promise<unknown> =>
      ((await get(`${id}?attachments=true&att_encoding_info=true`)).body as { _attachments: unknown })
        ._attachments;
    expect(await strip('doc2')).toEqual(await strip('doc'));
    expect((await get('doc2/w')).text).toBe(WORDS);
  });

  test.each([
    ['', true],
    ['&atts_since=["FIRST"]', false],
  ])('open_revs%s as parts', async (query, a) => {
    const revs = await fill();
    const open = encodeURIComponent(JSON.stringify([revs.second, '9-none']));
    const path = `doc?open_revs=${open}${encodeURI(query.replace('FIRST', revs.first))}`;
    const answer = await get(path, { accept: 'multipart/mixed' });
    const outer = boundaryOf(answer);
    expect(answer.headers['content-type']).toBe(`multipart/mixed; boundary="${outer}"`);
    const inner = /multipart\/related; boundary="([0-9a-f]{32})"/.exec(answer.text)?.[1] ?? 'none';
    const wanted = Buffer.concat([
      Buffer.from(`--${outer}\r\nContent-Type: multipart/related; boundary="${inner}"\r\n\r\n`),
      await whole(inner, revs, a),
      Buffer.from(
        `\r\n--${outer}\r\nContent-Type: application/json; error="true"\r\n\r\n{"missing":"9-none"}\r\n--${outer}--`,
      ),
    ]);
    expect(answer.bytes.toString('latin1')).toBe(wanted.toString('latin1'));
  });

  test('open_revs with nothing to send are JSON parts', async () => {
    const { second } = await fill();
    const open = encodeURIComponent(JSON.stringify([second]));
    const answer = await get(`doc?open_revs=${open}&atts_since=${open}`, { accept: 'multipart/mixed' });
    const outer = boundaryOf(answer);
    const { text } = await get('doc?att_encoding_info=true');
    expect(answer.text).toBe(
      `--${outer}\r\nContent-Type: application/json\r\n\r\n${text.trimEnd()}\r\n--${outer}--`,
    );
  });

  test.each([
    ['multipart/mixed', 'multipart/mixed'],
    ['multipart/related', 'multipart/related'],
    ['multipart/*', 'multipart/mixed'],
    ['*/*', 'application/json'],
  ])('_bulk_get to a client that accepts %s', async (accept, type) => {
    const revs = await fill();
    await it.request('PUT', `${db}/plain`, { json: { v: 1 } });
    const docs = [{ id: 'doc' }, { id: 'doc', rev: '9-none' }, { id: 'plain' }, { id: 'none' }];
    const answer = await it.request('POST', `${db}/_bulk_get`, { json: { docs }, headers: { accept } });
    expect(answer.headers['content-type']?.split(';')[0]).toBe(type);
    if (type === 'application/json') return;
    const outer = boundaryOf(answer);
    expect(outer).toMatch(/^--[0-9a-f]{32}$/);
    const inner = /multipart\/related; boundary=(--[0-9a-f]{32})\r\n/.exec(answer.text)?.[1] ?? '';
    const plain = (await get('plain')).text.trimEnd();
    const part = (kind: string, text: string): Buffer =>
      Buffer.from(`\r\n--${outer}\r\nContent-Type: ${kind}\r\n\r\n${text}`);
    const wanted = Buffer.concat([
      Buffer.from(`\r\n--${outer}\r\nX-Doc-Id: doc\r\nX-Rev-Id: ${revs.second}\r\n`),
      Buffer.from(`Content-Type: multipart/related; boundary=${inner}\r\n\r\n`),
      await whole(inner, revs, true),
      part('application/json; error="true"', '{"rev":"9-none","error":"not_found","reason":"missing"}'),
      part('application/json', plain),
      part(
        'application/json; error="true"',
        '{"id":"none","rev":"undefined","error":"not_found","reason":"missing"}',
      ),
      Buffer.from(`\r\n--${outer}--\r\n`),
    ]);
    expect(answer.bytes.toString('latin1')).toBe(wanted.toString('latin1'));
  });

  test('ids and names cannot add headers of their own', async () => {
    await fill(encodeURIComponent('x\r\nX-Evil: 1\u20ac'));
    const json = { docs: [{ id: 'x\r\nX-Evil: 1\u20ac' }] };
    const answer = await it.request('POST', `${db}/_bulk_get`, {
      json,
      headers: { accept: 'multipart/mixed' },
    });
    expect(answer.text).toContain('\r\nX-Doc-Id: x%0D%0AX-Evil: 1');
    expect(answer.text).not.toContain('\r\nX-Evil');
  });
});

describe('clients that are slow, or leave', () => {
  const head = (method: string, path: string, more: string): string =>
    `${method} ${db}/${path} HTTP/1.1\r\nHost: x\r\nX-Test-User: admin\r\nContent-Type: image/x\r\n${more}\r\n\r\n`;

  /** What a database says of itself, but for the files that it has. */
  async function state(): Promise<object> {
    const { update_seq, doc_count, sizes } = (await it.request('GET', db)).body as {
      update_seq: string;
      doc_count: number;
      sizes: { external: number; active: number };
    };
    return { update_seq, doc_count, external: sizes.external };
  }

  const uploads = (): readonly (readonly [string, Buffer])[] => {
    const body = related({ _attachments: { f: follows(5), g: follows(15_000) } }, [
      'abcde',
      Buffer.alloc(15_000, 7),
    ]);
    const relatedHead = head('PUT', 'doc', `Content-Length: ${String(body.length)}`).replace('image/x', TYPE);
    const bytes = Buffer.alloc(15_000, 7);
    const zipped = gzipSync(Buffer.from(Array.from({ length: 15_000 }, (_, at) => (at * at) % 251)));
    const plain = head('PUT', 'doc/f', `Content-Length: ${String(bytes.length)}`);
    const gzip = head('PUT', 'doc/f', `Content-Encoding: gzip\r\nContent-Length: ${String(zipped.length)}`);
    const chunked = head('PUT', 'doc/f', 'Transfer-Encoding: chunked');
    const chunks = Buffer.concat([Buffer.from('3a98\r\n'), bytes, Buffer.from('\r\n0\r\n\r\n')]);
    return [
      ['multipart/related', Buffer.concat([Buffer.from(relatedHead), body])],
      ['an attachment', Buffer.concat([Buffer.from(plain), bytes])],
      ['a compressed attachment', Buffer.concat([Buffer.from(gzip), zipped])],
      ['a chunked attachment', Buffer.concat([Buffer.from(chunked), chunks])],
    ];
  };

  test.each([0, 1, 2, 3])('an upload that is cut anywhere leaves nothing (%i)', async (index) => {
    const before = await state();
    const [, bytes = Buffer.alloc(0)] = uploads()[index] ?? [];
    const headEnd = bytes.indexOf('\r\n\r\n') + 4;
    const places = [headEnd, headEnd + 1, bytes.length - 1];
    for (let at = headEnd; at < bytes.length; at += Math.ceil((bytes.length - headEnd) / 25)) places.push(at);
    for (const place of places) {
      const wire = await Wire.open(it.port);
      await wire.send(bytes.subarray(0, place));
      wire.cut();
    }
    // What follows is answered after what the cut connections had sent.
    expect((await get('doc')).status).toBe(404);
    expect(await state()).toEqual(before);
    const wire = await Wire.open(it.port);
    await wire.send(bytes);
    expect((await wire.answer()).status).toBe(201);
    wire.end();
    expect((await get('doc')).status).toBe(200);
  });

  const BODY = 4_000_000;

  test.each([
    ['409 before any of it is read', 'taken/f', '', 409],
    ['415', 'doc/f', 'Content-Encoding: br', 415],
    ['413 by its length', 'doc/f', '', 413],
    ['413 while it comes', 'doc/f', 'chunked', 413],
    ['400 because of its name', 'doc/_f', '', 400],
    ['401', 'doc/f', 'X-Test-User: nobody', 401],
    ['400 while it is unpacked', 'doc/f', 'Content-Encoding: gzip\r\nchunked', 400],
  ])('a connection that got %s can be used again', async (_, path, more, status) => {
    await it.request('PUT', `${db}/taken`, { json: {} });
    await it.request('PUT', `${db}/_security`, { json: { members: { names: ['member'], roles: [] } } });
    const chunked = more.includes('chunked');
    const headers = more.replace(/(\r\n)?chunked/, '');
    const framing = chunked ? 'Transfer-Encoding: chunked' : `Content-Length: ${String(BODY)}`;
    const wire = await Wire.open(it.port);
    let text = head('PUT', path, headers === '' ? framing : `${headers}\r\n${framing}`);
    if (headers.includes('X-Test-User')) text = text.replace('X-Test-User: admin\r\n', '');
    await wire.send(text);
    await wire.send(chunked ? `${BODY.toString(16)}\r\n` : '');
    // Such a client reads only when it has sent everything.
    for (let at = 0; at < BODY; at += 100_000) await wire.send(Buffer.alloc(100_000, 1));
    await wire.send(chunked ? '\r\n0\r\n\r\n' : '');
    expect((await wire.answer()).status).toBe(status);
    await wire.send(head('GET', 'taken', ''));
    expect((await wire.answer()).status).toBe(200);
    wire.end();
  });

  test.each([
    ['409', { f: follows() }, 409, ''],
    ['412', { f: follows(), s: { stub: true } }, 412, ''],
    ['413', { f: follows(200_000) }, 413, ''],
    ['413 for a part', { f: follows() }, 413, ''],
    ['400 for a digest', { f: follows(), g: follows(1) }, 400, ''],
    ['400 for the name', { _f: follows() }, 400, ''],
    ['400 for a length', { f: follows(5) }, 400, ''],
    ['415', { f: follows() }, 415, 'application/jsonx'],
  ])('one whose multipart body got %s can be used again', async (why, _attachments, status, type) => {
    await it.request('PUT', `${db}/taken`, { json: {} });
    const part = Buffer.alloc(why === '413 for a part' ? 2_000_000 : 90_000, 1);
    // What nobody asked for is read as well.
    const parts = why.includes('digest') ? [part] : [part, ...Array<Buffer>(30).fill(Buffer.alloc(100_000))];
    const body = related({ _attachments }, parts);
    const text =
      type === '' ? body : Buffer.from(body.toString('latin1').replace('application/json', type), 'latin1');
    const framing = `Content-Length: ${String(text.length)}`;
    const wire = await Wire.open(it.port);
    await wire.send(head('PUT', why === '409' ? 'taken' : 'doc', framing).replace('image/x', TYPE));
    await wire.send(text);
    expect((await wire.answer()).status).toBe(status);
    await wire.send(head('GET', 'taken', ''));
    expect((await wire.answer()).status).toBe(200);
    wire.end();
    expect((await get('doc')).status).toBe(404);
  });

  test.each([
    ['taken/f', '', 409],
    ['taken/f?rev=FIRST', '', 409],
    ['doc/f?rev=1-a', '', 409],
    ['doc/f?rev=x', '', 400],
    ['doc/_f', '', 400],
    ['_doc/f', '', 400],
    ['doc/f', 'Content-Encoding: br\r\n', 415],
    ['doc/f', 'Content-Length: 100001', 413],
  ])('PUT %s %j is answered %i before any byte of it comes', async (path, more, status) => {
    const first = revOf(await it.request('PUT', `${db}/taken`, { json: {} }));
    await it.request('PUT', `${db}/taken`, { json: { _rev: first } });
    const framing = more.includes('Length') ? more : `${more}Content-Length: 50000`;
    const wire = await Wire.open(it.port);
    await wire.send(head('PUT', path.replace('FIRST', first), framing));
    expect((await wire.answer()).status).toBe(status);
    wire.cut();
  });

  test('a form is refused before any byte of it comes where its sender may not write', async () => {
    const wire = await Wire.open(it.port);
    const more = 'Referer: http://x/\r\nContent-Length: 50000';
    const text = head('POST', '_design/d', more)
      .replace('admin', 'member')
      .replace('image/x', 'multipart/form-data; boundary=B');
    await it.request('PUT', `${db}/_security`, { json: { members: { names: ['member'], roles: [] } } });
    await wire.send(text);
    expect((await wire.answer()).status).toBe(403);
    wire.cut();
  });

  test('Expect: 100-continue', async () => {
    const wire = await Wire.open(it.port);
    await wire.send(head('PUT', 'doc/f', 'Content-Length: 3\r\nExpect: 100-continue'));
    expect((await wire.answer()).status).toBe(100);
    await wire.send('abc');
    expect((await wire.answer()).status).toBe(201);
    wire.end();
    expect((await get('doc/f')).text).toBe('abc');
  });

  test('an upload whose database is deleted meanwhile', async () => {
    const wire = await Wire.open(it.port);
    await wire.send(head('PUT', 'doc/f', 'Content-Length: 50000'));
    await wire.send(Buffer.alloc(20_000));
    await it.request('DELETE', db);
    await wire.send(Buffer.alloc(30_000));
    expect([404, 503]).toContain((await wire.answer()).status);
    wire.end();
    await it.request('PUT', db);
    expect((await get('doc')).status).toBe(404);
  });
});

import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { type Answer, startApp, type TestApp } from './app.js';
import { parseHeaderParameters } from '../../src/multipart/parameters.js';
import { MultipartReader } from '../../src/multipart/reader.js';

/** What files may be called, and what trips up careless code. */
const NAMES = [
  'plain.txt',
  'été ☃ 😀.txt',
  'a/b/c',
  '/',
  '..',
  '../../etc/passwd',
  'a b+c&d=e?f#g%h%2F',
  '"quoted" \\ backslash',
  "it's; filename=x",
  'line\r\nX-Evil: 1',
  '\0\x1f\x7f',
  'constructor',
  'toString',
  '10',
  '9',
  'data',
  '\u2028\ufeff\uffff',
  'n'.repeat(4096),
  '語'.repeat(1365),
];

let it: TestApp;
let count = 0;
let db = '';

beforeAll(async () => {
  it = await startApp();
});
afterAll(async () => {
  expect(it.errors).toEqual([]);
  await it.stop();
});
beforeEach(async () => {
  db = `/db${String(++count)}`;
  await it.request('PUT', db);
});

const contentOf = (name: string): Buffer => Buffer.from(`of ${JSON.stringify(name)}`);
const pathOf = encodeURIComponent;

/** Every attachment is there under its name, whichever way it is asked for. */
async function expectAll(id: string, names: readonly string[]): Promise<void> {
  const full = (await it.request('GET', `${db}/${id}?attachments=true`)).body as {
    _attachments: Record<string, { data: string }>;
  };
  expect(new Set(Object.keys(full._attachments))).toEqual(new Set(names));
  for (const name of names) {
    expect(full._attachments[name]?.data).toBe(contentOf(name).toString('base64'));
    if (name !== '')
      expect((await it.request('GET', `${db}/${id}/${pathOf(name)}`)).bytes).toEqual(contentOf(name));
  }
}

const inline = (names: readonly string[]): object =>
  Object.fromEntries(names.map((name) => [name, { data: contentOf(name).toString('base64') }]));

const putInline = (id: string): Promise<Answer> =>
  it.request('PUT', `${db}/${id}`, { json: { _attachments: inline(NAMES) } });

/** The names and contents of the parts behind the first of a multipart/related body. */
async function partsOf(type: string, body: Buffer): Promise<[name: string, content: string][]> {
  const boundary = parseHeaderParameters(type).parameters.get('boundary') ?? '';
  // eslint-disable-next-line @typescript-eslint/require-await -- it is read like what comes over a socket
  const source = (async function* () {
    yield body;
  })();
  const found: [string, string][] = [];
  for await (const part of new MultipartReader(source, boundary)) {
    const chunks: Buffer[] = [];
    for await (const chunk of part.body) chunks.push(chunk);
    const { parameters } = parseHeaderParameters(part.headers.get('content-disposition') ?? '');
    found.push([parameters.get('filename') ?? '', Buffer.concat(chunks).toString()]);
  }
  return found.slice(1);
}

describe('an attachment of any name', () => {
  test('comes by its own path', async () => {
    let rev = '';
    for (const name of NAMES) {
      const answer = await it.request('PUT', `${db}/doc/${pathOf(name)}${rev && `?rev=${rev}`}`, {
        text: contentOf(name),
        headers: { 'content-type': 'image/x' },
      });
      expect(answer.status, name.slice(0, 20)).toBe(201);
      ({ rev } = answer.body as { rev: string });
    }
    await expectAll('doc', NAMES);
    for (const name of NAMES) {
      const answer = await it.request('DELETE', `${db}/doc/${pathOf(name)}?rev=${rev}`);
      expect(answer.status).toBe(200);
      ({ rev } = answer.body as { rev: string });
    }
    expect((await it.request('GET', `${db}/doc`)).body).toEqual({ _id: 'doc', _rev: rev });
  });

  test('comes in the JSON of a document, and is copied', async () => {
    const names = [...NAMES, ''];
    const answer = await it.request('PUT', `${db}/doc`, { json: { _attachments: inline(names) } });
    expect(answer.status).toBe(201);
    await expectAll('doc', names);
    const copied = await it.request('COPY', `${db}/doc`, { headers: { destination: 'copy' } });
    expect(copied.status).toBe(201);
    await expectAll('copy', names);
  });

  test('follows its document', async () => {
    const stubs = NAMES.map((name) => [name, { follows: true, length: contentOf(name).length }] as const);
    // In the order of the JSON text, in which numbers come first.
    const _attachments = Object.fromEntries(stubs);
    const ordered = Object.keys(_attachments);
    const text = Buffer.concat([
      Buffer.from(`--B\r\nContent-Type: application/json\r\n\r\n${JSON.stringify({ _attachments })}`),
      ...ordered.flatMap((name) => [Buffer.from('\r\n--B\r\n\r\n'), contentOf(name)]),
      Buffer.from('\r\n--B--'),
    ]);
    const headers = { 'content-type': 'multipart/related; boundary=B' };
    expect((await it.request('PUT', `${db}/doc`, { text, headers })).status).toBe(201);
    await expectAll('doc', NAMES);
  });

  test('goes out behind its document, in order, and adds no headers', async () => {
    const { rev } = (await putInline('doc')).body as { rev: string };
    const answer = await it.request('GET', `${db}/doc?attachments=true`, {
      headers: { accept: 'multipart/related' },
    });
    expect(answer.headers['content-length']).toBe(String(answer.bytes.length));
    const parts = await partsOf(answer.headers['content-type'] ?? '', answer.bytes);
    const ordered = Object.keys(Object.fromEntries(NAMES.map((name) => [name, 0])));
    expect(parts.map(([, content]) => content)).toEqual(ordered.map((name) => contentOf(name).toString()));
    for (const [at, [name]] of parts.entries()) {
      // eslint-disable-next-line no-control-regex -- they are written as what they are in URLs
      if (!/[\x00-\x1f\x7f]/.test(ordered[at] ?? '')) expect(name).toBe(ordered[at]);
    }
    expect(answer.text).not.toContain('\nX-Evil');
    const open = await it.request('GET', `${db}/doc?open_revs=["${rev}"]`, {
      headers: { accept: 'multipart/mixed' },
    });
    for (const name of NAMES) expect(open.bytes.includes(contentOf(name))).toBe(true);
  });

  test('comes with a form, as browsers write it', async () => {
    // eslint-disable-next-line no-control-regex -- browsers write them as they are in URLs
    const names = NAMES.filter((name) => !/[\x00-\x1f\x7f"\\]/.test(name));
    const text = Buffer.concat([
      Buffer.from('--B\r\nContent-Disposition: form-data; name="_doc"\r\n\r\n{}'),
      ...names.flatMap((name) => [
        Buffer.from(
          `\r\n--B\r\nContent-Disposition: form-data; name="_attachments"; filename="${name}"\r\n\r\n`,
        ),
        contentOf(name),
      ]),
      Buffer.from('\r\n--B--'),
    ]);
    const headers = {
      host: 'h',
      referer: 'http://h/x',
      'content-type': 'multipart/form-data; boundary=B',
    };
    expect((await it.request('POST', `${db}/doc`, { text, headers })).status).toBe(201);
    await expectAll('doc', names);
  });
});

import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { type Answer, startApp, type TestApp } from './app.js';

let it: TestApp;
let made = 0;
/** A new database for each test. */
let db = '';
beforeAll(async () => {
  it = await startApp();
});
beforeEach(async () => {
  db = `/db${String(++made)}`;
  await it.request('PUT', db);
});
afterAll(async () => {
  expect(it.errors).toEqual([]);
  await it.stop();
});

const JSON_TYPE = { 'content-type': 'application/json' };
const REV = `2-${'a'.repeat(32)}`;

/** Members that a value in JavaScript would not keep as they are, in the form in which CouchDB sends them. */
const MEMBERS =
  '"big":123456789012345678901234567890,"neg":-9007199254740993,"one":1.0,"ten":100.0,"tiny":1e-7,' +
  '"nul":"\\u0000","text":"é😀\u2028/\\"\\\\\u007f","2":0,"1":0,"":{"__proto__":{"polluted":true}},' +
  '"constructor":{"prototype":{"polluted":true}},"toString":[[],{}],"hasOwnProperty":null';

const send = (method: string, path: string, text: string, headers = JSON_TYPE): Promise<Answer> =>
  it.request(method, `${db}/${path}`, { text, headers });

/** A multipart body of texts, each with its head. */
const multipart = (...parts: readonly (readonly [head: string, text: string])[]): string =>
  `${parts.map(([head, text]) => `--B\r\n${head}\r\n\r\n${text}\r\n`).join('')}--B--`;

const WRITES: readonly (readonly [string, (text: string) => Promise<Answer>])[] = [
  ['PUT', (text) => send('PUT', 'a', `{${text}}`)],
  ['POST', (text) => it.request('POST', db, { text: `{"_id":"a",${text}}`, headers: JSON_TYPE })],
  ['batch=ok', (text) => send('PUT', 'a?batch=ok', `{${text}}`)],
  ['_bulk_docs', (text) => send('POST', '_bulk_docs', `{"docs":[{"_id":"a",${text}}]}`)],
  [
    'replicated _bulk_docs',
    (text) => send('POST', '_bulk_docs', `{"new_edits":false,"docs":[{"_id":"a","_rev":"${REV}",${text}}]}`),
  ],
  ['replicated PUT', (text) => send('PUT', 'a?new_edits=false', `{"_rev":"${REV}",${text}}`)],
  [
    'multipart/related',
    (text) =>
      send('PUT', 'a', multipart(['Content-Type: application/json', `{${text}}`]), {
        'content-type': 'multipart/related; boundary="B"',
      }),
  ],
  [
    'a form',
    (text) =>
      it.request('POST', `${db}/a`, {
        text: multipart(['Content-Disposition: form-data; name="_doc"', `{${text}}`]),
        headers: { 'content-type': 'multipart/form-data; boundary=B', host: 'h', referer: 'http://h/' },
      }),
  ],
];

const READS: readonly (readonly [string, () => Promise<Answer>])[] = [
  ['GET', () => it.request('GET', `${db}/a`)],
  [
    'GET with everything',
    () => it.request('GET', `${db}/a?attachments=true&revs=true&revs_info=true&conflicts=true`),
  ],
  ['GET of a revision', () => it.request('GET', `${db}/a?rev=${REV}`)],
  ['open_revs as JSON', () => it.request('GET', `${db}/a?open_revs=all&revs=true`)],
  [
    'open_revs as multipart/mixed',
    () =>
      it.request('GET', `${db}/a?open_revs=["${REV}"]&latest=true`, {
        headers: { accept: 'multipart/mixed' },
      }),
  ],
  [
    'multipart/related',
    () => it.request('GET', `${db}/a?attachments=true`, { headers: { accept: 'multipart/related' } }),
  ],
  [
    '_bulk_get',
    () => send('POST', '_bulk_get?revs=true&latest=true', `{"docs":[{"id":"a","rev":"${REV}"}]}`),
  ],
  ['_bulk_get with attachments', () => send('POST', '_bulk_get?attachments=true', '{"docs":[{"id":"a"}]}')],
  [
    '_bulk_get as multipart/mixed',
    () =>
      send('POST', '_bulk_get', '{"docs":[{"id":"a"}]}', { ...JSON_TYPE, ...{ accept: 'multipart/mixed' } }),
  ],
  ['_all_docs', () => it.request('GET', `${db}/_all_docs?include_docs=true`)],
  ['_all_docs of keys', () => send('POST', '_all_docs?include_docs=true', '{"keys":["a"]}')],
  ['_changes', () => it.request('GET', `${db}/_changes?include_docs=true&style=all_docs&attachments=true`)],
  ['_changes, longpoll', () => it.request('GET', `${db}/_changes?include_docs=true&feed=longpoll`)],
  [
    '_changes, continuous',
    () => it.request('GET', `${db}/_changes?include_docs=true&feed=continuous&timeout=0`),
  ],
  [
    '_changes, eventsource',
    () => it.request('GET', `${db}/_changes?include_docs=true&feed=eventsource&timeout=0`),
  ],
  ['_changes of ids', () => send('POST', '_changes?include_docs=true&filter=_doc_ids', '{"doc_ids":["a"]}')],
  [
    '_changes by a selector',
    () =>
      send(
        'POST',
        '_changes?include_docs=true&filter=_selector',
        '{"selector":{"one":1,"constructor":{"$exists":true}}}',
      ),
  ],
];

describe('what a document says (I13)', () => {
  test.each(WRITES)('is stored as it is by %s', async (_, write) => {
    expect((await write(MEMBERS)).status).toBeLessThan(300);
    // What is written later is answered behind it.
    await send('PUT', 'b', '{}');
    expect((await it.request('GET', `${db}/a`)).text).toContain(`,${MEMBERS}}`);
  });

  test.each(READS)('is sent as it is stored by %s', async (_, read) => {
    const attachments = '"_attachments":{"constructor":{"data":"aGVsbG8="}}';
    await send('PUT', 'a?new_edits=false', `{"_rev":"${REV}",${attachments},${MEMBERS}}`);
    const { status, text } = await read();
    expect(status).toBe(200);
    expect(text).toContain(`"_rev":"${REV}",${MEMBERS},`);
    expect(text).toContain('"_attachments":{"constructor":{');
  });

  test('goes through a replication that only knows texts', async () => {
    await send('PUT', 'a', `{${MEMBERS}}`);
    const { text } = await send('POST', '_bulk_get?revs=true', '{"docs":[{"id":"a"}]}');
    const document = text.slice(text.indexOf('{"ok":') + 6, text.lastIndexOf('}]}]}'));
    await it.request('PUT', `${db}-copy`);
    const body = { text: `{"new_edits":false,"docs":[${document}]}`, headers: JSON_TYPE };
    expect((await it.request('POST', `${db}-copy/_bulk_docs`, body)).text).toBe('[]\n');
    const [from, to] = [await it.request('GET', `${db}/a`), await it.request('GET', `${db}-copy/a`)];
    expect(to.text).toBe(from.text);
  });

  test('is kept by a copy and by attachments that are added', async () => {
    const { body } = await send('PUT', 'a', `{${MEMBERS}}`);
    const { rev } = body as { rev: string };
    await it.request('COPY', `${db}/a`, { headers: { destination: 'b' } });
    await it.request('PUT', `${db}/a/x?rev=${rev}`, { text: 'x' });
    for (const id of ['a', 'b']) expect((await it.request('GET', `${db}/${id}`)).text).toContain(MEMBERS);
  });

  test('is kept in local documents and security objects', async () => {
    await send('PUT', '_local/a', `{${MEMBERS}}`);
    await send('POST', '_bulk_docs', `{"docs":[{"_id":"_local/b",${MEMBERS}}]}`);
    for (const id of ['a', 'b']) {
      const { text } = await it.request('GET', `${db}/_local/${id}`);
      expect(text).toBe(`{"_id":"_local/${id}","_rev":"0-1",${MEMBERS}}\n`);
    }
    expect((await it.request('GET', `${db}/_local_docs?include_docs=true`)).text).toContain(`${MEMBERS}}`);
    const security = `{"admins":{"names":["jan"]},${MEMBERS}}`;
    expect((await send('PUT', '_security', security)).status).toBe(200);
    expect((await it.request('GET', `${db}/_security`)).text).toBe(`${security}\n`);
  });

  test('pollutes nothing', () => {
    expect(({} as { polluted?: boolean }).polluted).toBeUndefined();
  });
});

const IDS = [
  'constructor',
  'toString',
  'a__proto__',
  'é😀',
  'a/b',
  '"',
  '\\',
  ' ',
  '.',
  '\u007f',
  '\uffff',
  '\u0000',
  '%2F',
];

test.each(IDS)('a document may be called %j', async (id) => {
  const path = encodeURIComponent(id);
  const name = JSON.stringify(id);
  const { body } = await send('PUT', path, '{"v":1.0}');
  const { rev } = body as { rev: string };
  const document = `{"_id":${name},"_rev":"${rev}","v":1.0}`;
  expect((await it.request('GET', `${db}/${path}`)).text).toBe(`${document}\n`);
  const bulk = await send('POST', '_bulk_get', `{"docs":[{"id":${name}}]}`);
  expect(bulk.text).toContain(`{"id":${name},"docs":[{"ok":${document}}]}`);
  const diff = await send('POST', '_revs_diff', `{${name}:["${rev}","${REV}"]}`);
  expect(diff.body).toEqual(JSON.parse(`{${name}:{"missing":["${REV}"],"possible_ancestors":["${rev}"]}}`));
  const key = encodeURIComponent(name);
  for (const query of [`key=${key}`, `keys=[${key}]`, `startkey=${key}&endkey=${key}`]) {
    const listed = await it.request('GET', `${db}/_all_docs?${query}`);
    expect(listed.body).toMatchObject({ rows: [{ id, key: id, value: { rev } }] });
  }
  const feed = await send('POST', '_changes?filter=_doc_ids', `{"doc_ids":[${name}]}`);
  expect(feed.body).toMatchObject({ results: [{ id, changes: [{ rev }] }] });
  expect((await it.request('DELETE', `${db}/${path}?rev=${rev}`)).status).toBe(200);
  expect(await it.request('GET', `${db}/${path}`)).toMatchObject({
    status: 404,
    body: { reason: 'deleted' },
  });
});

describe('text that is no JSON', () => {
  const whole = (text: string): string => `{"v":${text}}`;
  const bytes = (...parts: (string | number[])[]): Buffer =>
    Buffer.concat(parts.map((part) => Buffer.from(part as string)));

  test.each<[string, string | Buffer]>([
    ['a byte order mark', '\ufeff{}'],
    ['broken UTF-8', bytes('{"v":"', [0xff], '"}')],
    ['an overlong form', bytes('{"v":"', [0xc0, 0x80], '"}')],
    ['a surrogate in UTF-8', bytes('{"v":"', [0xed, 0xa0, 0x80], '"}')],
    ['UTF-8 that is cut off', bytes('{"v":"', [0xe2, 0x82])],
    ['UTF-16', Buffer.from('{"v":1}', 'utf16le')],
    ['half a pair of surrogates', whole('"\\ud800"')],
    ['half a pair in a key', '{"\\udc00":1}'],
    ['a number that no double holds', whole('1e400')],
    ['NaN', whole('NaN')],
    ['a leading zero', whole('01')],
    ['a control character', whole('"\n"')],
    ['single quotes', "{'v':1}"],
    ['a comment', '{"v":1 /* x */}'],
    ['a trailing comma', '{"v":1,}'],
    ['nothing', ''],
    ['half a document', '{"v":'],
    ['two documents', '{}{}'],
  ])('is refused and stored nowhere: %s', async (_, text) => {
    const refused = { status: 400, body: { error: 'bad_request', reason: 'invalid UTF-8 JSON' } };
    const wrapped = Buffer.concat([Buffer.from('{"docs":['), Buffer.from(text), Buffer.from(']}')]);
    expect(await it.request('PUT', `${db}/a`, { text, headers: JSON_TYPE })).toMatchObject(refused);
    expect(await it.request('PUT', `${db}/_local/a`, { text, headers: JSON_TYPE })).toMatchObject(refused);
    expect(await it.request('PUT', `${db}/_security`, { text, headers: JSON_TYPE })).toMatchObject(refused);
    if (text !== '') {
      const batch = { text: wrapped, headers: JSON_TYPE };
      expect(await it.request('POST', `${db}/_bulk_docs`, batch)).toMatchObject(refused);
    }
    expect((await it.request('GET', db)).body).toMatchObject({ doc_count: 0 });
    expect((await it.request('GET', `${db}/_local/a`)).status).toBe(404);
  });
});

describe('nesting', () => {
  const nested = (depth: number): string => `{"v":${'['.repeat(depth - 1)}${']'.repeat(depth - 1)}}`;

  test('of 2,500 is read, stored and sent', async () => {
    await send('PUT', 'a', nested(2500));
    const members = nested(2500).slice(1);
    for (const path of [
      'a',
      'a?open_revs=all',
      '_all_docs?include_docs=true',
      '_changes?include_docs=true',
    ]) {
      expect((await it.request('GET', `${db}/${path}`)).text).toContain(members);
    }
    const selector = '{"selector":{"v":{"$exists":true}}}';
    const { text } = await send('POST', '_changes?include_docs=true&filter=_selector', selector);
    expect(text).toContain(members);
  });

  test.each(['PUT', 'POST'])('beyond it is refused with that reason: %s', async (method) => {
    const reason = 'JSON may not nest deeper than 2500';
    const [path, text] =
      method === 'PUT' ? ['a', nested(2501)] : ['_bulk_docs', `{"docs":[${nested(2499)}]}`];
    const answer = await send(method, path, text);
    expect(answer).toMatchObject({ status: 400, body: { error: 'bad_request', reason } });
  });
});

describe('a document of 8,000,000 bytes', () => {
  /** `{"v":"…"}` counts eight more. */
  const LENGTH = 7_999_992;
  const put = (id: string, text: string): Promise<Answer> => send('PUT', id, `{"_id":"${id}","v":"${text}"}`);
  const tooLarge = { status: 413, body: { error: 'document_too_large', reason: 'a' } };

  test('may be stored, and not a byte more', async () => {
    expect((await put('a', 'x'.repeat(LENGTH + 1))).body).toMatchObject(tooLarge.body);
    expect((await it.request('GET', `${db}/a`)).status).toBe(404);
    expect((await put('a', 'x'.repeat(LENGTH))).status).toBe(201);
    expect((await it.request('GET', `${db}/a`)).bytes.length).toBe(8_000_000 + 55);
    const docs = (length: number): string =>
      `{"new_edits":false,"docs":[{"_id":"b"},{"_id":"a","_rev":"${REV}","v":"${'x'.repeat(length)}"}]}`;
    expect(await send('POST', '_bulk_docs', docs(LENGTH + 1))).toMatchObject(tooLarge);
  });

  test('is counted without escapes and without the digits of fractions', async () => {
    expect((await put('a', '\\n'.repeat(LENGTH))).status).toBe(201);
    expect(await put('a', '\\n'.repeat(LENGTH + 1))).toMatchObject(tooLarge);
    const fractions = Array.from({ length: 500_000 }, (_, at) => `${String(at)}.123456789012`);
    expect((await send('PUT', 'b', `{"v":[${fractions.join(',')}]}`)).status).toBe(201);
  });
});

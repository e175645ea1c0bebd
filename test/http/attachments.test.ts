import { createHash } from 'node:crypto';
import { gunzipSync, gzipSync } from 'node:zlib';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { type Answer, type RequestOptions, startApp, type TestApp } from './app.js';

let it: TestApp;
let count = 0;
/** A new database for each test. */
let db = '';

beforeAll(async () => {
  it = await startApp({ limits: { maxAttachmentSize: 100_000, maxHttpRequestSize: 50_000 } });
});
afterAll(async () => {
  expect(it.errors).toEqual([]);
  await it.stop();
});
beforeEach(async () => {
  db = `/db${String(++count)}`;
  await it.request('PUT', db);
});

const NONE_REV = `1-${'0'.repeat(32)}`;
const md5 = (bytes: string | Buffer): string => createHash('md5').update(bytes).digest('base64');
const base64 = (text: string): string => Buffer.from(text).toString('base64');
const revOf = ({ body }: Answer): string => (body as { rev: string }).rev;

/** Puts an attachment; the type is one that is not compressed. */
const put = (
  path: string,
  text: string | Buffer,
  headers = {},
  options: RequestOptions = {},
): Promise<Answer> =>
  it.request('PUT', `${db}/${path}`, {
    text,
    headers: { 'content-type': 'application/octet-stream', ...headers },
    ...options,
  });
const get = (path: string, headers = {}, options: RequestOptions = {}): Promise<Answer> =>
  it.request('GET', `${db}/${path}`, { headers, ...options });
const putDoc = (id: string, json: object, query = ''): Promise<Answer> =>
  it.request('PUT', `${db}/${id}${query}`, { json });
const attachmentsOf = async (id: string, query = ''): Promise<Record<string, object>> =>
  ((await get(`${id}${query}`)).body as { _attachments: Record<string, object> })._attachments;
const error = (status: number, name: string, reason?: string): object => ({
  status,
  body: { error: name, reason: reason ?? (expect.any(String) as string) },
});

describe('names', () => {
  test.each([
    ['dir/x', 'dir/x', 'dir%2Fx'],
    ['dir%2Fx', 'dir/x', 'dir%2Fx'],
    ['a//b', 'a/b', 'a%2Fb'],
    ['literal%252Fslash', 'literal%2Fslash', 'literal%252Fslash'],
    ['f_', 'f_', 'f_'],
    ['%C3%A9t%C3%A9', 'été', '%C3%A9t%C3%A9'],
    ['__proto__x'.slice(2), 'proto__x', 'proto__x'],
    ["a!*'(b)", "a!*'(b)", 'a%21%2A%27%28b%29'],
    ['10', '10', '10'],
    ['%00', '\0', '%00'],
    ['x%0D%0AX-Evil:%201', 'x\r\nX-Evil: 1', 'x%0D%0AX-Evil:%201'],
  ])('%s is the name %j', async (path, name, located) => {
    const answer = await put(`doc%2Fid/${path}`, 'x');
    expect(answer).toMatchObject({ status: 201, body: { ok: true, id: 'doc/id' } });
    expect(answer.headers.location).toMatch(/^http:\/\//);
    expect(answer.headers.location?.endsWith(`${db}/doc%2Fid/${located}`)).toBe(true);
    expect(answer.headers.etag).toBeUndefined();
    expect(Object.keys(await attachmentsOf('doc%2Fid'))).toEqual([name]);
    expect((await get(`doc%2Fid/${located}`)).text).toBe('x');
  });

  test('with an underscore before them are refused, whatever else is wrong', async () => {
    const reason = "Attachment name '_f' starts with prohibited character '_'";
    expect(await put('doc/_f?rev=garbage', 'x', { 'content-encoding': 'br' })).toMatchObject(
      error(400, 'bad_request', reason),
    );
    expect(await it.request('DELETE', `${db}/doc/_f`)).toMatchObject(error(400, 'bad_request', reason));
    expect(await putDoc('doc', { _attachments: { _f: { data: '' } } })).toMatchObject(
      error(400, 'bad_request', reason),
    );
    expect(await get('doc')).toMatchObject(error(404, 'not_found', 'missing'));
    await putDoc('doc', {});
    expect(await get('doc/_f')).toMatchObject(error(404, 'not_found', 'Document is missing attachment'));
  });

  test.each(['doc/%', 'doc/%zz', 'doc/a%2'])('%s is no path', async (path) => {
    expect(await put(path, 'x')).toMatchObject(error(400, 'bad_request'));
    expect(await get(path)).toMatchObject(error(400, 'bad_request'));
  });

  test('that are no UTF-8 are refused', async () => {
    expect((await put('doc/%ff', 'x')).status).toBe(400);
    expect((await get('doc/%ff')).status).toBe(404);
  });

  test('an empty one is reached through the document alone', async () => {
    const answer = await putDoc('doc', { _attachments: { '': { data: base64('e') } } });
    expect(answer.status).toBe(201);
    expect(await attachmentsOf('doc', '?attachments=true')).toMatchObject({ '': { data: base64('e') } });
  });

  test('a name and a slash are the document itself', async () => {
    await putDoc('doc', { v: 1 });
    expect((await get('doc/')).body).toMatchObject({ _id: 'doc', v: 1 });
  });
});

describe('documents of a kind', () => {
  test('design documents have attachments at both spellings of their paths', async () => {
    const first = await put('_design/d/f', 'one');
    expect(first).toMatchObject({ status: 201, body: { id: '_design/d' } });
    const second = await put(`_design%2Fd/f?rev=${revOf(first)}`, 'two');
    expect(second.status).toBe(201);
    const moved = await get('_design%2Fd/f');
    expect(moved.status).toBe(301);
    expect(moved.headers.location).toMatch(new RegExp(`${db}/_design/d/f$`));
    expect((await get('_design/d/f')).text).toBe('two');
    const gone = await it.request('DELETE', `${db}/_design%2Fd/f?rev=${revOf(second)}`);
    expect(gone.status).toBe(200);
  });

  test('local documents have none', async () => {
    const reason = '_local documents do not accept attachments.';
    for (const path of ['_local/l/f', '_local%2Fl/f']) {
      for (const method of ['PUT', 'GET', 'DELETE']) {
        const answer = await it.request(method, `${db}/${path}`, method === 'PUT' ? { text: 'x' } : {});
        expect(answer, `${method} ${path}`).toMatchObject(error(400, 'bad_request', reason));
      }
    }
    expect((await get('_local/l')).status).toBe(404);
  });

  test('in local documents attachments are looked at and dropped', async () => {
    expect((await putDoc('_local/l', { _attachments: { f: { data: '!' } } })).status).toBe(400);
    expect((await putDoc('_local/l', { v: 1, _attachments: { f: { stub: true } } })).status).toBe(201);
    expect((await get('_local/l')).body).toEqual({ _id: '_local/l', _rev: '0-1', v: 1 });
  });

  test('a deleted document keeps what it is written with', async () => {
    const first = await put('doc/f', 'kept');
    const gone = await putDoc('doc', {
      _rev: revOf(first),
      _deleted: true,
      _attachments: { f: { stub: true } },
    });
    expect(gone.status).toBe(200);
    expect(await get('doc/f')).toMatchObject(error(404, 'not_found', 'deleted'));
    expect((await get(`doc/f?rev=${revOf(gone)}`)).text).toBe('kept');
    const plain = await put('other/f', 'x');
    const deleted = await it.request('DELETE', `${db}/other?rev=${revOf(plain)}`);
    expect((await get(`other?rev=${revOf(deleted)}`)).body).not.toHaveProperty('_attachments');
  });
});

describe('rights', () => {
  const security = { admins: { names: ['dbadmin'], roles: [] }, members: { names: ['member'], roles: [] } };

  test.each([
    [null, [401, 401, 401]],
    ['stranger', [403, 403, 403]],
    ['member', [201, 200, 200]],
    ['dbadmin', [201, 200, 200]],
  ])('%s may do this with attachments: %j', async (as, statuses) => {
    const rev = revOf(await put('doc/f', 'x'));
    await it.request('PUT', `${db}/_security`, { json: security });
    const wrote = await put(`doc/g?rev=${rev}`, 'y', {}, { as });
    const read = await get('doc/f', {}, { as });
    const now = ((await get('doc')).body as { _rev: string })._rev;
    const removed = await it.request('DELETE', `${db}/doc/f?rev=${now}`, { as });
    expect([wrote.status, read.status, removed.status]).toEqual(statuses);
  });

  test('only admins write those of design documents, in whatever way', async () => {
    await it.request('PUT', `${db}/_security`, { json: security });
    const refused = error(403, 'forbidden', 'You are not a db or server admin.');
    expect(await put('_design/d/f', 'x', {}, { as: 'member' })).toMatchObject(refused);
    expect(await put('_design%2Fd/f', 'x', {}, { as: 'member' })).toMatchObject(refused);
    const made = await put('_design/d/f', 'x', {}, { as: 'dbadmin' });
    expect(made.status).toBe(201);
    const remove = `${db}/_design/d/f?rev=${revOf(made)}`;
    expect(await it.request('DELETE', remove, { as: 'member' })).toMatchObject(refused);
    expect((await get('_design/d/f', {}, { as: 'member' })).text).toBe('x');
  });

  test('a method that there is not is told as such', async () => {
    for (const [method, path] of [
      ['POST', 'doc/f'],
      ['COPY', 'doc/f/g'],
      ['POST', '_design/d/f'],
    ] as const) {
      const answer = await it.request(method, `${db}/${path}`, { text: '' });
      expect(answer).toMatchObject(error(405, 'method_not_allowed', 'Only DELETE,GET,HEAD,PUT allowed'));
      expect(answer.headers.allow).toBe('DELETE,GET,HEAD,PUT');
    }
  });
});

describe('reading', () => {
  const TEN = '0123456789';

  test.each([
    ['none/f', 404, 'not_found', 'missing'],
    ['gone/f', 404, 'not_found', 'deleted'],
    ['doc/g', 404, 'not_found', 'Document is missing attachment'],
    [`doc/f?rev=${NONE_REV}`, 404, 'not_found', 'missing'],
    [`none/f?rev=${NONE_REV}`, 404, 'not_found', 'missing'],
    ['doc/f?rev=garbage', 400, 'bad_request', 'Invalid rev format'],
    ['none/f?rev=garbage', 400, 'bad_request', 'Invalid rev format'],
  ])('%s is answered %i %s %s', async (path, status, name, reason) => {
    await put('doc/f', 'x');
    await it.request('DELETE', `${db}/gone?rev=${revOf(await put('gone/f', 'x'))}`);
    expect(await get(path)).toMatchObject(error(status, name, reason));
    const head = await it.request('HEAD', `${db}/${path}`);
    expect(head).toMatchObject({ status, text: '' });
    expect(head.headers['content-type']).toBe('application/json');
  });

  test('in a database that does not exist', async () => {
    expect(await it.request('GET', '/nope/doc/f')).toMatchObject(
      error(404, 'not_found', 'Database does not exist.'),
    );
    expect((await it.request('PUT', '/nope/doc/f', { text: 'x' })).status).toBe(404);
  });

  test('has headers that let nobody take it for a page of ours', async () => {
    await put('doc/f', '<script>', { 'content-type': 'text/html; charset=utf-8' });
    await put('plain/f', TEN);
    const plain = await get('plain/f');
    expect(plain).toMatchObject({ status: 200, text: TEN });
    expect(plain.headers).toMatchObject({
      etag: `"${md5(TEN)}"`,
      'cache-control': 'must-revalidate',
      'content-type': 'application/octet-stream',
      'content-length': '10',
      'accept-ranges': 'bytes',
      'content-security-policy': 'sandbox',
      'x-content-type-options': 'nosniff',
    });
    expect(plain.headers).not.toHaveProperty('content-md5');
    expect(plain.headers).not.toHaveProperty('content-disposition');
    const page = await get('doc/f');
    expect(page.headers).toMatchObject({
      'content-type': 'text/html; charset=utf-8',
      'accept-ranges': 'none',
      'content-security-policy': 'sandbox',
      'x-content-type-options': 'nosniff',
    });
    const head = await it.request('HEAD', `${db}/plain/f`);
    expect({ ...head, headers: { ...head.headers, date: '', 'x-couch-request-id': '' } }).toMatchObject({
      status: 200,
      text: '',
      headers: { ...plain.headers, date: '', 'x-couch-request-id': '' },
    });
  });

  test.each(['text/plain\r\nX-Evil: 1', 'image/\u20acuro', 'a\0b', '', ' '])(
    'a content type %j is not sent as a header that breaks',
    async (type) => {
      await putDoc('doc', { _attachments: { f: { content_type: type, data: base64('x') } } });
      const answer = await get('doc/f', { 'accept-encoding': 'gzip' });
      expect(answer.status).toBe(200);
      expect(answer.headers).not.toHaveProperty('x-evil');
      expect(answer.headers['content-type']).toMatch(/^application\/octet-stream$|^ ?$/);
      expect(await attachmentsOf('doc')).toMatchObject({ f: { content_type: type } });
    },
  );

  test.each([
    ['"E"', 304],
    ['W/"x", "E"', 304],
    ['"x" "E"', 304],
    ['*', 200],
    ['"x"', 200],
    ['E', 200],
    ['', 200],
  ])('If-None-Match %s is answered %i', async (header, status) => {
    await put('doc/f', TEN);
    const headers = { 'if-none-match': header.replace('E', md5(TEN)) };
    for (const method of ['GET', 'HEAD']) {
      const answer = await it.request(method, `${db}/doc/f`, { headers });
      expect(answer.status).toBe(status);
      if (status !== 304) continue;
      expect(answer.headers.etag).toBe(`"${md5(TEN)}"`);
      for (const name of ['content-type', 'accept-ranges', 'content-length']) {
        expect(answer.headers).not.toHaveProperty(name);
      }
    }
    // The document comes first, then the attachment, then the ETag, then the range.
    expect((await get('doc/f?rev=1-a', headers)).status).toBe(404);
    expect((await get('doc/f', { ...headers, range: 'bytes=20-' })).status).toBe(status === 304 ? 304 : 416);
  });

  test.each([
    ['bytes=0-3', '0123', '0-3/10'],
    ['bytes=4-4', '4', '4-4/10'],
    ['bytes=5-', '56789', '5-9/10'],
    ['bytes=-3', '789', '7-9/10'],
    ['bytes=7-500', '789', '7-9/10'],
    ['bytes=0-9', TEN, '0-9/10'],
    ['bytes=-500', TEN, '0-9/10'],
    ['bytes=-10', TEN, '0-9/10'],
    ['bytes= 2-3 , ', '23', '2-3/10'],
    ['bytes=9-99999999999999999999999', '9', '9-9/10'],
  ])('%s are the bytes %s', async (range, text, contentRange) => {
    await put('doc/f', TEN);
    const answer = await get('doc/f', { range });
    expect(answer).toMatchObject({ status: 206, text });
    const wanted = {
      'content-range': `bytes ${contentRange}`,
      'content-length': String(text.length),
      'content-type': 'application/octet-stream',
      'accept-ranges': 'bytes',
      etag: `"${md5(TEN)}"`,
      'content-security-policy': 'sandbox',
    };
    expect(answer.headers).toMatchObject(wanted);
    const head = await it.request('HEAD', `${db}/doc/f`, { headers: { range } });
    expect(head).toMatchObject({ status: 206, text: '', headers: wanted });
  });

  test.each([
    'bytes=0-',
    'bytes=2-3,0-',
    'bytes=',
    'bytes=,',
    'bytes=-',
    'bytes=1-2-3',
    'bytes=a-b',
    'bytes:0-3',
    'Bytes=0-3',
    'nonsense',
    `bytes=${Array(10).fill('1-2').join(',')}`,
  ])('%s is the whole', async (range) => {
    await put('doc/f', TEN);
    const answer = await get('doc/f', { range });
    expect(answer).toMatchObject({ status: 200, text: TEN });
    expect(answer.headers).not.toHaveProperty('content-range');
  });

  test.each(['bytes=5-2', 'bytes=20-30', 'bytes=20-', 'bytes=10-', 'bytes=0-1,20-30', 'bytes=-0'])(
    '%s cannot be had',
    async (range) => {
      await put('doc/f', TEN);
      const answer = await get('doc/f', { range });
      expect(answer).toMatchObject(
        error(416, 'requested_range_not_satisfiable', 'Requested range not satisfiable'),
      );
      for (const name of ['etag', 'accept-ranges', 'content-range']) {
        expect(answer.headers).not.toHaveProperty(name);
      }
      const head = await it.request('HEAD', `${db}/doc/f`, { headers: { range } });
      expect(head).toMatchObject({ status: 416, text: '' });
    },
  );

  test.each([
    ['bytes=0-', 200],
    ['bytes=0-0', 416],
    ['bytes=-1', 416],
  ])('of nothing, %s is answered %i', async (range, status) => {
    await put('doc/f', '');
    expect((await get('doc/f', { range })).status).toBe(status);
    const whole = await get('doc/f');
    expect(whole).toMatchObject({ status: 200, text: '' });
    expect(whole.headers).toMatchObject({ 'content-length': '0', etag: '"1B2M2Y8AsgTpgAmY7PhCfg=="' });
  });

  test.each([
    ['that a client packed', { 'content-encoding': 'gzip' }, gzipSync('content'), 200],
    ['that is packed here', { 'content-type': 'text/plain' }, 'content', 416],
  ])('of an attachment %s there are none', async (_, headers, bytes, status) => {
    await put('doc/f', bytes, headers);
    const gzip = { 'accept-encoding': 'gzip' };
    for (const range of ['bytes=0-3', 'bytes=0-1,3-4', 'bytes=-3', 'bytes=-500', 'bytes=0-500', 'bytes=x']) {
      const plain = await get('doc/f', { range });
      expect(plain).toMatchObject({ status: 200, text: 'content', headers: { 'accept-ranges': 'none' } });
      const packed = await get('doc/f', { range, ...gzip });
      expect(packed).toMatchObject({ status: 200, headers: { 'content-encoding': 'gzip' } });
      expect(gunzipSync(packed.bytes).toString()).toBe('content');
    }
    for (const range of ['bytes=500-', 'bytes=5-2', 'bytes=-0']) {
      expect((await get('doc/f', { range })).status).toBe(status);
      expect((await get('doc/f', { range, ...gzip })).status).toBe(416);
    }
  });

  test('several ranges come in their order, as parts', async () => {
    await put('doc/f', TEN, { 'content-type': 'image/x' });
    const answer = await get('doc/f', { range: 'bytes=8-,0-1,1-2' });
    expect(answer.status).toBe(206);
    const [, boundary = ''] =
      /^multipart\/byteranges; boundary="([0-9a-f]{32})"$/.exec(answer.headers['content-type'] ?? '') ?? [];
    const part = (range: string, text: string): string =>
      `\r\nContent-Type: image/x\r\nContent-Range: bytes ${range}/10\r\n\r\n${text}\r\n--${boundary}`;
    expect(answer.text).toBe(`--${boundary}${part('8-9', '89')}${part('0-1', '01')}${part('1-2', '12')}--`);
    expect(answer.headers).toMatchObject({ 'content-security-policy': 'sandbox' });
    for (const name of ['etag', 'content-range', 'accept-ranges']) {
      expect(answer.headers).not.toHaveProperty(name);
    }
  });

  const WORDS = 'to be compressed '.repeat(50);

  test.each([
    ['gzip', 'gzip'],
    ['deflate, gzip;q=0.5', 'gzip'],
    ['*', 'gzip'],
    ['GZIP', 'gzip'],
    ['identity;q=0, gzip', 'gzip'],
    ['*;q=0.1, identity;q=0', 'gzip'],
    ['gzip;q=0', 'plain'],
    ['gzip;q=0, *', 'plain'],
    ['*, gzip;q=0.0', 'plain'],
    ['deflate, identity', 'plain'],
    ['', 'plain'],
    ['br', 'plain'],
    ['identity;q=0', 406],
    ['*;q=0', 406],
    ['gzip;q=0, identity;q=0', 406],
    ['gzip;q=nonsense', 400],
    ['gzip;q=2', 400],
  ] as const)(
    'what is stored compressed, asked for with Accept-Encoding %s, comes %s',
    async (header, form) => {
      await put('doc/f', WORDS, { 'content-type': 'text/plain' });
      const answer = await get('doc/f', { 'accept-encoding': header });
      if (typeof form === 'number') {
        expect(answer.status).toBe(form);
        return;
      }
      expect(answer.status).toBe(200);
      expect(answer.headers['accept-ranges']).toBe('none');
      expect(answer.headers['content-length']).toBe(String(answer.bytes.length));
      expect(answer.headers['content-encoding']).toBe(form === 'gzip' ? 'gzip' : undefined);
      const plain = form === 'gzip' ? gunzipSync(answer.bytes).toString() : answer.text;
      expect(plain).toBe(WORDS);
      const { headers } = await get('doc/f');
      expect(answer.headers.etag).toBe(headers.etag);
    },
  );

  test('what is stored as it is does not mind Accept-Encoding', async () => {
    await put('doc/f', TEN);
    const answer = await get('doc/f', { 'accept-encoding': 'gzip' });
    expect(answer).toMatchObject({ status: 200, text: TEN });
    expect(answer.headers).not.toHaveProperty('content-encoding');
    expect((await get('doc/f', { 'accept-encoding': 'identity;q=0' })).status).toBe(406);
  });

  test('ranges of what is stored compressed are not cut', async () => {
    await put('doc/f', WORDS, { 'content-type': 'text/plain' });
    expect(await get('doc/f', { range: 'bytes=0-3' })).toMatchObject({ status: 200, text: WORDS });
  });
});

describe('writing', () => {
  test.each([
    ['identity', 201],
    [' IDENTITY ', 201],
    ['gzip', 201],
    ['br', 415],
    ['gzip, gzip', 415],
    ['', 415],
  ])('Content-Encoding %j is answered %i', async (encoding, status) => {
    const bytes = encoding.includes('gzip') ? gzipSync('content') : 'content';
    const answer = await put('doc/f', bytes, { 'content-encoding': encoding });
    expect(answer.status).toBe(status);
    expect((await get('doc/f')).status).toBe(status === 201 ? 200 : 404);
    if (status === 201) expect((await get('doc/f')).text).toBe('content');
  });

  test.each([
    ['doc/f', 409, 'conflict', 'Document update conflict.'],
    [`doc/f?rev=${NONE_REV}`, 409, 'not_found', 'missing_rev'],
    [`none/f?rev=${NONE_REV}`, 409, 'not_found', 'missing_rev'],
    ['doc/f?rev=garbage', 400, 'bad_request', 'Invalid rev format'],
    ['_nope/f', 400, 'illegal_docid', 'Only reserved document ids may start with underscore.'],
    ['doc/f?rev=FIRST', 409, 'conflict', 'Document update conflict.'],
  ])('PUT %s is answered %i %s %s', async (path, status, name, reason) => {
    const first = revOf(await put('doc/f', '1'));
    await put(`doc/f?rev=${first}`, '2');
    expect(await put(path.replace('FIRST', first), 'x')).toMatchObject(error(status, name, reason));
    expect((await get('doc/f')).text).toBe('2');
    expect((await get('none')).status).toBe(404);
  });

  test.each([
    ['none/f', 404, 'not_found', 'missing'],
    ['doc/g', 404, 'not_found', 'Document is missing attachment'],
    ['doc/f', 409, 'conflict', 'Document update conflict.'],
    ['gone/f', 404, 'not_found', 'deleted'],
    [`doc/f?rev=${NONE_REV}`, 409, 'not_found', 'missing_rev'],
    ['doc/f?rev=FIRST', 409, 'conflict', 'Document update conflict.'],
    ['doc/g?rev=FIRST', 404, 'not_found', 'Document is missing attachment'],
    ['doc/f?rev=garbage', 400, 'bad_request', 'Invalid rev format'],
  ])('DELETE %s is answered %i %s %s', async (path, status, name, reason) => {
    const first = revOf(await put('doc/f', '1'));
    await put(`doc/f?rev=${first}`, '2');
    await it.request('DELETE', `${db}/gone?rev=${revOf(await put('gone/f', 'x'))}`);
    const answer = await it.request('DELETE', `${db}/${path.replace('FIRST', first)}`);
    expect(answer).toMatchObject(error(status, name, reason));
    expect((await get('doc/f')).text).toBe('2');
  });

  test('the revision may come in If-Match, but not differ from the one in the URL', async () => {
    const first = revOf(await put('doc/f', '1'));
    const second = await put('doc/f', '2', { 'if-match': `"${first}"`, 'if-none-match': '*' });
    expect(second.status).toBe(201);
    expect(await put(`doc/f?rev=${first}`, '3', { 'if-match': revOf(second) })).toMatchObject(
      error(400, 'bad_request', 'Document rev and etag have different values'),
    );
    const headers = { 'if-match': revOf(second) };
    const removed = await it.request('DELETE', `${db}/doc/f`, { headers });
    expect(removed).toMatchObject({ status: 200, body: { ok: true, id: 'doc' } });
    expect(removed.headers).not.toHaveProperty('location');
    expect(removed.headers).not.toHaveProperty('etag');
  });

  test('the new one stands first, and the others keep their revpos', async () => {
    const data = (text: string) => ({ content_type: 'image/x', data: base64(text) });
    const first = await putDoc('doc', { v: 1, _attachments: { a: data('a'), b: data('b') } });
    const second = await put(`doc/c?rev=${revOf(first)}`, 'c');
    expect(Object.entries(await attachmentsOf('doc'))).toMatchObject([
      ['c', { revpos: 2 }],
      ['a', { revpos: 1 }],
      ['b', { revpos: 1 }],
    ]);
    const third = await put(`doc/b?rev=${revOf(second)}`, 'B');
    expect(Object.entries(await attachmentsOf('doc'))).toMatchObject([
      ['b', { revpos: 3 }],
      ['c', { revpos: 2 }],
      ['a', { revpos: 1 }],
    ]);
    await it.request('DELETE', `${db}/doc/b?rev=${revOf(third)}`);
    expect((await get('doc')).body).toMatchObject({ v: 1 });
    expect(Object.keys(await attachmentsOf('doc'))).toEqual(['c', 'a']);
  });

  test('a deleted document begins anew', async () => {
    const first = await putDoc('doc', { v: 1, _attachments: { a: { data: '' } } });
    const gone = await it.request('DELETE', `${db}/doc?rev=${revOf(first)}`);
    expect(await put(`doc/f?rev=${revOf(gone)}`, 'x')).toMatchObject(error(409, 'conflict'));
    const again = await put('doc/f', 'new');
    expect(revOf(again)).toMatch(/^3-/);
    const { body } = await get('doc');
    expect(body).not.toHaveProperty('v');
    expect(body).toMatchObject({ _attachments: { f: { revpos: 3 } } });
    expect(Object.keys(await attachmentsOf('doc'))).toEqual(['f']);
  });

  test('a deleted branch stays deleted while another lives', async () => {
    const hash = (digit: string): string => digit.repeat(32);
    const docs = [
      { _id: 'doc', _revisions: { start: 2, ids: [hash('a'), hash('0')] }, _deleted: true },
      { _id: 'doc', _revisions: { start: 2, ids: [hash('b'), hash('0')] }, alive: true },
    ];
    await it.request('POST', `${db}/_bulk_docs`, { json: { docs, new_edits: false } });
    const answer = await put(`doc/f?rev=2-${hash('a')}`, 'x');
    expect(answer.status).toBe(201);
    expect((await get(`doc?rev=${revOf(answer)}`)).body).toMatchObject({ _deleted: true });
    expect((await get('doc')).body).toMatchObject({ _rev: `2-${hash('b')}`, alive: true });
  });

  test('of two writers one is refused, and leaves nothing', async () => {
    const first = revOf(await put('doc/f', '1'));
    const answers = await Promise.all(
      Array.from({ length: 10 }, (_, at) => put(`doc/f?rev=${first}`, `racer ${String(at)}`)),
    );
    const won = answers.flatMap(({ status }, at) => (status === 201 ? [at] : []));
    expect(answers.map(({ status }) => status).sort()).toEqual([201, ...Array<number>(9).fill(409)]);
    expect((await get('doc/f')).text).toBe(`racer ${String(won[0])}`);
    expect((await get('doc?conflicts=true')).body).not.toHaveProperty('_conflicts');
  });

  test.each([
    [5, 'sGm1BvVBghV/M8wTSvz1sw=='],
    [3000, '64Q6/2NRhWKVWeZxM/pu2Q=='],
    [32_768, 'HDpdijyIHX8EpxfOoyuRkQ=='],
  ])('a text of %i bytes has the digest that a CouchDB shows', async (length, digest) => {
    const lines = Array.from(
      { length: 3000 },
      (_, i) => `${String((i * i) % 97)} lorem ipsum, ${String(i)} dolor\n`,
    );
    await put('doc/f', lines.join('').slice(0, length), { 'content-type': 'text/plain' });
    expect(await attachmentsOf('doc')).toMatchObject({ f: { digest: `md5-${digest}` } });
  });

  test('what a client compressed comes back either way', async () => {
    const zipped = gzipSync('compressed by the client');
    await put('doc/f', zipped, { 'content-encoding': 'gzip' });
    const info = await attachmentsOf('doc', '?att_encoding_info=true');
    const shown = { encoding: 'gzip', encoded_length: zipped.length, digest: `md5-${md5(zipped)}` };
    expect(info.f).toMatchObject({ ...shown, length: zipped.length, stub: true });
    expect((await get('doc/f', { 'accept-encoding': 'gzip' })).bytes).toEqual(zipped);
    const plain = await get('doc/f');
    expect(plain.text).toBe('compressed by the client');
    expect(plain.headers.etag).toBe(`"${md5(zipped)}"`);
    const data = await attachmentsOf('doc', '?attachments=true&att_encoding_info=true');
    expect(data.f).toMatchObject({
      encoding: 'gzip',
      encoded_length: zipped.length,
      data: base64('compressed by the client'),
    });
    expect(data.f).not.toHaveProperty('length');
  });

  test.each([
    ['no gzip at all', Buffer.from('not gzip')],
    ['cut off', gzipSync('x'.repeat(1000)).subarray(0, -5)],
    ['nothing', Buffer.alloc(0)],
  ])('%s sent as gzip is refused', async (_, bytes) => {
    expect(await put('doc/f', bytes, { 'content-encoding': 'gzip' })).toMatchObject(
      error(400, 'bad_request'),
    );
    expect((await get('doc')).status).toBe(404);
  });

  test.each([
    ['text/plain', true],
    ['TEXT/html; charset=utf-8', true],
    ['application/json', true],
    ['application/json;a=b', true],
    ['application/ld+json', false],
    ['image/svg+xml', false],
    ['application/jsonx', false],
    ['x/text/plain', false],
  ])('%s is compressed: %s', async (type, compressed) => {
    await put('doc/f', 'words', { 'content-type': type });
    const { f } = await attachmentsOf('doc', '?att_encoding_info=true');
    expect(f).toMatchObject({ length: 5, content_type: type });
    expect('encoding' in (f ?? {})).toBe(compressed);
  });
});

describe('in the JSON of a document', () => {
  test.each([
    ['YWJj', 'abc'],
    [' Y W\n\tJ\rj ', 'abc'],
    ['YQ==', 'a'],
    ['YR==', 'a'],
    ['YWI=', 'ab'],
    ['', ''],
    ['+/+/', '\u00fb\u00ff\u00bf'],
  ])('%j are the bytes %j', async (data, text) => {
    expect((await putDoc('doc', { _attachments: { f: { data } } })).status).toBe(201);
    expect((await get('doc/f')).bytes.toString('latin1')).toBe(text);
  });

  test.each([
    'YQ',
    'YQ=',
    'YWJ',
    'a',
    '=',
    '====',
    'YQ==YQ==',
    'YW=j',
    'Y-_j',
    'Yéj=',
    '!!!!',
    'YWJj=',
    'YQ= =x',
  ])('%j are none', async (data) => {
    const answer = await putDoc('doc', { _attachments: { 'a name': { data } } });
    expect(answer).toMatchObject(error(400, 'bad_request', 'Invalid attachment data for a name'));
  });

  test.each([
    [{}, 'Invalid attachment data for f'],
    [{ data: null }, 'Invalid attachment data for f'],
    [{ data: 5 }, 'Invalid attachment data for f'],
    [{ stub: 'yes' }, 'Invalid attachment data for f'],
    [{ stub: 1 }, 'Invalid attachment data for f'],
    [{ follows: true, length: 1 }, 'Invalid attachment data for f'],
    [{ content_type: 5, data: '' }, undefined],
    [{ follows: true, encoding: 'br' }, undefined],
  ])('%j is refused', async (f, reason) => {
    const json = { _id: 'doc', _attachments: { f } };
    expect(await putDoc('doc', json)).toMatchObject(error(400, 'bad_request', reason));
    expect(await it.request('POST', db, { json })).toMatchObject(error(400, 'bad_request', reason));
    const batch = { docs: [{ _id: 'other' }, json] };
    expect(await it.request('POST', `${db}/_bulk_docs`, { json: batch })).toMatchObject(
      error(400, 'bad_request'),
    );
    expect((await get('_all_docs')).body).toMatchObject({ total_rows: 0 });
  });

  test.each([[[]], [5], [null], ['x'], [true]])('%j are no attachments', async (_attachments) => {
    expect(await putDoc('doc', { _attachments })).toMatchObject(
      error(400, 'doc_validation', 'Bad special document member: _attachments'),
    );
  });

  test('entries that are no objects are dropped, and what stands beside data is not believed', async () => {
    const f = { data: base64('abc'), digest: 'md5-x', length: 99, encoding: 'gzip', revpos: 7, more: 1 };
    await putDoc('doc', { _attachments: { a: 5, b: null, f } });
    expect(await attachmentsOf('doc')).toEqual({
      f: {
        content_type: 'application/octet-stream',
        revpos: 1,
        digest: `md5-${md5('abc')}`,
        length: 3,
        stub: true,
      },
    });
    await putDoc('empty', { _attachments: {} });
    expect((await get('empty')).body).not.toHaveProperty('_attachments');
  });

  test('keep their order, whatever their names', async () => {
    const names = ['10', '9', 'constructor', 'a', '1', 'toString', '"\\\u0001'];
    const all = names.map((name) => `${JSON.stringify(name)}:{"data":"${base64(name)}"}`);
    const answer = await it.request('PUT', `${db}/doc`, { text: `{"_attachments":{${all.join(',')}}}` });
    expect(answer.status).toBe(201);
    const { text } = await get('doc?attachments=true');
    const at = names.map((name) => text.indexOf(`${JSON.stringify(name)}:{`));
    expect(at).toEqual([...at].sort((a, b) => a - b));
    for (const name of names) {
      expect((await get(`doc/${encodeURIComponent(name)}`)).text).toBe(name);
    }
    expect(text.endsWith('}}}\n')).toBe(true);
  });

  test('a name that JavaScript has a use for is a name like any other', async () => {
    const reason = "Attachment name '__proto__' starts with prohibited character '_'";
    const text = '{"_attachments":{"__proto__":{"data":""}}}';
    expect(await it.request('PUT', `${db}/doc`, { text })).toMatchObject(error(400, 'bad_request', reason));
    await it.request('PUT', `${db}/doc`, { text: text.replace('{"data":""}', '5') });
    expect((await get('doc')).body).not.toHaveProperty('_attachments');
    expect(({} as { data?: unknown }).data).toBeUndefined();
  });

  test('of a name that comes twice the last counts', async () => {
    const text = `{"_attachments":{"f":{"data":"${base64('one')}"},"f":{"data":"${base64('two')}"}}}`;
    await it.request('PUT', `${db}/doc`, { text });
    expect((await get('doc/f')).text).toBe('two');
  });

  test('replicated revisions keep the revpos that they come with', async () => {
    const _attachments = {
      a: { data: '', revpos: 2 },
      b: { data: '' },
      c: { data: '', revpos: -1 },
      d: { data: '', revpos: '2' },
    };
    await putDoc('doc', { _rev: '5-abc', _attachments }, '?new_edits=false');
    const revpos = Object.values(await attachmentsOf('doc')).map((one) => (one as { revpos: number }).revpos);
    expect(revpos).toEqual([2, 0, 0, 0]);
  });

  test('come in batches, in all ways', async () => {
    const docs = ['x', 'y'].map((_id) => ({ _id, _attachments: { f: { data: base64(_id) } } }));
    const written = await it.request('POST', `${db}/_bulk_docs`, { json: { docs } });
    expect(written).toMatchObject({ status: 201, body: [{ ok: true }, { ok: true }] });
    expect((await get('y/f')).text).toBe('y');
    const refused = await it.request('POST', `${db}/_bulk_docs`, {
      json: { docs: [{ _id: 'z' }, { _id: 'w', _attachments: { f: { stub: true } } }] },
    });
    expect(refused).toMatchObject(error(412, 'missing_stub', 'Invalid attachment stub in w for f'));
    expect((await get('z')).status).toBe(404);
    const posted = await it.request('POST', db, {
      json: { _id: 'p', _attachments: { f: { data: base64('p') } } },
    });
    expect(posted.status).toBe(201);
    expect((await get('p/f')).text).toBe('p');
  });

  test.each([
    [{ stub: true }, 201],
    [{ stub: true, revpos: 1 }, 201],
    [{ stub: true, data: 'nonsense', digest: 'md5-x', length: 9 }, 201],
    [{ stub: true, revpos: 2 }, 412],
    [{ stub: true, revpos: '1' }, 412],
    [{ stub: true, revpos: null }, 412],
  ])('the stub %j is answered %i', async (f, status) => {
    const first = revOf(await put('doc/f', 'kept'));
    const answer = await putDoc('doc', { _rev: first, _attachments: { f } });
    expect(answer.status).toBe(status);
    expect((await get('doc')).body).toMatchObject({ _rev: status === 201 ? revOf(answer) : first });
    expect((await get('doc/f')).text).toBe('kept');
  });

  test('stubs of what is not there, or not yours to edit', async () => {
    const first = revOf(await put('doc/f', '1'));
    await put(`doc/f?rev=${first}`, '2');
    const _attachments = { f: { stub: true } };
    expect((await putDoc('new', { _rev: first, _attachments })).status).toBe(412);
    expect(await putDoc('doc', { _rev: first, _attachments })).toMatchObject(error(409, 'conflict'));
    expect(await putDoc('doc', { _attachments })).toMatchObject(error(409, 'conflict'));
    // What is there already is not judged again.
    expect(
      (await putDoc('doc', { _rev: first, _attachments: { g: { stub: true } } }, '?new_edits=false')).status,
    ).toBe(201);
  });
});

describe('atts_since', () => {
  async function chain(): Promise<readonly string[]> {
    const first = revOf(await put('doc/a', 'a'));
    const second = revOf(await put(`doc/b?rev=${first}`, 'b'));
    const third = revOf(
      await putDoc('doc', { _rev: second, _attachments: { a: { stub: true }, b: { stub: true } } }),
    );
    return [first, second, third];
  }
  const shown = (attachments: Record<string, object>): Record<string, boolean> =>
    Object.fromEntries(Object.entries(attachments).map(([name, one]) => [name, 'data' in one]));

  test.each([
    ['[]', { a: true, b: true }],
    ['["1"]', { a: false, b: true }],
    ['["2"]', { a: false, b: false }],
    ['["3"]', { a: false, b: false }],
    ['["1","2"]', { a: false, b: false }],
    [`["${NONE_REV}"]`, { a: true, b: true }],
    [`["${NONE_REV}","1"]`, { a: false, b: true }],
  ])('%s', async (since, wanted) => {
    const revs = await chain();
    const list = since.replace(/"([123])"/g, (_, n: string) => `"${revs[Number(n) - 1] ?? ''}"`);
    const query = `atts_since=${encodeURIComponent(list)}`;
    expect(shown(await attachmentsOf('doc', `?${query}`))).toEqual(wanted);
    expect(shown(await attachmentsOf('doc', `?attachments=true&${query}`))).toEqual(wanted);
    const opened = await get(`doc?open_revs=all&${query}`);
    const [{ ok }] = opened.body as [{ ok: { _attachments: Record<string, object> } }];
    expect(shown(ok._attachments)).toEqual(wanted);
    const json = { docs: [{ id: 'doc', atts_since: JSON.parse(list) as string[] }] };
    const bulk = await it.request('POST', `${db}/_bulk_get`, { json });
    const { results } = bulk.body as {
      results: [{ docs: [{ ok: { _attachments: Record<string, object> } }] }];
    };
    // Here an empty list is none.
    expect(shown(results[0].docs[0].ok._attachments)).toEqual(
      since === '[]' ? { a: false, b: false } : wanted,
    );
  });

  test.each([
    ['{', 'invalid UTF-8 JSON'],
    ['5', 'Invalid list of revisions'],
    ['["x"]', 'Invalid rev format'],
    ['[5]', 'Invalid rev format'],
  ])('%s is refused', async (since, reason) => {
    await put('doc/a', 'a');
    expect(await get(`doc?atts_since=${encodeURIComponent(since)}`)).toMatchObject(
      error(400, 'bad_request', reason),
    );
  });

  test('in _bulk_get it is wrong as a parameter, and a row of its own where it is no list', async () => {
    await put('doc/a', 'a');
    const ask = (json: object, query = '') => it.request('POST', `${db}/_bulk_get${query}`, { json });
    expect((await ask({ docs: [{ id: 'doc' }] }, '?atts_since=[]')).status).toBe(400);
    const answer = await ask({ docs: [{ id: 'doc', atts_since: 'x' }] });
    expect(answer.body).toMatchObject({
      results: [{ docs: [{ error: { rev: 'x', reason: 'att_since value must be array of revs.' } }] }],
    });
  });
});

describe('listings', () => {
  test('show bytes and encodings where they are asked for', async () => {
    await putDoc('doc', { _attachments: { t: { content_type: 'text/plain', data: base64('words') } } });
    const data = {
      content_type: 'text/plain',
      revpos: 1,
      digest: expect.any(String) as string,
      data: base64('words'),
    };
    const stub = { ...data, data: undefined, length: 5, stub: true };
    const info = { encoding: 'gzip', encoded_length: 25 };
    const shown = async (path: string): Promise<unknown> => {
      const found = /"t":(\{[^}]*\})/.exec((await get(path)).text);
      return found?.[1] === undefined ? undefined : JSON.parse(found[1]);
    };
    for (const [path, open] of [
      ['doc?', true],
      ['_all_docs?include_docs=true&', true],
      ['_changes?include_docs=true&', true],
      ['doc?open_revs=all&', true],
      ['_all_docs?', false],
      ['_changes?', false],
    ] as const) {
      expect(await shown(path), path).toEqual(open ? stub : undefined);
      expect(await shown(`${path}attachments=true`), path).toEqual(open ? data : undefined);
      expect(await shown(`${path}att_encoding_info=true`), path).toEqual(
        open ? { ...stub, ...info } : undefined,
      );
      expect(await shown(`${path}attachments=true&att_encoding_info=true`), path).toEqual(
        open ? { ...data, ...info } : undefined,
      );
    }
    expect((await get('_all_docs?include_docs=true&attachments=maybe')).status).toBe(400);
    expect(await shown('doc?attachments=1')).toEqual(stub);
  });

  test('all of base64 comes out, however the bytes are cut', async () => {
    const bytes = Buffer.from(Array.from({ length: 99_998 }, (_, at) => (at * at) % 251));
    await put('doc/f', bytes);
    const { f } = await attachmentsOf('doc', '?attachments=true');
    expect((f as { data: string }).data === bytes.toString('base64')).toBe(true);
  });
});

describe('COPY', () => {
  const copy = (from: string, destination: string): Promise<Answer> =>
    it.request('COPY', `${db}/${from}`, { headers: { destination } });

  test('shares the attachments of the source, and replaces those of the target', async () => {
    const first = revOf(await put('from/a', 'a'));
    await put(`from/t?rev=${first}`, 'words', { 'content-type': 'text/plain' });
    const target = revOf(await put('to/old', 'old'));
    expect((await copy('from', 'new')).status).toBe(201);
    const answer = await copy('from', `to?rev=${target}`);
    expect(answer.status).toBe(201);
    for (const id of ['new', 'to']) {
      expect(Object.entries(await attachmentsOf(id, '?att_encoding_info=true'))).toMatchObject([
        ['t', { revpos: 2, length: 5, encoding: 'gzip' }],
        ['a', { revpos: 1, length: 1 }],
      ]);
    }
    await it.request('DELETE', `${db}/from?rev=${((await get('from')).body as { _rev: string })._rev}`);
    expect((await get('new/a')).text).toBe('a');
    expect(gunzipSync((await get('to/t', { 'accept-encoding': 'gzip' })).bytes).toString()).toBe('words');
    expect((await copy(`new?rev=${NONE_REV}`, 'x')).status).toBe(404);
  });

  test('of an old revision takes its bytes', async () => {
    const first = revOf(await put('from/a', 'one'));
    await put(`from/a?rev=${first}`, 'two');
    expect((await copy(`from?rev=${first}`, 'new')).status).toBe(201);
    expect((await get('new/a')).text).toBe('one');
  });
});

describe('forms', () => {
  type Field = readonly [disposition: string, content: string | Buffer, type?: string];

  function send(id: string, fields: readonly Field[], headers = {}, as = 'admin'): Promise<Answer> {
    const chunks = fields.flatMap(([disposition, content, type]) => [
      `--B\r\nContent-Disposition: form-data; ${disposition}${type === undefined ? '' : `\r\nContent-Type: ${type}`}\r\n\r\n`,
      content,
      '\r\n',
    ]);
    const text = Buffer.concat([...chunks, '--B--\r\n'].map((chunk) => Buffer.from(chunk)));
    return it.request('POST', `${db}/${id}`, {
      text,
      as,
      headers: {
        host: 'h',
        referer: 'http://h/x',
        'content-type': 'multipart/form-data; boundary=B',
        ...headers,
      },
    });
  }
  const file = (name: string, content: string | Buffer, type = 'image/x'): Field => [
    `name="_attachments"; filename="${name}"`,
    content,
    type,
  ];

  test('bring files to a revision, whatever their order', async () => {
    const data = { data: base64('old') };
    const first = revOf(await putDoc('doc', { v: 1, _attachments: { a: data, b: data } }));
    const answer = await send('doc', [
      file('été.png', 'one'),
      file('b', 'two', 'text/html; charset=utf-8'),
      ['name="_rev"', first],
      file('b', 'three'),
      file('', ''),
      ['name="other"', 'ignored'],
    ]);
    expect(answer).toMatchObject({ status: 201, body: { ok: true, id: 'doc' } });
    expect(answer.headers.etag).toBe(`"${revOf(answer)}"`);
    expect((await get('doc')).body).toMatchObject({ v: 1, _rev: revOf(answer) });
    expect(Object.entries(await attachmentsOf('doc'))).toMatchObject([
      ['été.png', { revpos: 2, content_type: 'image/x', length: 3 }],
      ['b', { revpos: 2, content_type: 'image/x', length: 5 }],
      ['a', { revpos: 1 }],
    ]);
    expect((await get('doc/b')).text).toBe('three');
  });

  test('bring a document with them', async () => {
    const json = (document: object): Field => ['name="_doc"', JSON.stringify(document)];
    const first = await send('doc', [
      json({ v: 1, _attachments: { i: { data: base64('i') } } }),
      file('f', 'f'),
    ]);
    expect(first.status).toBe(201);
    const _attachments = { i: { stub: true }, f: { stub: true } };
    const second = await send('doc', [file('f', 'F'), json({ _rev: revOf(first), v: 2, _attachments })]);
    expect(second.status).toBe(201);
    expect((await get('doc?attachments=true')).body).toMatchObject({
      v: 2,
      _attachments: { f: { data: base64('F'), revpos: 2 }, i: { data: base64('i'), revpos: 1 } },
    });
    expect(await send('doc', [json({ v: 3 }), file('f', 'f')])).toMatchObject(error(409, 'conflict'));
  });

  test('are refused where something is wrong with them', async () => {
    const first = revOf(await put('doc/f', '1'));
    const rev: Field = ['name="_rev"', first];
    const now = revOf(await put(`doc/f?rev=${first}`, '2'));
    const cases: readonly (readonly [Promise<Answer>, object])[] = [
      [send('doc', [rev, file('f', 'x')]), error(409, 'conflict')],
      [send('doc', [['name="_rev"', NONE_REV], file('f', 'x')]), error(409, 'not_found', 'missing_rev')],
      [send('doc', [['name="_rev"', 'x'], file('f', 'x')]), error(400, 'bad_request', 'Invalid rev format')],
      [send('doc', [file('f', 'x')]), error(400, 'bad_request')],
      [send('doc', [['name="_rev"', now], file('_f', 'x')]), error(400, 'bad_request')],
      [send('new', [['name="_doc"', '{'], file('f', 'x')]), error(400, 'bad_request', 'invalid UTF-8 JSON')],
      [
        send('new', [['name="_doc"', '{}'], file('f', Buffer.alloc(100_001))]),
        error(413, 'attachment_too_large', 'f'),
      ],
      [send('new', [['name="_doc"', `{"a":"${'x'.repeat(50_000)}"}`]]), error(413, 'too_large')],
      [send('_local/l', [['name="_doc"', '{}'], file('f', 'x')]), error(400, 'bad_request')],
      [
        send('doc', [rev], { referer: 'http://other/' }),
        error(400, 'bad_request', 'Referer header must match host.'),
      ],
      [
        send('doc', [rev], { 'content-type': 'multipart/related; boundary=B' }),
        error(415, 'bad_content_type'),
      ],
      [send('doc', [rev], { 'content-type': 'multipart/form-data; boundary=C' }), error(400, 'bad_request')],
    ];
    for (const [answer, wanted] of cases) expect(await answer).toMatchObject(wanted);
    expect((await get('new')).status).toBe(404);
    expect((await get('doc')).body).toMatchObject({ _rev: now });
  });

  test('of design documents are for admins', async () => {
    const security = { admins: { names: ['dbadmin'], roles: [] }, members: { names: ['member'], roles: [] } };
    await it.request('PUT', `${db}/_security`, { json: security });
    const fields: readonly Field[] = [['name="_doc"', '{}'], file('f', 'x')];
    expect((await send('_design/d', fields, {}, 'member')).status).toBe(403);
    expect((await send('_design/d', fields, {}, 'dbadmin')).status).toBe(201);
    expect((await send('doc', fields, {}, 'stranger')).status).toBe(403);
  });
});

describe('limits', () => {
  const big = Buffer.alloc(100_001, 'x');
  const refused = (name: string): object => error(413, 'attachment_too_large', name);

  test('an attachment may have so many bytes and no more', async () => {
    expect((await put('doc/f', big.subarray(1))).status).toBe(201);
    expect(await put('no/dir/f', big)).toMatchObject(refused('dir/f'));
    expect(await put('no/f', big, { 'transfer-encoding': 'chunked' })).toMatchObject(refused('f'));
    const zipped = gzipSync(big);
    expect(zipped.length).toBeLessThan(1000);
    expect(await put('no/f', zipped, { 'content-encoding': 'gzip' })).toMatchObject(refused('f'));
    // One that shrinks is measured as it is sent.
    expect(await put('no/f', big, { 'content-type': 'text/plain' })).toMatchObject(refused('f'));
    expect((await get('no')).status).toBe(404);
  });

  test('a document has no more attachments than can be handled', async () => {
    const other = await startApp();
    try {
      await other.request('PUT', '/db');
      const members = Array.from({ length: 10_000 }, (_, at) => `"${String(at)}":{"data":""}`);
      const text = `{"_attachments":{${members.join(',')}}}`;
      const made = await other.request('PUT', '/db/doc', { text });
      expect(made.status).toBe(201);
      const more = text.replace('{"0"', '{"more":{"data":""},"0"');
      expect(await other.request('PUT', '/db/no', { text: more })).toMatchObject(
        error(413, 'document_too_large', 'no'),
      );
      const headers = { 'content-type': 'multipart/related; boundary=B' };
      const related = `--B\r\nContent-Type: application/json\r\n\r\n${more}\r\n--B--`;
      const sent = await other.request('PUT', '/db/no', { text: related, headers });
      expect(sent).toMatchObject(error(413, 'document_too_large', 'no'));
      const added = await other.request('PUT', `/db/doc/f?rev=${revOf(made)}`, { text: 'x' });
      expect(added).toMatchObject(error(413, 'document_too_large', 'doc'));
    } finally {
      await other.stop();
    }
  });

  test('the body of a request may be larger than that of a document if it is an attachment', async () => {
    const json = { f: 'x'.repeat(50_000) };
    expect(await putDoc('doc', json)).toMatchObject(error(413, 'too_large'));
    expect((await put('doc/f', Buffer.alloc(60_000))).status).toBe(201);
  });
});

test('one that stands in the document may have so many bytes and no more', async () => {
  const other = await startApp({ limits: { maxAttachmentSize: 10 } });
  try {
    await other.request('PUT', '/db');
    const of = (length: number): object => ({
      _attachments: { 'the name': { data: base64('x'.repeat(length)) } },
    });
    expect((await other.request('PUT', '/db/ok', { json: of(10) })).status).toBe(201);
    const json = { docs: [{ _id: 'a' }, { _id: 'b', ...of(11) }] };
    for (const answer of [
      await other.request('PUT', '/db/no', { json: of(11) }),
      await other.request('POST', '/db', { json: of(11) }),
      await other.request('POST', '/db/_bulk_docs', { json }),
    ]) {
      expect(answer).toMatchObject(error(413, 'attachment_too_large', 'the name'));
    }
    expect((await other.request('GET', '/db')).body).toMatchObject({ doc_count: 1 });
  } finally {
    await other.stop();
  }
});

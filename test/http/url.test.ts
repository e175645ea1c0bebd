import { METHODS } from 'node:http';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { canonicalUrl, decodeSegment, encodeSegment, headerSafe, isWellEncoded } from '../../src/http/url.js';
import { startApp, type TestApp } from './app.js';

describe('canonicalUrl', () => {
  test.each([
    ['/', '/'],
    ['/db/doc', '/db/doc'],
    ['/db/doc?a=b/c//d+e', '/db/doc?a=b/c//d+e'],
    ['//db///doc//', '/db/doc'],
    ['/db/', '/db'],
    ['//', '/'],
    ['/db/?x=/', '/db?x=/'],
    ['/a+b/c+d?e=f+g', '/a%20b/c%20d?e=f+g'],
    ['/db/a%2Fb%2f', '/db/a%2Fb%2f'],
    ['/db/doc#part', '/db/doc'],
    ['/db/doc?x=1#part', '/db/doc?x=1'],
    ['/db/\u00c3\u00a9', '/db/%c3%a9'],
    ['http://host:5984/db/doc?x', '/db/doc?x'],
    ['http://host', '/'],
  ])('%s is %s', (url, canonical) => {
    expect(canonicalUrl(url)).toBe(canonical);
  });

  test('is a fixed point, and leaves no slash that CouchDB would not see', () => {
    const part = fc.constantFrom('/', '//', 'a', '+', '%2F', '%5f', '_', '?', '#', '\u00e9', '&', '=');
    fc.assert(
      fc.property(fc.array(part, { maxLength: 12 }), (parts) => {
        const once = canonicalUrl(`/${parts.join('')}`);
        expect(canonicalUrl(once)).toBe(once);
        const [path = ''] = once.split('?');
        expect(path).toMatch(/^\/$|^(\/[^/+#]+)+$/);
      }),
      { numRuns: 2000 },
    );
  });
});

test('segments go through a URL and back', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (text) => {
      const segment = encodeSegment(text);
      expect(segment).toMatch(/^[A-Za-z0-9._%:-]*$/);
      expect(decodeSegment(segment)).toBe(text);
    }),
  );
  expect(decodeSegment('%ff')).toBeUndefined();
});

test('what cannot stand in a header is encoded', () => {
  expect(headerSafe('/a b\r\nX: y/\u00e9\ud800')).toBe('/a%20b%0D%0AX:%20y/%C3%A9%EF%BF%BD');
  expect(isWellEncoded('/a%2')).toBe(false);
  expect(isWellEncoded('/a%2g')).toBe(false);
  expect(isWellEncoded('/a%20%C3%A9?b=%7B')).toBe(true);
});

describe('requests', () => {
  let it: TestApp;
  beforeAll(async () => {
    it = await startApp();
    await it.request('PUT', '/db');
    await it.request('PUT', '/db/a%2Fb', { json: { slash: true } });
  });
  afterAll(() => it.stop());

  test.each([
    '/_all_dbs',
    '//_all_dbs',
    '/_all_dbs/',
    '/%5Fall_dbs',
    '/_all%5fdbs',
    '/_all_dbs?x',
    '//%5fall_dbs//',
  ])('%s is the list of databases, and for server admins only', async (url) => {
    expect((await it.request('GET', url)).body).toEqual(['db']);
    expect((await it.request('GET', url, { as: null })).status).toBe(401);
    expect((await it.request('GET', url, { as: 'member' })).status).toBe(401);
  });

  test.each(['/_config', '//_config', '/%5fconfig', '/_node/_local/_config', '//_node//_local/%5Fconfig'])(
    '%s gives nothing to those who are no server admins',
    async (url) => {
      expect((await it.request('GET', url, { as: null })).status).toBe(401);
      expect((await it.request('GET', url, { as: 'stranger' })).status).toBe(401);
      expect([200, 404]).toContain((await it.request('GET', url)).status);
    },
  );

  test('an encoded slash stays within its segment', async () => {
    expect((await it.request('GET', '/db/a%2Fb')).body).toMatchObject({ _id: 'a/b' });
    expect((await it.request('GET', '/db/a%2fb/')).body).toMatchObject({ _id: 'a/b' });
    expect((await it.request('GET', '/db/a/b')).status).toBe(404);
    expect((await it.request('GET', '/db%2Fa%252Fb')).body).toMatchObject({
      reason: 'Database does not exist.',
    });
  });

  test('an encoded percent sign is decoded once', async () => {
    await it.request('PUT', '/db/100%25', { json: {} });
    await it.request('PUT', '/db/%252F', { json: {} });
    expect((await it.request('GET', '/db/100%25')).body).toMatchObject({ _id: '100%' });
    expect((await it.request('GET', '/db/%252F')).body).toMatchObject({ _id: '%2F' });
  });

  test('ids may be as long as a URL', async () => {
    const id = 'x'.repeat(50_000);
    expect((await it.request('PUT', `/db/${id}`, { json: { v: 1 } })).status).toBe(201);
    expect((await it.request('GET', `/db/${id}`)).body).toMatchObject({ _id: id, v: 1 });
    expect((await it.request('PUT', `/db/_local/${id}`, { json: { v: 2 } })).status).toBe(201);
    expect((await it.request('GET', `/db/_local/${id}`)).body).toMatchObject({ v: 2 });
  });

  test('a URL that is too long is refused and the next request is served', async () => {
    const answer = await it.request('GET', `/db/${'x'.repeat(70_000)}`);
    expect(answer).toMatchObject({ status: 414, body: { error: 'too_long' } });
    expect((await it.request('GET', '/')).status).toBe(200);
  });

  test.each(['/%', '/db/%', '/db/%2', '/db/%zz', '/db/doc?x=%', '/db/_all_docs?startkey=%2'])(
    '%s is badly encoded',
    async (url) => {
      const answer = await it.request('GET', url);
      expect(answer).toMatchObject({ status: 400, body: { error: 'bad_request' } });
    },
  );

  test.each(['/%ff', '/db/%C3'])('%s is well encoded, but names nothing', async (url) => {
    expect(await it.request('GET', url)).toMatchObject({ status: 404, body: { error: 'not_found' } });
    expect(await it.request('PUT', url, { json: {} })).toMatchObject({
      status: 400,
      body: { error: 'illegal_docid' },
    });
  });

  test('a design document may be named with an encoded slash', async () => {
    expect((await it.request('PUT', '/db/_design%2fapp', { json: {} })).status).toBe(201);
    const answer = await it.request('GET', '/db/_design%2Fapp?revs=true', {
      headers: { host: 'couch.example' },
    });
    expect(answer.status).toBe(301);
    expect(answer.headers.location).toBe('http://couch.example/db/_design/app?revs=true');
    expect((await it.request('GET', '/db/_design/app')).status).toBe(200);
    const below = await it.request('GET', '/db/_design%2fapp/_view/by?limit=1', { headers: { host: 'a:1' } });
    expect(below.headers.location).toBe('http://a:1/db/_design/app/_view/by?limit=1');
  });

  test('locations are what the client called the server, also behind a proxy', async () => {
    const headers = { host: 'inner:1', 'x-forwarded-host': 'couch.example', 'x-forwarded-proto': 'https' };
    const answer = await it.request('PUT', '/db/there', { json: {}, headers });
    expect(answer.headers.location).toBe('https://couch.example/db/there');
    const ssl = await it.request('PUT', '/db/too', {
      json: {},
      headers: { host: 'a:1', 'x-forwarded-ssl': 'on' },
    });
    expect(ssl.headers.location).toBe('https://a:1/db/too');
  });

  test.each(
    METHODS.filter((method) => !['CONNECT', 'GET', 'HEAD', 'PUT', 'POST', 'DELETE', 'COPY'].includes(method)),
  )('%s is not allowed anywhere', async (method) => {
    for (const url of ['/', '/db', '/db/doc', '/db/_bulk_docs', '/_session', '/db/doc/att']) {
      const answer = await it.request(method, url);
      expect(answer).toMatchObject({ status: 405, body: { error: 'method_not_allowed' } });
      expect(answer.headers.allow).toBeTruthy();
    }
  });

  test('a method that HTTP does not know is not allowed either', async () => {
    const answer = await it.raw('NONSENSE /db HTTP/1.1\r\nHost: x\r\n\r\n');
    expect(answer).toMatch(/^HTTP\/1.1 405 /);
    expect(answer).toContain('"error":"method_not_allowed"');
  });

  test('an absolute URL is taken for its path', async () => {
    const answer = await it.raw('GET http://elsewhere/_up HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n');
    expect(answer).toMatch(/^HTTP\/1.1 200 /);
  });
});

import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { conflict } from '../../src/errors.js';
import { errorBody, protocolError, toCouchError } from '../../src/http/errors.js';
import { JsonError } from '../../src/json/reader.js';
import type { Replicator } from '../../src/replicator/replicator.js';
import type { Databases } from '../../src/store/databases.js';
import { startApp, type TestApp } from './app.js';

describe('toCouchError', () => {
  test('keeps what is known and hides what is not', () => {
    const known = conflict();
    expect(toCouchError(known)).toBe(known);
    expect(toCouchError(new JsonError('x'))).toMatchObject({ status: 400, reason: 'invalid UTF-8 JSON' });
    const cause = new Error('/secret/path');
    const hidden = toCouchError(cause);
    expect(hidden).toMatchObject({ status: 500, error: 'internal_server_error', cause });
    expect(errorBody(hidden)).not.toContain('secret');
    expect(toCouchError('thrown text').status).toBe(500);
    expect(toCouchError(undefined).status).toBe(500);
  });

  test('every refusal of the HTTP parser is a client error', () => {
    for (const code of [
      'HPE_INVALID_METHOD',
      'HPE_HEADER_OVERFLOW',
      'ERR_HTTP_REQUEST_TIMEOUT',
      'X',
      undefined,
    ]) {
      expect(protocolError(code).status).toBeGreaterThanOrEqual(400);
      expect(protocolError(code).status).toBeLessThan(500);
    }
  });
});

describe('an answer', () => {
  let it: TestApp;
  beforeAll(async () => {
    it = await startApp();
    await it.request('PUT', '/db');
  });
  afterAll(() => it.stop());

  test('carries the id of its request, or one of its own', async () => {
    const id = (headers: Record<string, string>) =>
      it.request('GET', '/', { headers }).then((answer) => answer.headers['x-couch-request-id']);
    expect(await id({ 'x-couch-request-id': 'my-Request_1' })).toBe('my-Request_1');
    expect(await id({ 'x-couch-request-id': 'x'.repeat(36) })).toBe('x'.repeat(36));
    for (const bad of ['x'.repeat(37), 'a b', 'a;b', '']) {
      expect(await id({ 'x-couch-request-id': bad })).toMatch(/^[0-9a-f]{10}$/);
    }
    expect(await id({})).not.toBe(await id({}));
  });

  test('is JSON with a line end, however wrong the request', async () => {
    const answers = await Promise.all([
      it.request('GET', '/db/none'),
      it.request('GET', '/nowhere'),
      it.request('GET', '/%zz'),
      it.request('PATCH', '/db'),
      it.request('GET', '/a/b/c/d/e/f/g'),
      it.request('PUT', '/db/doc', { text: '{' }),
      it.request('GET', '/db', { as: null }),
    ]);
    for (const { status, headers, text, body } of answers) {
      expect(status).toBeGreaterThanOrEqual(400);
      expect(status).toBeLessThan(500);
      expect(headers['content-type']).toBe('application/json');
      expect(headers['content-length']).toBe(String(Buffer.byteLength(text)));
      expect(headers['x-couch-request-id']).toBeTruthy();
      expect(text.endsWith('}\n')).toBe(true);
      expect(body).toEqual({ error: expect.any(String) as string, reason: expect.any(String) as string });
    }
  });

  test('to HEAD has the length that GET would have, and no body', async () => {
    for (const url of ['/', '/db', '/db/none', '/_session']) {
      const [get, head] = await Promise.all([it.request('GET', url), it.request('HEAD', url)]);
      expect(head).toMatchObject({ status: get.status, text: '' });
      expect(head.headers['content-length']).toBe(get.headers['content-length']);
    }
  });

  test('to a browser sends it to the login page; programs get a challenge where they ask for one', async () => {
    const get = (headers: Record<string, string>) =>
      it.request('GET', '/db/a%20b?x=1', { as: null, headers });
    const page = await get({ accept: 'text/html', host: 'h' });
    expect(page.status).toBe(302);
    expect(page.headers.location).toMatch(
      /^http:\/\/h\/_utils\/session.html\?return=%2Fdb%2Fa%20b&reason=You%20are/,
    );
    const program = await get({ 'x-couchdb-www-authenticate': 'Cookie' });
    expect(program).toMatchObject({ status: 401, headers: { 'www-authenticate': 'Cookie' } });
    expect((await get({ accept: 'text/html, */*;q=0.1' })).status).toBe(401);
  });
});

describe('a defect', () => {
  const broken = {
    use: () => Promise.reject(new Error('disk on fire at /var/secret')),
    list: () => {
      throw new TypeError('not a list');
    },
    create: () => Promise.reject(new Error('no')),
  } as unknown as Databases;
  /** It looks through all databases when it starts. */
  const idle = { start: () => undefined, close: () => Promise.resolve() } as unknown as Replicator;
  let it: TestApp;
  beforeAll(async () => {
    it = await startApp({}, { databases: broken, replicator: idle });
  });
  afterAll(() => it.stop());

  test('is answered without its text, logged with the id of the request, and ends nothing', async () => {
    const headers = { 'x-couch-request-id': 'find-me' };
    const [one, two, three, fine] = await Promise.all([
      it.request('GET', '/db/doc', { headers }),
      it.request('GET', '/_all_dbs'),
      it.request('PUT', '/db'),
      it.request('GET', '/_up'),
    ]);
    for (const answer of [one, two, three]) {
      expect(answer).toMatchObject({ status: 500, body: { error: 'internal_server_error' } });
      expect(answer.text).not.toMatch(/fire|secret|list|at \w/);
    }
    expect(fine.status).toBe(200);
    const line = it.errors.find((text) => text.includes('find-me'));
    expect(line).toContain('disk on fire');
    expect(JSON.parse(line ?? '{}')).toMatchObject({ request: 'find-me', method: 'GET', url: '/db/doc' });
  });
});

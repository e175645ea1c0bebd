import type { IncomingMessage } from 'node:http';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { configSchema } from '../../src/config/schema.js';
import { Cors } from '../../src/http/cors.js';
import { startApp, type TestApp } from './app.js';

const APP = 'https://app.example';

/** Names and values in turn, as an object. */
function named(flat: readonly string[] | undefined): Record<string, string> | undefined {
  if (flat === undefined) return undefined;
  return Object.fromEntries(flat.flatMap((name, at) => (at % 2 === 0 ? [[name, flat[at + 1] ?? '']] : [])));
}

describe('the rules', () => {
  const make = (cors: Record<string, unknown>) => new Cors(configSchema.parse({ cors }).cors);
  const request = (headers: Record<string, string>) => ({ headers }) as unknown as IncomingMessage;
  const preflight = (origin: string, method: string, names?: string) =>
    request({
      origin,
      'access-control-request-method': method,
      ...(names !== undefined && { 'access-control-request-headers': names }),
    });

  test('off, nothing is said', () => {
    const cors = make({});
    expect(cors.headers(request({ origin: APP }))).toEqual([]);
    expect(cors.preflight(preflight(APP, 'PUT'))).toBeUndefined();
  });

  test('an origin must be equal to one that is listed', () => {
    const cors = make({ origins: [APP, 'http://localhost:8080', 'file://'] });
    expect(cors.headers(request({ origin: 'file://' }))).toContain('file://');
    expect(named(cors.headers(request({ origin: APP })))).toMatchObject({
      'Access-Control-Allow-Origin': APP,
      'Access-Control-Allow-Credentials': 'true',
      Vary: 'Origin',
    });
    for (const origin of [
      'http://app.example',
      'https://app.example:444',
      'https://app.example.evil',
      'null',
      '*',
    ]) {
      expect(named(cors.headers(request({ origin })))).toEqual({ Vary: 'Origin' });
      expect(cors.preflight(preflight(origin, 'PUT'))).toBeUndefined();
    }
  });

  test('a star is every origin', () => {
    const cors = make({ origins: ['*'], credentials: false, maxAge: 5 });
    expect(named(cors.preflight(preflight('http://any', 'PUT', 'Content-Type, authorization')))).toEqual({
      'Access-Control-Allow-Origin': 'http://any',
      'Access-Control-Allow-Methods': 'GET, HEAD, POST, PUT, DELETE, TRACE, CONNECT, COPY, OPTIONS',
      'Access-Control-Allow-Headers': 'Content-Type, authorization',
      'Access-Control-Max-Age': '5',
      Vary: 'Origin',
    });
  });

  test('a preflight for a method or header that is not listed is none', () => {
    const cors = make({ origins: ['*'], methods: ['GET'], headers: ['X-Mine'] });
    expect(cors.preflight(preflight(APP, 'GET', 'x-mine'))).toBeDefined();
    expect(cors.preflight(preflight(APP, 'GET'))).toBeDefined();
    expect(cors.preflight(preflight(APP, 'get'))).toBeUndefined();
    expect(cors.preflight(preflight(APP, 'PUT'))).toBeUndefined();
    expect(cors.preflight(preflight(APP, 'GET', 'x-mine, x-other'))).toBeUndefined();
    expect(cors.preflight(request({ origin: APP }))).toBeUndefined();
  });
});

describe('the rules for one host', () => {
  const cors = new Cors(
    configSchema.parse({
      cors: { origins: [APP], maxAge: 5, hosts: { 'One.example': { origins: ['https://b.example'] } } },
    }).cors,
  );
  const asked = (host: string, origin: string, more = {}) =>
    ({
      headers: { host, origin, 'access-control-request-method': 'PUT', ...more },
    }) as unknown as IncomingMessage;

  test('stand instead of those for all, one by one', () => {
    const own = asked('one.example:5984', 'https://b.example');
    expect(named(cors.preflight(own))).toMatchObject({
      'Access-Control-Allow-Origin': 'https://b.example',
      'Access-Control-Max-Age': '5',
    });
    expect(cors.trusts(own)).toBe(true);
    expect(cors.trusts(asked('one.example', APP))).toBe(false);
    expect(cors.trusts(asked('two.example', APP))).toBe(true);
    expect(cors.trusts(asked('two.example', 'https://b.example'))).toBe(false);
  });

  test('are those of the host that a proxy names, where there is one', () => {
    const by = (forwarded: string) => ({ 'x-forwarded-host': forwarded });
    expect(cors.trusts(asked('two.example', 'https://b.example', by('one.example')))).toBe(true);
    expect(cors.trusts(asked('one.example', 'https://b.example', by('two.example')))).toBe(false);
  });
});

describe('a server', () => {
  let it: TestApp;
  beforeAll(async () => {
    it = await startApp({ cors: { origins: [APP] } });
    await it.request('PUT', '/db');
  });
  afterAll(() => it.stop());

  test('answers a preflight without credentials, and every request with the headers', async () => {
    const headers = {
      origin: APP,
      'access-control-request-method': 'PUT',
      'access-control-request-headers': 'content-type',
    };
    const answer = await it.request('OPTIONS', '/db/doc', { as: null, headers });
    expect(answer).toMatchObject({ status: 204, text: '' });
    expect(answer.headers['access-control-allow-origin']).toBe(APP);

    for (const [method, url] of [
      ['GET', '/db'],
      ['GET', '/db/none'],
      ['GET', '/db/_all_docs'],
      ['GET', '/db/_changes'],
      ['PATCH', '/db'],
    ] as const) {
      const other = await it.request(method, url, { headers: { origin: APP } });
      expect(other.headers['access-control-allow-origin']).toBe(APP);
      expect(other.headers['access-control-expose-headers']).toContain('etag');
    }
  });

  test('leaves other origins to themselves', async () => {
    const headers = { origin: 'https://evil.example', 'access-control-request-method': 'PUT' };
    expect((await it.request('OPTIONS', '/db/doc', { as: null, headers })).status).toBe(401);
    const answer = await it.request('GET', '/db', { headers });
    expect(answer.headers).not.toHaveProperty('access-control-allow-origin');
  });
});

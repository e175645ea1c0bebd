/**
 * The classes of holes that CouchDB and pouchdb-server had. What is not proven here is proven where it belongs:
 *
 * - duplicate and escaped keys in roles (CVE-2017-12635): `auth/users/access.test.ts`, "are not smuggled in";
 * - configuration to command (CVE-2017-12636), paths, modules, secrets: `config.test.ts`, "what could run or read";
 * - stored HTML: `attachments.test.ts`, "has headers that let nobody take it for a page of ours";
 * - databases whose names collide: `store/databases.test.ts`, "names";
 * - rights of every route: `rights.test.ts`, and beside CouchDB's in `auth/route-rights.test.ts`;
 * - secrets in logs, answers and process lists: `system/secrets.test.ts`;
 * - forged sessions, passwords and headers: `authorization-fuzz.test.ts`.
 */
import http from 'node:http';
import { readdir } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { routeTable, type Route } from '../../src/http/app.js';
import { type Answer, type RequestOptions, startApp, type TestApp } from './app.js';
import { pathOf } from './route-paths.js';

const agent = new http.Agent({ keepAlive: true, maxSockets: 4 });

let it: TestApp;
let routes: readonly Route[];
beforeAll(async () => {
  it = await startApp();
  routes = routeTable(it.app);
  await it.request('PUT', '/private');
  await it.request('PUT', '/private/some', { json: { secret: SECRET } });
  await it.request('PUT', '/public');
  await it.request('PUT', '/public/_security', { json: {} });
});
afterAll(async () => {
  agent.destroy();
  expect(it.errors).toEqual([]);
  await it.stop();
});

const SECRET = 'only for members';

const ask = (method: string, url: string, options: RequestOptions = {}): Promise<Answer> =>
  it.request(method === '*' ? 'PATCH' : method, url, { agent, ...options });

const isRefusal = (status: number): boolean => status >= 400 && status < 500;

const escaped = (text: string): string =>
  Array.from(text, (c) => `%${c.charCodeAt(0).toString(16).padStart(2, '0')}`).join('');
const segments = (path: string): readonly string[] => path.slice(1).split('/');

/** Other ways to write a path that CouchDB takes for the same. */
const SAME: readonly ((path: string) => string)[] = [
  (path) => path.replaceAll('/', '//'),
  (path) => `${path}/`,
  (path) => `${path}//`,
  (path) => path.replaceAll('_', '%5f'),
  (path) => path.replaceAll('_', '%5F'),
  (path) => `/${segments(path).map(escaped).join('/')}`,
  (path) => `${path}?`,
  (path) => `${path}#x`,
  (path) => `http://127.0.0.1:5984${path}`,
];

/** Ways that some proxy, router or file system takes for the same. */
const ALIKE: readonly ((path: string) => string)[] = [
  (path) => path.toUpperCase(),
  (path) => path.replaceAll('_', '%255f'),
  (path) => path.replaceAll('_', '%c1%9f'),
  (path) => path.replaceAll('_', '%EF%BC%BF'),
  (path) => path.replaceAll('/', '\\'),
  (path) => `/${segments(path).join('\\')}`,
  (path) => `/${segments(path).join('%2f')}`,
  (path) => `/${segments(path).join('%2F')}`,
  (path) => `/${segments(path).join('%252f')}`,
  (path) => `/${segments(path).join('%c0%af')}`,
  (path) => path.replace(/\/([^/]*)$/, '%2f$1'),
  (path) => path.replace(/^(\/[^/]*)\//, '$1%2F'),
  (path) => path.replaceAll('/', '/./'),
  (path) => path.replaceAll('/', '/%2e/'),
  (path) => path.replace(/\/([^/]*)$/, '/x/../$1'),
  ...['/x/..', '/_utils/..', '/_up/..', '/_session/%2e%2e', '/./', '/.;/'].map(
    (before) => (path: string) => before + path,
  ),
  ...[';x', '%3bx', '%00', '%20', '+', '.', '.json', '%3Fx', '%23x', '%0d%0a', '%ff'].map(
    (behind) => (path: string) => path + behind,
  ),
  (path) => `//127.0.0.1:5984${path}`,
];

describe('no alias of a path is without its guard', () => {
  test('for all who have not the right to it', async () => {
    const guarded = routes.filter(({ right }) => right !== 'anyone');
    expect(guarded.length).toBeGreaterThan(150);
    for (const { method, path } of guarded) {
      const plain = pathOf(path, 'private');
      const urls = [...SAME, ...ALIKE].map((alias) => alias(plain));
      const answers = await Promise.all(
        urls.map((url) => ask(method, url, { as: null, text: method === 'GET' ? '' : '{}' })),
      );
      for (const [at, { status, text }] of answers.entries()) {
        const isRefused = isRefusal(status) && !text.includes(SECRET);
        expect({ method, url: urls[at], status, isRefused }).toMatchObject({ isRefused: true });
      }
    }
    expect(it.databases.list()).toEqual(['private', 'public']);
  }, 60_000);

  test('and those that CouchDB takes for the same are the same to whoever has it', async () => {
    for (const { method, path } of routes) {
      if (method !== 'GET' || path.includes('_utils')) continue;
      const plain = pathOf(path, 'private');
      const { status } = await ask(method, plain);
      for (const alias of SAME) {
        const url = alias(plain);
        expect({ url, status: (await ask(method, url)).status }).toEqual({ url, status });
      }
    }
  }, 60_000);

  test('by a header that names another path, or by a method that stands for another', async () => {
    for (const { method, path } of routes.filter(({ right }) => right !== 'anyone')) {
      const url = pathOf(path, 'private');
      const headers = { 'x-original-url': url, 'x-rewrite-url': url, 'x-forwarded-path': url };
      expect((await ask('GET', '/', { as: null, headers })).text).toContain('Welcome');
      if (method === '*') continue;
      const overriding = { as: null, text: '{}', headers: { 'x-http-method-override': method } };
      const { status } = await ask('POST', url, overriding);
      expect({ method, url, status }).toMatchObject({ status: 401 });
    }
  });

  test('from a database that is open to all into another one', async () => {
    for (const { method, path } of routes.filter((route) => route.path.startsWith('/:db/'))) {
      const rest = pathOf(path, '').slice(1);
      for (const step of ['/../', '%2f..%2f', '/%2e%2e/', '%2F%2e%2e%2F', '/..%2f', '\\..\\', '/..;/']) {
        const { text } = await ask(method, `/public${step}private${rest}`, { as: null, text: '' });
        expect(text).not.toContain(SECRET);
      }
    }
    const { body } = await it.request('GET', '/private/_changes');
    expect(body).toMatchObject({ results: [{ id: 'some' }] });
    expect((await it.request('GET', '/private/some', { as: 'stranger' })).status).toBe(403);
  });
});

describe('one request', () => {
  test('to a database that is not there ends nothing, whatever is asked of it', async () => {
    for (const { method, path } of routes.filter((route) => route.path.startsWith('/:db'))) {
      if (method === 'PUT' && path === '/:db') continue;
      for (const db of ['missing', '_missing', '%00', '..', '%ff', 'Missing', 'm%2f..%2fm'])
        for (const as of ['admin', null]) {
          const { status } = await ask(method, pathOf(path, db), { as, text: method === 'GET' ? '' : '{}' });
          expect({ method, path, db, as, status }).toMatchObject({
            status: expect.toSatisfy(isRefusal) as number,
          });
        }
    }
    expect(it.errors).toEqual([]);
    expect(it.databases.list()).toEqual(['private', 'public']);
  }, 60_000);

  test('changes no prototype, wherever its names stand', async () => {
    const known = Reflect.ownKeys(Object.prototype);
    const poison = '{"polluted":"yes","roles":["_admin"],"names":["stranger"]}';
    const text = `{"__proto__":${poison},"constructor":{"prototype":${poison}},"docs":[{"__proto__":${poison}}]}`;
    const query =
      '?__proto__[polluted]=1&__proto__.polluted=1&constructor[prototype][polluted]=1&__proto__=1';
    const headers = {
      'content-type': 'application/json',
      cookie: '__proto__=polluted; constructor=polluted; AuthSession=__proto__',
      destination: '__proto__',
      ['__proto__']: 'polluted',
      constructor: 'polluted',
    };
    await it.request('PUT', '/proto');
    for (const { method, path } of routes) {
      if (method === 'DELETE' && path === '/:db') continue;
      for (const named of [pathOf(path, 'proto'), pathOf(path, 'proto').replaceAll('some', '__proto__')]) {
        const { status } = await ask(method, named + query, { headers, text: method === 'GET' ? '' : text });
        expect({ method, named, status }).toMatchObject({
          status: expect.toSatisfy(
            // CouchDB answers 500 where a replication has no sides.
            (one: number) => one < 500 || one === 501 || path === '/_replicate',
          ) as number,
        });
      }
    }
    expect(Reflect.ownKeys(Object.prototype)).toEqual(known);
    expect(({} as Record<string, unknown>).polluted).toBeUndefined();
    for (const as of ['stranger', null])
      expect([401, 403]).toContain((await it.request('GET', '/private/some', { as })).status);
    await it.request('DELETE', '/proto');
  }, 60_000);
});

describe('names of databases', () => {
  const files = async (): Promise<readonly string[]> =>
    (await readdir(it.folder, { recursive: true })).filter(
      (name) => !/^databases\/(\w+\/|\.deleted)/.test(name),
    );

  test('name one database each, and nothing else on the disk', async () => {
    const before = await files();
    for (const name of [
      ...[
        'Private',
        'PRIVATE',
        '%50rivate',
        'private.',
        'private%20',
        'private%00',
        'private%2e',
        '%20private',
      ],
      ...[
        '..%2fprivate',
        '..%2fx',
        'a%2f..%2f..%2fx',
        '%2e%2e',
        '.',
        '..',
        '%2fx',
        '..%5cx',
        'c%3ax',
        'a%252fb',
      ],
      ...['x%0d%0a', 'pr%c4%b1vate', 'privat%65%cc%81', '%ef%bd%90rivate', 'a.b', '%00', '%ff', '_', '_x'],
      ...['__proto__', 'constructor%00', 'a'.repeat(239), `a${'%2f'.repeat(120)}`],
    ]) {
      for (const method of ['PUT', 'GET', 'DELETE']) {
        const { status, text } = await ask(method, `/${name}`);
        expect({ name, method, status }).toMatchObject({ status: expect.toSatisfy(isRefusal) as number });
        expect(text).not.toContain('"db_name"');
      }
    }
    expect(it.databases.list()).toEqual(['private', 'public']);
    expect((await files()).toSorted()).toEqual(before.toSorted());
  });
});

import type Crypto from 'node:crypto';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { Sessions } from '../../src/auth/sessions.js';
import { parseHash } from '../../src/auth/password.js';
import { startUsers, type Users } from './users/gateway.js';

/**
 * The classes of holes of accounts that CouchDB and pouchdb-server had; those of paths and requests, and where the
 * others are proven, stand in `http/holes.test.ts`.
 */

/** Iterations of each hash that was computed. */
const paid = vi.hoisted((): number[] => []);
vi.mock('node:crypto', async (original) => {
  const crypto = await original<typeof Crypto>();
  const pbkdf2: typeof crypto.pbkdf2 = (password, salt, iterations, length, digest, done) => {
    paid.push(iterations);
    crypto.pbkdf2(password, salt, iterations, length, digest, done);
  };
  return { ...crypto, pbkdf2 };
});

let it: Users;

describe('a switch that opens everything', () => {
  beforeAll(async () => {
    it = await startUsers();
    await it.ask('PUT', '/db');
    await it.put('stranger', { password: 'x' });
  });
  afterAll(() => it.stop());

  const PROBES = [
    'GET /db',
    'PUT /db/doc',
    'PUT /db/_security',
    'GET /_all_dbs',
    'PUT /other',
    'GET /_users/_changes',
    'GET /_users/org.couchdb.user:admin',
    'GET /_node/_local/_config',
    'PUT /_node/_local/_config/admins/me',
  ];
  const set = async (at: string, value: string): Promise<number> =>
    (await it.ask('PUT', `/_node/_local/_config/${at}`, { json: value })).status;

  test.each<[at: string, value: string, opens?: string]>([
    ['couchdb/default_security', 'everyone'],
    // As CouchDB has it; names are all that it opens.
    ['chttpd/admin_only_all_dbs', 'false', 'GET /_all_dbs'],
    ['chttpd/require_valid_user', 'false'],
    ['chttpd_auth/require_valid_user', 'false'],
    ['couch_httpd_auth/require_valid_user', 'false'],
    ['couch_httpd_auth/public_fields', 'password_sha,salt,derived_key'],
    ['chttpd_auth/users_db_public', 'true'],
    ['couchdb/users_db_security_editable', 'true'],
    ['chttpd/authentication_handlers', '{chttpd_auth, null_authentication_handler}'],
    ['httpd/authentication_handlers', '{couch_httpd_auth, null_authentication_handler}'],
    ['chttpd_auth/proxy_use_secret', 'false'],
    ['chttpd_auth/authentication_db', 'db'],
    ['chttpd_auth/min_iterations', '1'],
    ['cors/origins', '*'],
    ['admins/', ''],
    ['admins/stranger', ''],
  ])('there is none: %s', async (at, value, opens) => {
    const status = await set(at, value);
    expect([200, 400, 403, 404, 405]).toContain(status);
    try {
      for (const as of ['stranger:x', null])
        for (const request of PROBES.filter((probe) => probe !== opens)) {
          const [method = '', url = ''] = request.split(' ');
          const answer = await it.ask(method, url, { as, ...(method === 'PUT' && { json: {} }) });
          expect([401, 403, 404], `${request} by ${String(as)}`).toContain(answer.status);
        }
    } finally {
      await it.ask('DELETE', `/_node/_local/_config/${at}`);
    }
  });
});

describe('a server that was told nothing', () => {
  let fresh: readonly [Users, Users];
  beforeAll(async () => {
    fresh = await Promise.all([startUsers({ admins: {} }), startUsers({ admins: {} })]);
  });
  afterAll(() => Promise.all(fresh.map((one) => one.stop())));

  const read = ({ folder }: Users, name: string): Promise<string> =>
    readFile(path.join(folder, name), 'utf8');

  test('makes an admin, whose password only the disk knows, and is open to nobody else', async () => {
    const [one] = fresh;
    for (const as of [null, 'admin:admin', 'admin:', ':', '_:_']) {
      expect((await one.ask('PUT', '/db', { as })).status).toBe(401);
      expect((await one.ask('GET', '/_all_dbs', { as })).status).toBe(401);
    }
    const password = (await read(one, 'admin-password')).trim();
    expect(password.length).toBeGreaterThanOrEqual(24);
    expect((await one.ask('PUT', '/db', { as: `admin:${password}` })).status).toBe(201);
  });

  test('comes with no secret that another has', async () => {
    const [one, other] = fresh;
    for (const name of ['secret', 'admin-password', 'server.json'])
      expect(await read(one, name)).not.toBe(await read(other, name));
  });
});

test('secrets that others came with sign no session, even where the salt is known', async () => {
  it = await startUsers();
  try {
    const { body } = await it.ask('GET', '/_node/_local/_config/admins/admin');
    const salt = parseHash(String(body))?.salt ?? '';
    expect(salt).toHaveLength(32);
    const uuid = String((await it.ask('GET', '/_node/_local/_config/couchdb/uuid')).body);
    const session = { timeout: 600, persistent: true };
    const cookieBy = (secret: string | Buffer): string =>
      new Sessions(secret, () => session).issue('admin', salt, false).split(';')[0] ?? '';
    // Those of CouchDB's documentation and of Erlang's, and what a careless program would take.
    const known = [
      '92de07df7e7a3fe14808cef90a7cc0d91',
      'monster',
      'secret',
      'couchdb',
      'undefined',
      ' ',
      uuid,
      salt,
    ];
    const who = async (cookie: string): Promise<unknown> =>
      (await it.ask('GET', '/_session', { as: null, headers: { cookie } })).body;
    for (const secret of known)
      expect(await who(cookieBy(secret))).toMatchObject({ userCtx: { name: null, roles: [] } });
    const own = (await readFile(path.join(it.folder, 'secret'), 'utf8')).trim();
    expect(await who(cookieBy(own))).toMatchObject({ userCtx: { name: 'admin' } });
  } finally {
    await it.stop();
  }
});

test('a session is never the one that a client brought', async () => {
  it = await startUsers();
  try {
    for (const name of ['attacker', 'victim']) await it.put(name, { password: name });
    const login = async (name: string, password: string, brought?: string) => {
      const headers = brought === undefined ? {} : { cookie: `AuthSession=${brought}` };
      const asking = { as: null, json: { name, password }, headers };
      const answer = await it.ask('POST', '/_session', asking);
      const [, cookie = ''] = /^AuthSession=([^;]*);/.exec(answer.headers['set-cookie']?.[0] ?? '') ?? [];
      return { status: answer.status, cookie };
    };
    const who = async (cookie: string): Promise<unknown> => {
      const headers = { cookie: `AuthSession=${cookie}` };
      const { body } = await it.ask('GET', '/_session', { as: null, headers });
      return (body as { userCtx: { name: unknown } }).userCtx.name;
    };
    const { cookie: planted } = await login('attacker', 'attacker');
    expect(await who(planted)).toBe('attacker');
    const { cookie: own } = await login('victim', 'victim', planted);
    expect([await who(own), await who(planted)]).toEqual(['victim', 'attacker']);
    // Whoever fails to log in is nobody from then on, in a browser.
    expect(await login('victim', 'wrong', own)).toEqual({ status: 401, cookie: '' });
    // Where both are sent, the session counts; a password beside it gives it no other name.
    const headers = { cookie: `AuthSession=${planted}` };
    const { body } = await it.ask('GET', '/_session', { as: 'victim:victim', headers });
    expect(body).toMatchObject({ userCtx: { name: 'attacker' } });
  } finally {
    await it.stop();
  }
});

describe('time tells nobody whether a name is known', () => {
  const ITERATIONS = 7;
  const THRESHOLD = 3;

  beforeAll(async () => {
    it = await startUsers({ passwords: { iterations: ITERATIONS }, lockout: { threshold: THRESHOLD } });
    await it.put('known', { password: 'x' });
    await it.put('careful', { password: 'x', totp: { key: 'JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP' } });
    await it.put('gone', { password: 'x' });
    const { _rev } = await it.read('gone');
    await it.ask('DELETE', `${it.documentOf('gone')}?rev=${String(_rev)}`);
    await it.put('keyless');
    await it.put('old', { password_sha: '0'.repeat(40), salt: 'salt' });
    const cheap = { password_scheme: 'pbkdf2', salt: 'salt', derived_key: '0'.repeat(40), iterations: 2 };
    await it.put('cheap', cheap);
  });
  afterAll(() => it.stop());
  beforeEach(() => void paid.splice(0));

  const sum = (): number => paid.splice(0).reduce((all, one) => all + one, 0);

  const NAMES = [
    ...[
      'admin',
      'known',
      'careful',
      'gone',
      'keyless',
      'old',
      'cheap',
      'unknown',
      '',
      '_',
      'Known',
      'known ',
    ],
    ...['__proto__', 'constructor', '\u0000', 'é', 'x'.repeat(5000)],
  ].map((name) => ({ name, called: name.slice(0, 20) }));

  /** Failures are counted by address, too. */
  const from = (address: string) => ({ headers: { 'x-forwarded-for': address } });

  test('by either way to log in, the same hashing is paid', async () => {
    for (const { name, called } of NAMES) {
      const basic = await it.ask('GET', '/', { as: `${name}:wrong`, ...from('192.0.2.1') });
      expect({ called, status: basic.status, paid: sum() }).toEqual({
        called,
        status: 401,
        paid: ITERATIONS,
      });
      const json = { name, password: 'wrong' };
      const form = await it.ask('POST', '/_session', { as: null, json, ...from('192.0.2.1') });
      expect({ called, status: form.status, paid: sum() }).toEqual({ called, status: 401, paid: ITERATIONS });
      expect(form.body).toEqual(basic.body);
    }
  });

  test('nor is anything paid for those who are locked out, and the answer is the same', async () => {
    const refusals = new Set<string>();
    for (const { name, called } of NAMES) {
      const guess = () => it.ask('GET', '/', { as: `${name}:wrong`, ...from('192.0.2.2') });
      for (let failures = 0; failures < THRESHOLD; failures++) expect((await guess()).status).toBe(401);
      paid.splice(0);
      const { status, body } = await guess();
      expect({ called, status, paid: sum() }).toEqual({ called, status: 403, paid: 0 });
      refusals.add(JSON.stringify(body));
    }
    expect(refusals.size).toBe(1);
  });
});

import { readFile, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { verifyPassword } from '../../src/auth/password.js';
import { type RequestOptions, startApp, type TestApp } from './app.js';

const BASE = '/_node/_local/_config';

let it: TestApp;
const start = async (): Promise<void> => {
  it = await startApp({ limits: { uuidsMaxCount: 7 } });
};
const stop = (): Promise<void> => it.stop();

/** A server for each test. */
function apart(): void {
  beforeEach(start);
  afterEach(stop);
}

/** One for tests that change nothing. */
function together(): void {
  beforeAll(start);
  afterAll(stop);
}

const ask = async (method: string, at: string, options?: RequestOptions): Promise<unknown[]> => {
  const { status, body } = await it.request(method, `${BASE}${at}`, options);
  return [status, body];
};
const get = (at: string) => ask('GET', at);
const put = (at: string, json: unknown, headers = {}) => ask('PUT', at, { json, headers });
const remove = (at: string, headers = {}) => ask('DELETE', at, { headers });

const unknown = [404, { error: 'not_found', reason: 'unknown_config_value' }];
const worded = (reason: string | RegExp): unknown =>
  typeof reason === 'string' ? reason : expect.stringMatching(reason);
const refused = (reason: string | RegExp) => [403, { error: 'forbidden', reason: worded(reason) }];
const bad = (reason: string | RegExp) => [400, { error: 'bad_request', reason: worded(reason) }];

/** What stands in DATA/runtime.json. */
const onDisk = async (): Promise<unknown> => {
  const text = await readFile(path.join(it.folder, 'runtime.json'), 'utf8');
  return (JSON.parse(text) as { couchdb: unknown }).couchdb;
};

describe('texts', () => {
  apart();

  test('of a client’s own are remembered, and on the disk when they are answered', async () => {
    expect(await put('/own/colour', 'red')).toEqual([200, '']);
    expect(await onDisk()).toEqual({ own: { colour: 'red' } });
    expect(await put('/own/colour', ' blue\n')).toEqual([200, 'red']);
    expect(await get('/own')).toEqual([200, { colour: 'blue' }]);
    expect(await remove('/own/colour')).toEqual([200, 'blue']);
    expect(await onDisk()).toEqual({});
    expect(await get('/own/colour')).toEqual(unknown);
    expect(await remove('/own/colour')).toEqual(unknown);
  });

  test('may stand under any name, and change nothing but themselves', async () => {
    for (const at of [
      '/__proto__/polluted',
      '/constructor/prototype',
      '/own/__proto__',
      '/own/a%2Fb',
      '/own/%20',
    ]) {
      expect(await put(at, 'yes')).toEqual([200, '']);
      expect(await get(at)).toEqual([200, 'yes']);
    }
    expect(({} as Record<string, unknown>).polluted).toBeUndefined();
    const { text } = await it.request('GET', BASE);
    expect(text).toContain('"__proto__":{"polluted":"yes"}');
    expect(await ask('POST', '/_reload')).toEqual([200, { ok: true }]);
    expect(await get('/__proto__/polluted')).toEqual([200, 'yes']);
  });

  test.each(['two\nlines', 'a\rb', 'a\0b', 'a\u2028b'])('cannot be %j', async (text) => {
    expect(await put('/own/a', text)).toEqual(bad('Invalid configuration value'));
  });

  test('are JSON texts', async () => {
    for (const json of [1, null, { a: 1 }])
      expect(await put('/own/a', json)).toEqual(bad('a JSON string expected'));
    expect(await ask('PUT', '/own/a', { text: 'red' })).toEqual(bad('invalid UTF-8 JSON'));
  });

  test('have names that a section of a file could have', async () => {
    expect(await put('/own/a%0Ab', 'x')).toEqual(bad('Invalid configuration key'));
    expect(await put('/own/%5Ba%5D', 'x')).toEqual(bad('Invalid configuration key'));
    expect(await put('/own%5D/a', 'x')).toEqual(bad('Invalid configuration section'));
    expect(await put(`/own/${'a'.repeat(257)}`, 'x')).toEqual(bad('Invalid configuration key'));
  });

  test('are bounded, one and all together', async () => {
    expect((await put('/own/a', 'x'.repeat(70_000)))[0]).toBe(413);
    let status: unknown = 200;
    for (let n = 0; n < 20 && status === 200; n++)
      [status] = await put(`/own/${String(n)}`, 'x'.repeat(60_000));
    expect(status).toBe(413);
    expect(JSON.stringify(await onDisk()).length).toBeLessThan(1_010_000);
  });

  test('without X-Couch-Persist count until the configuration is read again', async () => {
    const volatile = { 'x-couch-persist': 'false' };
    await put('/own/kept', 'a');
    expect(await put('/own/kept', 'b', volatile)).toEqual([200, 'a']);
    expect(await put('/own/lost', 'c', volatile)).toEqual([200, '']);
    await put('/own/other', 'd');
    expect(await onDisk()).toEqual({ own: { kept: 'a', other: 'd' } });
    expect(await get('/own')).toEqual([200, { kept: 'b', lost: 'c', other: 'd' }]);
    expect(await remove('/own/kept', volatile)).toEqual([200, 'b']);
    expect(await remove('/own/other', volatile)).toEqual([200, 'd']);
    expect(await get('/own')).toEqual([200, { kept: 'a', lost: 'c', other: 'd' }]);
    await ask('POST', '/_reload');
    expect(await get('/own')).toEqual([200, { kept: 'a', other: 'd' }]);
  });

  test('set at once are all there', async () => {
    const names = Array.from({ length: 30 }, (_, n) => `k${String(n)}`);
    await Promise.all(names.map((name) => put(`/many/${name}`, name)));
    const all = Object.fromEntries(names.map((name) => [name, name]));
    expect(await get('/many')).toEqual([200, all]);
    expect(await onDisk()).toEqual({ many: all });
  });
});

describe('what takes effect', () => {
  apart();

  const uuids = async (count: number) => (await it.request('GET', `/_uuids?count=${String(count)}`)).status;

  test('does so at once, and is taken back at once', async () => {
    await it.request('PUT', '/db');
    const big = { v: 'x'.repeat(2000) };
    expect(await put('/couchdb/max_document_size', '1000')).toEqual([200, '']);
    expect((await it.request('PUT', '/db/big', { json: big })).status).toBe(413);
    await put('/couchdb/max_document_size', '');
    expect((await it.request('PUT', '/db/big', { json: big })).status).toBe(201);
    await put('/couchdb/max_document_id_length', '3');
    expect((await it.request('PUT', '/db/long', { json: {} })).status).toBe(400);
    await remove('/couchdb/max_document_id_length');
    expect((await it.request('PUT', '/db/long', { json: {} })).status).toBe(201);
    await put('/chttpd/max_http_request_size', '100');
    expect((await it.request('PUT', '/db/other', { json: big })).status).toBe(413);
    expect(await put('/chttpd/max_http_request_size', 'infinity')).toEqual([200, '100']);
    expect((await it.request('PUT', '/db/other', { json: big })).status).toBe(201);
    // Nothing of it is sent: no text could hold it.
    const headers = { 'content-length': '600000000', 'content-type': 'application/json' };
    expect((await it.request('POST', '/db', { text: '', headers })).status).toBe(413);
  });

  test('tells load balancers to send nobody, and answers whoever comes all the same', async () => {
    await it.request('PUT', '/db');
    const asked = async (line: string): Promise<unknown[]> => {
      const [method = '', at = ''] = line.split(' ');
      const { status, body } = await it.request(method, at, { as: null });
      return [status, body];
    };
    const inUse = async (): Promise<void> => {
      expect(await asked('GET /_up')).toEqual([200, { status: 'ok', seeds: {} }]);
      expect(await asked('GET /_gateway/ready')).toEqual([200, { status: 'ok' }]);
    };
    await inUse();
    for (const [text, status] of [
      ['true', 'maintenance_mode'],
      ['nolb', 'nolb'],
    ]) {
      await put('/couchdb/maintenance_mode', text);
      expect(await get('/couchdb/maintenance_mode')).toEqual([200, text]);
      expect(await asked('GET /_up')).toEqual([404, { status }]);
      expect(await asked('HEAD /_up')).toEqual([404, undefined]);
      expect(await asked('GET /_gateway/ready')).toEqual([503, { status }]);
      expect(await asked('HEAD /_gateway/ready')).toEqual([503, undefined]);
      expect(await asked('GET /_gateway/live')).toEqual([200, { status: 'ok' }]);
      expect((await it.request('PUT', `/db/${String(status)}`, { json: {} })).status).toBe(201);
    }
    await put('/couchdb/maintenance_mode', 'false');
    await inUse();
    await put('/couchdb/maintenance_mode', 'nolb');
    await remove('/couchdb/maintenance_mode');
    await inUse();
  });

  test('says how to log in, where a request does not', async () => {
    const asked = async (headers = {}) => {
      const { status, headers: answered } = await it.request('GET', '/_all_dbs', { as: null, headers });
      return [status, answered['www-authenticate']];
    };
    const page = { accept: 'text/html' };
    expect(await asked()).toEqual([401, undefined]);
    expect(await asked(page)).toEqual([302, undefined]);
    await put('/chttpd/require_valid_user', 'true');
    expect(await asked()).toEqual([401, 'Basic realm="server"']);
    await put('/httpd/WWW-Authenticate', 'Basic realm="a"');
    expect(await asked(page)).toEqual([401, 'Basic realm="a"']);
    await put('/chttpd/WWW-Authenticate', 'Basic realm="b"');
    expect(await asked()).toEqual([401, 'Basic realm="b"']);
    expect(await asked({ 'x-couchdb-www-authenticate': 'Cookie' })).toEqual([401, 'Cookie']);
    expect(await put('/chttpd/WWW-Authenticate', 'Bäsic')).toEqual(bad(/allowed is a challenge such as/));
  });

  test('may stand where CouchDB had it before, unless it stands where it has it now', async () => {
    await put('/httpd/max_http_request_size', '1');
    expect((await it.request('PUT', '/_node/_local/_config/own/a', { json: 'b' })).status).toBe(200);
    expect((await it.request('POST', '/_session', { json: { name: 'a' } })).status).not.toBe(413);
    await it.request('PUT', '/db');
    expect((await it.request('PUT', '/db/doc', { json: {} })).status).toBe(413);
    await put('/chttpd/max_http_request_size', '1000');
    expect((await it.request('PUT', '/db/doc', { json: {} })).status).toBe(201);
  });

  test.each([
    ['/couchdb/max_document_size', 'large', /allowed is a whole number from 1$/],
    ['/chttpd/enable_cors', 'yes', /allowed is true or false$/],
    ['/couchdb/maintenance_mode', 'nonsense', /allowed is one of /],
    ['/cors/origins', 'https://app.example/path', /allowed is a list of origins/],
    ['/httpd/enable_cors', '1', /allowed is true or false$/],
    ['/log/level', 'loud', /allowed is one of/],
    ['/cors/methods', 'GET, P\u2603T', /allowed is a list of methods/],
    ['/cors/headers', 'a b', /allowed is a list of names of headers/],
    ['/cors:app.example/methods', 'P UT', /allowed is /],
    ['/attachments/compressible_types', 'text/**', /in each of which one \* may stand/],
  ])('is not set to what it cannot be: %s to %j', async (at, text, reason) => {
    expect(await put(at, text)).toEqual(bad(reason));
    expect(await get(at)).toEqual(unknown);
  });

  test('is not set where that would change nothing, nor taken away from where it is given', async () => {
    expect(await get('/uuids')).toEqual([200, { max_count: '7' }]);
    const reason =
      'uuids/max_count is given by the given configuration, which counts for more than what is set over HTTP.';
    expect(await put('/uuids/max_count', '9')).toEqual(refused(reason));
    expect(await remove('/uuids/max_count')).toEqual(refused(reason));
    expect([await uuids(7), await uuids(8)]).toEqual([200, 400]);
  });

  test('is shown where it is given, and not where it is a default', async () => {
    const [, all] = (await get('')) as [number, Record<string, unknown>];
    expect(Object.keys(all).toSorted()).toEqual(
      [
        'admins',
        'chttpd',
        'chttpd_auth',
        'couch_httpd_auth',
        'couchdb',
        'httpd',
        'uuids',
        'vendor',
      ].toSorted(),
    );
    expect(all).toMatchObject({
      vendor: { name: 'Causeway' },
      couchdb: { single_node: 'true', uuid: 'f'.repeat(32) },
    });
    expect(await get('/cors/origins')).toEqual(unknown);
    expect(await put('/couchdb/single_node', 'true')).toEqual([200, 'true']);
    expect(await put('/couchdb/uuid', 'x')).toEqual(refused('couchdb/uuid cannot be changed over HTTP.'));
    expect(await remove('/chttpd/port')).toEqual(refused('chttpd/port cannot be changed over HTTP.'));
  });

  test('is read again from the disk, or stays where that is wrong', async () => {
    const file = path.join(it.folder, 'runtime.json');
    const runtime = JSON.parse(await readFile(file, 'utf8')) as object;
    await writeFile(file, JSON.stringify({ ...runtime, couchdb: { cors: { max_age: '5' } } }));
    expect(await ask('POST', '/_reload')).toEqual([200, { ok: true }]);
    expect(await get('/cors')).toEqual([200, { max_age: '5' }]);
    await writeFile(file, JSON.stringify({ ...runtime, couchdb: { cors: { max_age: 'long' } } }));
    expect(await ask('POST', '/_reload')).toEqual(bad(/cors\.maxAge is "long"/));
    expect(await get('/cors')).toEqual([200, { max_age: '5' }]);
  });
});

test('a damaged runtime.json is not written over, and changes go on once it is mended or gone', async () => {
  await start();
  try {
    const file = path.join(it.folder, 'runtime.json');
    const failed = (reason: RegExp) => [500, { error: 'internal_server_error', reason: worded(reason) }];
    await put('/cors/max_age', '5');
    const whole = await readFile(file, 'utf8');
    for (const [text, reason] of [
      ['{"config": {}, "couch', /runtime\.json is not valid JSON$/],
      ['{"what": 1}', /runtime\.json may hold only "config", /],
    ] as const) {
      await writeFile(file, text);
      expect(await put('/cors/max_age', '6')).toEqual(failed(reason));
      expect(await remove('/cors/max_age')).toEqual(failed(reason));
      expect(await readFile(file, 'utf8')).toBe(text);
      expect(await get('/cors/max_age')).toEqual([200, '5']);
      expect(await put('/cors/max_age', '5', { 'x-couch-persist': 'false' })).toEqual([200, '5']);
    }
    await writeFile(file, whole);
    expect(await put('/cors/max_age', '6')).toEqual([200, '5']);
    await rm(file);
    expect(await put('/cors/credentials', 'true')).toEqual([200, '']);
    expect(await onDisk()).toEqual({ cors: { max_age: '6', credentials: 'true' } });
  } finally {
    await stop();
  }
});

describe('what could run or read something', () => {
  together();

  test.each([
    'query_servers',
    'native_query_servers',
    'os_daemons',
    'daemons',
    'external',
    'update_notification',
    'feature_flags',
    'couch_scanner_plugins',
  ])('is not set: section %s', async (section) => {
    const reason = 'Config section blacklisted for modification over HTTP API.';
    for (const name of ['javascript', 'x']) {
      // The body is not even looked at.
      expect(await put(`/${section}/${name}`, 5)).toEqual(refused(reason));
      expect(await remove(`/${section}/${name}`)).toEqual(refused(reason));
      expect(await get(`/${section}/${name}`)).toEqual(unknown);
    }
  });

  test.each([
    'couchdb_engines/x',
    'indexers/x',
    'jwt_keys/hmac:_default',
    'ssl/key_file',
    'chttpd_auth/secret',
    'couch_httpd_auth/secret',
    'couchdb/database_dir',
    'couchdb/view_index_dir',
    'chttpd/authentication_handlers',
    'chttpd/docroot',
    'httpd/authentication_handlers',
    'log/file',
    'log/writer',
    'replicator/key_file',
  ])('is neither set nor read: %s', async (at) => {
    expect(await put(`/${at}`, '/bin/sh')).toEqual(refused(/blacklisted|can be neither set nor read/));
    expect(await remove(`/${at}`)).toEqual(refused(/blacklisted|can be neither set nor read/));
    expect(await get(`/${at}`)).toEqual(unknown);
    expect(JSON.stringify(await get(''))).not.toContain('/bin/sh');
  });

  test.each([
    '/cors:/origins',
    '/cors:__proto__/origins',
    '/cors:a%20b/origins',
    '/cors:app.example:5984/origins',
  ])('is no name of a host: %s', async (at) => {
    expect(await put(at, 'https://app.example')).toEqual(bad(/cors: is followed by the name of a host/));
  });
});

describe('admins', () => {
  apart();

  const admins = async () => ((await get('/admins')) as [number, Record<string, string>])[1];

  test('are set with a password, which is hashed before anything is kept', async () => {
    expect(await put('/admins/bo', 'pear')).toEqual([200, '']);
    const { bo = '' } = await admins();
    expect(await verifyPassword('pear', bo)).toBe(true);
    expect(JSON.stringify(await onDisk())).not.toContain('pear');
    expect(await put('/admins/bo', 'plum')).toEqual([200, bo]);
    expect(await verifyPassword('plum', (await admins()).bo ?? '')).toBe(true);
    const hashed = '-pbkdf2-c222e5bd5d1ec0e63cb8a4f1ce6ee6a5a0b0fc1a,abc,10';
    await put('/admins/jo', hashed);
    expect(await get('/admins/jo')).toEqual([200, hashed]);
    await remove('/admins/jo');
    expect(await get('/admins/jo')).toEqual(unknown);
  });

  test('go on being there when another one is set, also the one whose password the server made', async () => {
    const password = (await readFile(path.join(it.folder, 'admin-password'), 'utf8')).trim();
    await put('/admins/bo', 'pear');
    await ask('POST', '/_reload');
    expect(Object.keys(await admins()).toSorted()).toEqual(['admin', 'bo']);
    expect(await verifyPassword(password, (await admins()).admin ?? '')).toBe(true);
    await put('/admins/admin', 'mine');
    expect(await verifyPassword('mine', (await admins()).admin ?? '')).toBe(true);
    await expect(readFile(path.join(it.folder, 'admin-password'))).rejects.toThrow('ENOENT');
  });

  test('are never none', async () => {
    expect(await remove('/admins/admin')).toEqual(refused('The last server admin cannot be deleted.'));
    await put('/admins/bo', 'pear');
    const answers = await Promise.all([remove('/admins/admin'), remove('/admins/bo')]);
    expect(answers.map(([status]) => status).toSorted()).toEqual([200, 403]);
    expect(Object.keys(await admins())).toHaveLength(1);
  });

  test.each([
    ['bo', '', /must not be empty/],
    ['bo', '-pbkdf2-nonsense', /no known form/],
    ['b:o', 'pear', /name of an admin/],
    ['_bo', 'pear', /name of an admin/],
    ['__proto__', 'pear', /name of an admin/],
  ])('cannot be %j with %j', async (name, password, reason) => {
    expect(await put(`/admins/${name}`, password)).toEqual(bad(reason));
    expect(Object.keys(await admins())).toEqual(['admin']);
  });
});

describe('whoever is no server admin', () => {
  together();

  const PATHS = [
    BASE,
    `${BASE}/`,
    `${BASE}/couchdb`,
    `${BASE}/couchdb/`,
    `${BASE}/couchdb/uuid`,
    `${BASE}/couchdb/uuid/`,
    `${BASE}/couchdb/uuid/deeper`,
    `${BASE}/admins`,
    `${BASE}/_reload`,
    '/_node/nonode@nohost/_config/admins',
    '/_node/nonode%40nohost/_config',
    '/_node/x/_config',
    '//_node//_local//_config//admins',
    '/_node/_local/%5fconfig/admins',
    '/_node/_local/%5Fconfig',
    '/%5fnode/_local/_config/admins',
    '/_node/%5Flocal/_config',
    '/%5Fnode/%5Flocal/%5Fconfig/%61dmins',
    '/_node/_local/_CONFIG/admins',
    '/_NODE/_local/_config/admins',
    '/_node/_local%2F_config/admins',
    '/_node%2F_local/_config/admins',
    '/_node/_local/_config%2Fadmins',
    '/_node/_local/_config%2fadmins%2Fadmin',
    '/_node/_local/_config;/admins',
    '/_node/./_local/_config',
    '/_node/x/../_local/_config',
    '/_config',
    '//_config',
    '/%5fconfig',
    '/_config/admins',
    '/%5Fconfig/admins/',
    `http://127.0.0.1${BASE}/admins`,
    `${BASE}/admins?x=1`,
    `${BASE}/admins#x`,
  ];

  test.each(PATHS)('reads and changes nothing at %s', async (at) => {
    const before = JSON.stringify(await get(''));
    for (const as of [null, 'stranger', 'member', 'dbadmin', 'metrics'])
      for (const method of ['GET', 'HEAD', 'PUT', 'DELETE', 'POST', 'COPY']) {
        const { status, text } = await it.request(method, at, { as, ...(method !== 'GET' && { json: 'x' }) });
        expect([400, 401, 403, 404], `${method} by ${String(as)}`).toContain(status);
        expect(text).not.toContain('-pbkdf2');
        expect(text).not.toContain('f'.repeat(32));
      }
    expect(JSON.stringify(await get(''))).toBe(before);
  });

  test('gets past by no other method', async () => {
    const headers = { 'x-http-method-override': 'PUT' };
    const { status } = await it.request('POST', `${BASE}/own/a`, { as: 'member', json: 'x', headers });
    expect(status).toBe(401);
    expect(await get('/own')).toEqual([200, {}]);
  });
});

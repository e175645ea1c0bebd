import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { verifyPassword } from '../../src/auth/password.js';
import { startApp, type TestApp } from './app.js';

const BASE = '/_node/_local/_config';

let it: TestApp;
const start = async (): Promise<void> => {
  it = await startApp();
};
const stop = (): Promise<void> => it.stop();

const get = async (at: string): Promise<unknown> => (await it.request('GET', `${BASE}${at}`)).body;

describe('the set-up of Obsidian LiveSync', () => {
  beforeEach(start);
  afterEach(stop);

  test('finds what it set, and lets its apps in', async () => {
    const origins = 'app://obsidian.md,capacitor://localhost,http://localhost';
    const settings = [
      ['chttpd', 'require_valid_user', 'true'],
      ['chttpd_auth', 'require_valid_user', 'true'],
      ['httpd', 'WWW-Authenticate', 'Basic realm="couchdb"'],
      ['httpd', 'enable_cors', 'true'],
      ['chttpd', 'enable_cors', 'true'],
      ['chttpd', 'max_http_request_size', '4294967296'],
      ['couchdb', 'max_document_size', '50000000'],
      ['cors', 'credentials', 'true'],
      ['cors', 'origins', origins],
    ] as const;
    const setup = {
      action: 'enable_single_node',
      username: 'admin',
      password: 'chosen',
      bind_address: '0.0.0.0',
      port: 5984,
      singlenode: true,
    };
    expect(await it.request('POST', '/_cluster_setup', { json: setup })).toMatchObject({
      status: 201,
      body: { ok: true },
    });
    const by = '/_node/nonode@nohost/_config';
    for (const [section, key, text] of settings)
      expect((await it.request('PUT', `${by}/${section}/${key}`, { json: text })).status).toBe(200);
    const all = (await get('')) as Record<string, Record<string, string>>;
    for (const [section, key, text] of settings) expect(all[section]?.[key]).toBe(text);
    await it.request('PUT', '/vault');
    for (const origin of origins.split(',')) {
      const asked = await it.request('OPTIONS', '/vault/_bulk_docs', {
        as: null,
        headers: {
          origin,
          'access-control-request-method': 'POST',
          'access-control-request-headers': 'authorization, content-type',
        },
      });
      const granted = { 'access-control-allow-origin': origin, 'access-control-allow-credentials': 'true' };
      expect(asked).toMatchObject({ status: 204, headers: granted });
      const answer = await it.request('GET', '/vault', { headers: { origin } });
      expect(answer).toMatchObject({ status: 200, headers: granted });
    }
    expect((await it.request('GET', '/', { as: null })).body).toEqual({
      error: 'unauthorized',
      reason: 'Authentication required.',
    });
    const strange = await it.request('GET', '/vault', { headers: { origin: 'https://evil.example' } });
    expect(strange.headers).not.toHaveProperty('access-control-allow-origin');
    await it.request('PUT', `${BASE}/chttpd/enable_cors`, { json: 'false' });
    const off = await it.request('GET', '/vault', { headers: { origin: 'app://obsidian.md' } });
    expect(off.headers).not.toHaveProperty('access-control-allow-origin');
  });
});

describe('_cluster_setup', () => {
  beforeAll(start);
  afterAll(stop);

  const ask = (json: unknown) => it.request('POST', '/_cluster_setup', { json });

  test('has the admin that an installer names, and leaves one that is there as it is', async () => {
    const admin = { action: 'enable_single_node', username: 'bo', password: 'pear' };
    expect(await ask(admin)).toMatchObject({ status: 201, body: { ok: true } });
    const hashed = await get('/admins/bo');
    expect(await verifyPassword('pear', String(hashed))).toBe(true);
    expect((await ask(admin)).status).toBe(201);
    expect(await get('/admins/bo')).toEqual(hashed);
    expect((await ask({ action: 'enable_single_node' })).status).toBe(201);
    expect(await get('/admins/bo')).toEqual(hashed);
  });

  test.each([
    [{ action: 'enable_single_node', username: 'bo' }, 'username and password must be strings'],
    [
      { action: 'enable_single_node', username: 'b:o', password: 'x' },
      'The name of an admin has no : and no comma, and does not begin with _ or a space.',
    ],
    [{ action: 'finish_cluster' }, 'Cluster is already finished'],
    [{ action: 'enable_cluster' }, 'A single node cannot become part of a cluster.'],
    [{ action: 'add_node' }, 'A single node cannot become part of a cluster.'],
    [{ action: 'constructor' }, "Invalid Action'"],
    [{ action: 1 }, "Invalid Action'"],
    [{}, "Invalid Action'"],
    [[], "Missing JSON body'"],
    ['text', "Missing JSON body'"],
  ])('is over otherwise: %j', async (body, reason) => {
    expect(await ask(body)).toMatchObject({ status: 400, body: { error: 'bad_request', reason } });
    expect((await it.request('GET', '/_cluster_setup')).body).toEqual({ state: 'single_node_enabled' });
  });
});

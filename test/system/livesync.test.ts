import { once } from 'node:events';
import http, { type IncomingMessage } from 'node:http';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { Couch } from './support/couch.js';
import { remotePouch } from './support/pouch.js';
import { Restartable } from './support/restartable.js';

/*
 * What Self-hosted LiveSync, the plugin of Obsidian, sends to set up a CouchDB: `couchdb-init.sh` and the
 * `provision.ts` that follows it, and the check of its settings, which reads the configuration back.
 */

const CONFIG = '/_node/_local/_config';
const CHALLENGE = 'Basic realm="couchdb"';

/** Pages of Obsidian on a computer, an iPhone and an Android phone. */
const ORIGINS = ['app://obsidian.md', 'capacitor://localhost', 'http://localhost'];

/** What the script sets, in its order. */
const SETTINGS = [
  ['chttpd/require_valid_user', 'true'],
  // Nothing asks for this one any more, in CouchDB neither.
  ['chttpd_auth/require_valid_user', 'true'],
  ['httpd/WWW-Authenticate', CHALLENGE],
  ['httpd/enable_cors', 'true'],
  ['chttpd/enable_cors', 'true'],
  ['chttpd/max_http_request_size', '4294967296'],
  ['couchdb/max_document_size', '50000000'],
  ['cors/credentials', 'true'],
  ['cors/origins', ORIGINS.join(',')],
] as const;

type Sections = Readonly<Record<string, Readonly<Record<string, string>>>>;

let server: Restartable;
beforeEach(async () => {
  server = await Restartable.start({ env: { CAUSEWAY_PASSWORDS_ITERATIONS: '1000' } });
});
afterEach(async () => {
  await server.remove();
});

it('is set up by its script, also when that runs twice and after a restart', async () => {
  const { couch, auth } = server;
  for (let run = 1; run <= 2; run++) {
    const node = { ...auth, bind_address: '0.0.0.0', port: 5984, singlenode: true };
    const body = { action: 'enable_single_node', ...node };
    expect(await couch.request('POST', '/_cluster_setup', { body })).toMatchObject({ status: 201 });
    for (const [key, text] of SETTINGS)
      expect(await couch.request('PUT', `${CONFIG}/${key}`, { body: text })).toMatchObject({ status: 200 });
    expect((await couch.request('PUT', '/notes')).status).toBe(run === 1 ? 201 : 412);
  }
  await expectSetUp();
  await server.restart();
  await expectSetUp();
});

it('is put right by what its check of the settings offers', async () => {
  const { couch } = server;
  await couch.put('/notes');
  const large = { body: { text: 'x'.repeat(8_500_000) } };
  expect(await couch.request('POST', '/notes', large)).toMatchObject({ status: 413 });
  expect(await askToSend(100e6)).toBe(413);
  const found = findings(await configuration(), server.auth.username);
  expect(found).toEqual([
    ['chttpd/require_valid_user', 'true'],
    ['httpd/WWW-Authenticate', CHALLENGE],
    ['chttpd/enable_cors', 'true'],
    ['chttpd/max_http_request_size', '4294967296'],
    ['couchdb/max_document_size', '50000000'],
    ['cors/credentials', 'true'],
    ['cors/origins', `,${ORIGINS.join(',')}`],
  ]);
  for (const [key, body] of found) {
    // It says that it comes from nowhere.
    const answer = await couch.request('PUT', `${CONFIG}/${key}`, { body, headers: { origin: '' } });
    expect(answer).toMatchObject({ status: 200 });
    expect(findings(await configuration(), server.auth.username).map(([name]) => name)).not.toContain(key);
  }
  await expectSetUp();
  expect(await couch.request('POST', '/notes', large)).toMatchObject({ status: 201 });
  expect(await askToSend(100e6)).toBe(100);
  expect(await askToSend(5e9)).toBe(413);
});

it('may let all origins in', async () => {
  for (const [key, text] of SETTINGS) await server.couch.put(`${CONFIG}/${key}`, text);
  await server.couch.put(`${CONFIG}/cors/origins`, '*');
  await server.couch.put('/notes');
  await expectSetUp(['https://any.example']);
});

/** Everything that was set counts, and the check finds nothing. */
async function expectSetUp(more: readonly string[] = []): Promise<void> {
  expect(findings(await configuration(), server.auth.username)).toEqual([]);
  await expectClosed();
  for (const origin of [...ORIGINS, ...more]) await expectOpenTo(origin);
  if (more.length > 0) return;
  const { headers } = await server.couch.request('GET', '/', {
    headers: { origin: 'app://obsidian.md.evil' },
  });
  expect(headers).not.toHaveProperty('access-control-allow-origin');
}

/** Whoever has no name is asked for one, whatever they ask for. */
async function expectClosed(): Promise<void> {
  const nobody = new Couch(server.url);
  for (const path of ['/', '/_up', '/_session', '/notes', CONFIG, '/none']) {
    const answer = await nobody.request('GET', path);
    expect(answer).toMatchObject({ status: 401, headers: { 'www-authenticate': CHALLENGE } });
  }
  await nobody.close();
}

/** A page of this origin may sync, with a password and with a cookie. */
async function expectOpenTo(origin: string): Promise<void> {
  const shared = { 'access-control-allow-origin': origin, 'access-control-allow-credentials': 'true' };
  const { couch, url, auth } = server;
  expect(await couch.request('GET', CONFIG, { headers: { origin } })).toMatchObject({
    status: 200,
    headers: shared,
  });
  const page = new Couch(url);
  const preflight = await page.open('OPTIONS', '/notes/_bulk_docs', {
    headers: {
      origin,
      'access-control-request-method': 'POST',
      'access-control-request-headers': 'authorization,content-type',
    },
  });
  await preflight.body.dump();
  expect(preflight).toMatchObject({ statusCode: 204, headers: shared });
  const body = { name: auth.username, password: auth.password };
  const { status, headers } = await page.request('POST', '/_session', { body, headers: { origin } });
  expect([status, headers]).toMatchObject([200, shared]);
  const [cookie = ''] = String(headers['set-cookie']).split(';');
  const write = { body: { docs: [{ from: origin }] }, headers: { origin, cookie } };
  expect(await page.request('POST', '/notes/_bulk_docs', write)).toMatchObject({
    status: 201,
    headers: shared,
  });
  await page.close();
  const pouch = remotePouch(`${url}/notes`, auth);
  expect(await pouch.put({ _id: new Date().toISOString(), type: 'versioninfo' })).toMatchObject({ ok: true });
}

/** Asks whether a request may have so many bytes: 100, or the status of the refusal. */
async function askToSend(bytes: number): Promise<number> {
  const request = http.request(`${server.url}/notes/_bulk_docs`, {
    method: 'POST',
    headers: {
      authorization: server.authorization,
      'content-type': 'application/json',
      'content-length': bytes,
      expect: '100-continue',
    },
  });
  request.on('error', () => undefined);
  request.flushHeaders();
  const status = await Promise.race([
    once(request, 'continue').then(() => 100),
    once(request, 'response').then(([answer]) => (answer as IncomingMessage).statusCode ?? 0),
  ]);
  request.destroy();
  return status;
}

async function configuration(): Promise<Sections> {
  const { headers, body } = await server.couch.request('GET', CONFIG, {
    headers: { origin: 'app://obsidian.md' },
  });
  // By this it decides which keys it looks for.
  expect(headers.server).toMatch(/CouchDB\/3\.[2-9]/);
  return body as Sections;
}

/** The check: keys that are not as it wants them, with the texts that it offers to set. */
function findings(config: Sections, user: string): [key: string, text: string][] {
  const { admins, httpd, chttpd = {}, couchdb = {}, cors = {} } = config;
  // It does not ask whether these are there.
  if (admins === undefined || httpd === undefined) throw new TypeError('a section is missing');
  expect(Object.keys(admins)).toContain(user);
  const origins = (cors.origins ?? '').split(',');
  const hasOrigins = cors.origins === '*' || ORIGINS.every((origin) => origins.includes(origin));
  const wanted: [isThere: boolean, key: string, text: string][] = [
    [chttpd.require_valid_user === 'true', 'chttpd/require_valid_user', 'true'],
    [Boolean(httpd['WWW-Authenticate']), 'httpd/WWW-Authenticate', CHALLENGE],
    [chttpd.enable_cors === 'true', 'chttpd/enable_cors', 'true'],
    [Number(chttpd.max_http_request_size ?? 0) >= 2 ** 32, 'chttpd/max_http_request_size', '4294967296'],
    [Number(couchdb.max_document_size ?? 0) >= 50e6, 'couchdb/max_document_size', '50000000'],
    [cors.credentials === 'true', 'cors/credentials', 'true'],
    [hasOrigins, 'cors/origins', [...new Set([...origins, ...ORIGINS])].join(',')],
  ];
  return wanted.flatMap(([isThere, key, text]) => (isThere ? [] : [[key, text]]));
}

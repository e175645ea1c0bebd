import { readFile } from 'node:fs/promises';
import http from 'node:http';
import path from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type RunningGateway, startGateway } from '../support/server.js';
import { listeningPorts } from './support/proc.js';
import { until } from './support/wait.js';

const PASSWORDS = {
  admin: 'first-Sesame',
  wrong: 'wrong-Sesame',
  ann: 'second-Sesame',
  changed: 'third-Sesame',
  bulk: 'fourth-Sesame',
  bo: 'fifth-Sesame',
  installer: 'sixth-Sesame',
  closed: 'seventh-Sesame',
  refused: 'eighth-Sesame',
  inUrl: 'ninth-Sesame',
};
const TOTP_KEY = 'JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP';

let gateway: RunningGateway;
/** The heads and bodies of all answers, but for the cookies of those who log in. */
const answers: string[] = [];
/** What must not be seen besides the passwords: sessions, salts, hashes, keys. */
const hidden: string[] = [];

const basic = (name: string, password: string): string =>
  `Basic ${Buffer.from(`${name}:${password}`).toString('base64')}`;
const ADMIN = { authorization: basic('admin', PASSWORDS.admin) };

interface Said {
  readonly status: number;
  readonly text: string;
  readonly cookie: string;
}

/** @param body sent as JSON, or as a form where it is a text */
function ask(
  method: string,
  url: string,
  headers: http.OutgoingHttpHeaders,
  body?: object | string,
): Promise<Said> {
  const isForm = typeof body === 'string';
  const text = isForm ? body : body === undefined ? '' : JSON.stringify(body);
  const type = isForm ? 'application/x-www-form-urlencoded' : 'application/json';
  const all = { 'content-type': type, 'content-length': Buffer.byteLength(text), ...headers };
  const options = { host: '127.0.0.1', port: gateway.port, method, path: url, headers: all, agent: false };
  return new Promise((resolve, reject) => {
    const request = http.request(options, (response) => {
      let answered = '';
      response.setEncoding('utf8').on('data', (chunk: string) => (answered += chunk));
      response.on('error', reject);
      response.on('end', () => {
        const { 'set-cookie': cookies, ...head } = response.headers;
        const [, cookie = ''] = /^AuthSession=([^;]*);/.exec(cookies?.[0] ?? '') ?? [];
        if (cookie !== '') hidden.push(cookie);
        answers.push(`${JSON.stringify(head)}${answered}`);
        resolve({ status: response.statusCode ?? 0, text: answered, cookie });
      });
    });
    request.on('error', reject);
    request.end(text);
  });
}

async function expectStatus(status: number, asked: Promise<Said>): Promise<Said> {
  const said = await asked;
  expect({ ...said, status: said.status }).toMatchObject({ status });
  return said;
}

beforeAll(async () => {
  const env = {
    CAUSEWAY_ADMINS: `admin:${PASSWORDS.admin}`,
    CAUSEWAY_LOG_LEVEL: 'trace',
    CAUSEWAY_LOG_REQUESTS: 'true',
    // A tenth of it is soon over.
    CAUSEWAY_SESSION_TIMEOUT: '10',
    CAUSEWAY_PASSWORDS_ITERATIONS: '100',
  };
  gateway = await startGateway({ env });
});
afterAll(() => gateway.kill());

it('no secret is in logs, answers, statistics, the configuration or the list of processes', async () => {
  await logIn();
  await keepUsers();
  await configure();
  await goAstray();
  await lookAround();
  const cmdline = await readFile(`/proc/${String(gateway.program.pid)}/cmdline`, 'utf8');
  await gateway.stop();

  const { stdout, stderr } = gateway.program;
  expect(stderr.split('"msg":"request"').length).toBeGreaterThan(30);
  expect(stderr).toContain('authentication failed');
  const logged = [...stdout.split('\n'), ...stderr.split('\n'), ...cmdline.split('\0')];
  const passwords = Object.values(PASSWORDS).flatMap((password) => [
    password,
    ...['admin', 'ann', 'bo'].map((name) => basic(name, password).slice('Basic '.length)),
  ]);
  for (const secret of passwords) expect(shownIn(answers, secret)).toBeUndefined();
  expect(hidden.length).toBeGreaterThan(10);
  for (const secret of [...passwords, ...hidden]) {
    expect(secret.length).toBeGreaterThan(10);
    expect(shownIn(logged, secret)).toBeUndefined();
  }
}, 300_000);

const shownIn = (texts: readonly string[], secret: string): string | undefined =>
  texts.find((text) => text.includes(secret));

async function logIn(): Promise<void> {
  const { admin: password, wrong } = PASSWORDS;
  await expectStatus(200, ask('GET', '/_session', ADMIN));
  await expectStatus(401, ask('GET', '/_session', { authorization: basic('admin', wrong) }));
  await expectStatus(400, ask('GET', '/', { authorization: `Basic ${wrong}` }));
  await expectStatus(401, ask('POST', '/_session', {}, { name: 'admin', password: wrong, token: wrong }));
  await expectStatus(401, ask('POST', '/_session', {}, `name=admin&password=${wrong}`));
  await expectStatus(200, ask('POST', '/_session', {}, `name=admin&password=${password}`));
  const { cookie } = await expectStatus(200, ask('POST', '/_session', {}, { name: 'admin', password }));
  const headers = { cookie: `AuthSession=${cookie}` };
  await until('the session is prolonged', async () => (await ask('GET', '/_all_dbs', headers)).cookie !== '');
  await expectStatus(400, ask('GET', '/', { cookie: `AuthSession=${wrong}` }));
  await expectStatus(200, ask('DELETE', '/_session', headers));
}

async function keepUsers(): Promise<void> {
  const url = '/_users/org.couchdb.user:ann';
  const { ann, changed, refused, bulk } = PASSWORDS;
  const user = { name: 'ann', type: 'user', roles: [], totp: { key: TOTP_KEY } };
  hidden.push(TOTP_KEY);
  await expectStatus(201, ask('PUT', url, ADMIN, { ...user, password: ann }));
  const _rev = await noteHash(url);
  await expectStatus(409, ask('PUT', url, ADMIN, { ...user, password: refused }));
  await expectStatus(403, ask('PUT', url, ADMIN, { ...user, _rev, roles: 5, password: refused }));
  await expectStatus(403, ask('PUT', url, ADMIN, { ...user, _rev, password: [refused] }));
  await expectStatus(400, ask('PUT', url, ADMIN, { ...user, _rev, _bad: 1, password: refused }));
  await expectStatus(201, ask('PUT', url, ADMIN, { ...user, _rev, password: changed }));
  await noteHash(url);
  const docs = [{ ...user, _id: 'org.couchdb.user:bulk', name: 'bulk', password: bulk }];
  await expectStatus(201, ask('POST', '/_users/_bulk_docs', ADMIN, { docs }));
  // Without the code.
  await expectStatus(401, ask('GET', '/', { authorization: basic('ann', changed) }));
}

/** Admins are shown what a user document holds, as in CouchDB. @returns its revision */
async function noteHash(url: string): Promise<string> {
  const { text } = await ask('GET', url, ADMIN);
  const {
    salt,
    derived_key: key,
    _rev,
  } = JSON.parse(text) as Record<'salt' | 'derived_key' | '_rev', string>;
  hidden.push(salt, key);
  return _rev;
}

async function configure(): Promise<void> {
  const { bo, installer, closed } = PASSWORDS;
  const put = (at: string, value: string): Promise<Said> => {
    // A text in quotes, which `ask` would send as a form.
    const json = { toJSON: () => value };
    return ask('PUT', `/_node/_local/_config/${at}`, ADMIN, json);
  };
  await expectStatus(200, put('admins/bo', bo));
  const [, hash = ''] =
    /^"(.*)"/.exec((await ask('GET', '/_node/_local/_config/admins/bo', ADMIN)).text) ?? [];
  hidden.push(...hash.slice('-pbkdf2:sha256-'.length).split(',').slice(0, 2));
  for (const at of ['chttpd_auth/secret', 'jwt_keys/hmac:x', 'ssl/password', 'replicator/password'])
    await expectStatus(403, put(at, closed));
  await expectStatus(400, put('admins/a:b', closed));
  await expectStatus(400, put('admins/bo', `-pbkdf2-${closed}`));
  await expectStatus(400, put('log/level', closed));
  const setUp = { action: 'enable_single_node', username: 'installer', password: installer };
  await expectStatus(201, ask('POST', '/_cluster_setup', ADMIN, setUp));
  await expectStatus(400, ask('POST', '/_cluster_setup', ADMIN, { ...setUp, action: closed }));
}

/** Secrets where they do not belong. */
async function goAstray(): Promise<void> {
  const { inUrl } = PASSWORDS;
  await expectStatus(401, ask('GET', `http://admin:${inUrl}@127.0.0.1/_all_dbs`, {}));
  await expectStatus(200, ask('GET', `/_session?name=admin&password=${inUrl}`, {}));
  await expectStatus(302, ask('GET', `/_all_dbs?a=1&token=${inUrl}&b=2`, { accept: 'text/html' }));
}

/** What is shown of the server itself has nothing of all that. */
async function lookAround(): Promise<void> {
  hidden.push((await readFile(path.join(gateway.data, 'secret'), 'utf8')).trim());
  const { text: admins } = await ask('GET', '/_node/_local/_config/admins', ADMIN);
  const isShown = (secret: string): boolean => admins.includes(secret);
  for (const url of ['_config', '_stats', '_system', '_prometheus', '_versions'].map(
    (at) => `/_node/_local/${at}`,
  )) {
    const { text } = await expectStatus(200, ask('GET', url, ADMIN));
    for (const secret of hidden) if (!isShown(secret)) expect(text, url).not.toContain(secret);
  }
  for (const url of [
    '/',
    '/_active_tasks',
    '/_users',
    '/_users/_security',
    '/_users/_all_docs',
    '/_users/_changes',
  ]) {
    const { text } = await expectStatus(200, ask('GET', url, ADMIN));
    for (const secret of hidden) expect(text, url).not.toContain(secret);
  }
  expect(await listeningPorts(gateway.program.pid)).toEqual([gateway.port]);
}

import { execFileSync, spawnSync } from 'node:child_process';
import { readFile, rm, writeFile } from 'node:fs/promises';
import http from 'node:http';
import https from 'node:https';
import net, { type AddressInfo } from 'node:net';
import path from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { startUsers, type Users } from '../auth/users/gateway.js';
import { runProgram, startGateway, temporaryFolder } from '../support/server.js';
import { until } from '../system/support/wait.js';
import { linkOf, SECRET, type ShownLink, startPair, TRUSTING } from './pair.js';

/** What stands in the place of an upstream: what it answers is for each test to say. */
let answer: http.RequestListener;
let server: http.Server;
let front: Users;
let url: string;
const received: { url: string; headers: http.IncomingHttpHeaders }[] = [];

const welcome: http.RequestListener = (request, response) => {
  const name = Buffer.from((request.headers.authorization ?? '').slice(6), 'base64')
    .toString()
    .split(':')[0];
  if (request.url === '/') response.end('{"couchdb":"Welcome","version":"3.5.0","vendor":{"name":"Some"}}');
  else if (request.url === '/_session') response.end(JSON.stringify({ userCtx: { name, roles: [] } }));
  else if (request.url?.endsWith('/_security') === true) response.end('{}');
  else response.end('{"ok":true}');
};

beforeAll(async () => {
  answer = welcome;
  server = http.createServer((request, response) => {
    received.push({ url: request.url ?? '', headers: request.headers });
    answer(request, response);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  front = await startUsers({
    upstream: {
      url,
      username: 'gate',
      password: 'way',
      firstRetry: 20,
      longestRetry: 200,
      probeInterval: 200,
    },
    databases: [{ match: '*', mode: 'proxy' }],
  });
  await become('online');
});
afterEach(async () => {
  answer = welcome;
  await become('online');
});
afterAll(async () => {
  await front.stop();
  server.closeAllConnections();
  server.close();
});

const become = (state: string): Promise<ShownLink> =>
  until(state, async () => {
    const link = await linkOf(front);
    return link.state === state && link;
  });

const answering =
  (status: number, headers: http.OutgoingHttpHeaders, body = ''): http.RequestListener =>
  (_request, response) => {
    response.writeHead(status, headers).end(body);
  };

describe('an upstream that is not what it should be is named as such', () => {
  test.each([
    ['a page', answering(200, {}, '<p>Hello'), 'offline', /no JSON/],
    ['another program', answering(200, {}, '{"hello":"world"}'), 'offline', /no CouchDB/],
    [
      'a redirect',
      answering(302, { location: 'https://example.org/x' }),
      'offline',
      /elsewhere.*example\.org/,
    ],
    ['one that is overloaded', answering(503, { 'retry-after': '0' }), 'offline', /503/],
    [
      'one that wants another password',
      answering(401, {}, '{"reason":"wrong"}'),
      'unauthorised',
      /401 \(wrong\)/,
    ],
    ['one that breaks off', (request) => request.socket.destroy(), 'offline', /connection failed/],
  ] satisfies [string, http.RequestListener, string, RegExp][])('%s', async (_, listener, state, reason) => {
    answer = listener;
    received.length = 0;
    const link = await become(state);
    expect(link.reason).toMatch(reason);
    if (state === 'offline') {
      const statuses = await Promise.all(
        Array.from({ length: 20 }, async () => {
          const { status, headers } = await front.ask('PUT', '/some/doc', { json: {} });
          return [status, Number(headers['retry-after'] ?? 0) > 0];
        }),
      );
      expect(statuses).toContainEqual([503, true]);
      // Nothing of a client goes to what is something else.
      if (!/failed|503/.test(link.reason ?? ''))
        expect(received.map((one) => one.url)).not.toContain('/some/doc');
    }
  });
});

test('a request without an answer is 502, and the link degraded until all is well for a while', async () => {
  answer = (request, response) => {
    if (request.url === '/some/broken') request.socket.destroy();
    else welcome(request, response);
  };
  const { status, body, headers } = await front.ask('GET', '/some/broken');
  expect([status, body]).toMatchObject([502, { error: 'bad_gateway' }]);
  expect(headers['retry-after']).toBeDefined();
  await become('degraded');
  expect((await front.ask('GET', '/some/doc')).status).toBe(200);
  await become('online');
});

test('an answer that breaks off is broken off', async () => {
  answer = (request, response) => {
    if (request.url !== '/some/half') {
      welcome(request, response);
      return;
    }
    response.writeHead(200, { 'content-length': '100' });
    response.write('half', () => response.destroy());
  };
  await expect(front.ask('GET', '/some/half')).rejects.toThrow(/aborted|hang up|reset/i);
});

test('headers that are for neighbours, or speak of somebody, are dropped in both directions', async () => {
  answer = (request, response) => {
    if (request.url === '/some/headers')
      response.writeHead(200, {
        'set-cookie': 'AuthSession=theirs',
        'access-control-allow-origin': '*',
        'x-other': 'yes',
        connection: 'x-hop',
        'x-hop': '1',
      });
    welcome(request, response);
  };
  const { headers } = await front.ask('GET', '/some/headers', {
    headers: {
      cookie: 'other=1',
      'x-auth-couchdb-username': 'root',
      'x-auth-couchdb-roles': '_admin',
      forwarded: 'for=1.2.3.4',
      'x-forwarded-for': '1.2.3.4',
      'x-custom': 'kept',
      connection: 'x-mine',
      'x-mine': '1',
    },
  });
  const sent = received.findLast((one) => one.url === '/some/headers')?.headers ?? {};
  expect(sent).toMatchObject({ 'x-custom': 'kept', 'x-forwarded-for': '1.2.3.4' });
  for (const name of ['cookie', 'x-auth-couchdb-username', 'x-auth-couchdb-roles', 'forwarded', 'x-mine'])
    expect(sent).not.toHaveProperty(name);
  expect(headers).toMatchObject({ 'x-other': 'yes' });
  for (const name of ['set-cookie', 'access-control-allow-origin', 'x-hop'])
    expect(headers).not.toHaveProperty(name);
});

test('I5: sequences of this server count as 0 at a CouchDB, its own are passed on', async () => {
  for (const [given, sent] of [
    ['5-0123456789ab', '0'],
    ['5-g1AAAACheJzLYWBgYMpgTmHgz8tPSTV0MDQy1zMAQsMckEQiQ1L9____szKYExlzgQLsycYGyaYmBtjUYzMmjQUA', undefined],
    ['now', undefined],
  ] as const) {
    const query = `/some/_changes?limit=1&since=${given}&style=all_docs`;
    await front.ask('GET', query);
    expect(received.at(-1)?.url).toBe(query.replace(given, sent ?? given));
  }
  await front.ask('GET', '/some/_changes', { headers: { 'last-event-id': '5-0123456789ab' } });
  expect(received.at(-1)?.headers['last-event-id']).toBe('0');
});

test('who is away is found again at once by a request', async () => {
  const port = await freePort();
  const gateway = await startUsers({
    upstream: { url: `http://127.0.0.1:${port}`, firstRetry: 30, longestRetry: 1_000_000 },
    databases: [{ match: '*', mode: 'proxy' }],
  });
  onTestFinished(() => gateway.stop());
  await until('the loss', async () => {
    const { state, counters } = await linkOf(gateway);
    return state === 'offline' && (counters.probes ?? 0) > 6;
  });
  const late = http.createServer(welcome).listen(port, '127.0.0.1');
  onTestFinished(() => {
    late.closeAllConnections();
    late.close();
  });
  await until('the way back', async () => (await gateway.ask('GET', '/some/doc')).status === 200);
  await until('online', async () => (await linkOf(gateway)).state === 'online');
});

describe.runIf(process.env.CI === 'true' || spawnSync('openssl', ['version']).status === 0)('TLS', () => {
  test('is for an upstream whose certificate is trusted', async () => {
    const folder = await temporaryFolder();
    onTestFinished(() => rm(folder, { recursive: true, force: true }));
    const [keyFile, caFile] = [path.join(folder, 'key.pem'), path.join(folder, 'cert.pem')];
    const made = ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-keyout', keyFile, '-out', caFile];
    const names = ['-days', '2', '-subj', '/CN=localhost', '-addext', 'subjectAltName=IP:127.0.0.1'];
    execFileSync('openssl', [...made, ...names], { stdio: 'ignore' });
    const secure = https.createServer(
      { key: await readFile(keyFile), cert: await readFile(caFile) },
      welcome,
    );
    await new Promise<void>((resolve) => secure.listen(0, '127.0.0.1', resolve));
    onTestFinished(() => void secure.close());
    const { port } = secure.address() as AddressInfo;
    for (const [known, state, reason] of [
      [{}, 'offline', /certificate is not trusted \(DEPTH_ZERO_SELF_SIGNED_CERT\); see upstream\.caFile/],
      [{ caFile }, 'online', /^$/],
    ] as const) {
      const gateway = await startUsers({
        upstream: { url: `https://127.0.0.1:${port}`, firstRetry: 50, ...known },
        databases: [{ match: '*', mode: 'proxy' }],
      });
      try {
        const link = await until(state, async () => {
          const now = await linkOf(gateway);
          return now.state === state && now;
        });
        expect(link.reason ?? '').toMatch(reason);
        expect((await gateway.ask('GET', '/some/doc')).status).toBe(state === 'online' ? 200 : 503);
      } finally {
        await gateway.stop();
      }
    }
  });
});

async function freePort(): Promise<number> {
  const taken = net.createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => taken.once('listening', resolve));
  const { port } = taken.address() as AddressInfo;
  await new Promise((resolve) => taken.close(resolve));
  return port;
}

test('an upstream that is told who asks knows people by their cookies here, and no admin', async () => {
  const pair = await startPair(true);
  onTestFinished(() => pair.stop());
  await pair.front.put('mïa', { password: 'pear', roles: ['crew', 'a,b'] });
  await pair.back.ask('PUT', '/crew');
  await pair.back.ask('PUT', '/crew/_security', { json: { members: { roles: ['crew'] } } });
  const login = { as: null, json: { name: 'mïa', password: 'pear' } };
  const [cookie = ''] = (await pair.front.ask('POST', '/_session', login)).headers['set-cookie'] ?? [];
  const made = await pair.front.ask('PUT', '/crew/a', { as: null, json: {}, headers: { cookie } });
  expect(made.status).toBe(201);
  expect(made.headers['set-cookie']?.[0] ?? '').not.toContain('undefined');
  // Who is an admin here is a stranger there.
  expect((await pair.front.ask('GET', '/crew/a')).status).toBe(403);
  expect((await pair.front.ask('PUT', '/other')).status).toBe(401);
  expect(TRUSTING.proxy?.secret).toBe(SECRET);
});

test('SIGHUP brings other rules and limits, and wrong ones change nothing; `status` tells how it is', async () => {
  const folder = await temporaryFolder();
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  const file = path.join(folder, 'causeway.yaml');
  const write = (mode: string, limits = ''): Promise<void> =>
    writeFile(file, `upstream: {url: "${url}"${limits}}\ndatabases: [{match: "*", mode: ${mode}}]\n`);
  await write('local');
  const gateway = await startGateway({ args: ['--config', file] });
  onTestFinished(async () => {
    await gateway.stop();
  });
  const ask = async (path = 'doc'): Promise<number> =>
    (await fetch(`${gateway.url}/some/${path}`, { headers: { authorization: gateway.authorization } }))
      .status;
  expect(await ask()).toBe(404);
  await write('proxy');
  gateway.program.signal('SIGHUP');
  await until('the other rules', async () => (await ask()) === 200);
  const feed = '_changes?feed=longpoll';
  answer = (request, response) => {
    if (request.url?.includes('continuous') === true) response.write('\n');
    else welcome(request, response);
  };
  expect([await ask('_changes?feed=continuous'), await ask(feed)]).toEqual([200, 200]);
  await write('proxy', ', maxFeeds: 1');
  gateway.program.signal('SIGHUP');
  await until('the other limit', async () => (await ask(feed)) === 503);
  expect(await ask()).toBe(200);
  await write('merge');
  gateway.program.signal('SIGHUP');
  await gateway.program.printed('stderr', /stays as it was/);
  expect(await ask()).toBe(200);
  const env = { CAUSEWAY_PASSWORD: 'secret' };
  const shown = await runProgram(['status', '--url', gateway.url], { env });
  expect([shown.code, shown.stdout]).toEqual([0, expect.stringContaining(`upstream ${url}/: online since`)]);
  expect(
    (await runProgram(['status', '--url', gateway.url], { env: { CAUSEWAY_PASSWORD: 'no' } })).code,
  ).toBe(77);
});

import { createHmac } from 'node:crypto';
import { rm, writeFile } from 'node:fs/promises';
import http from 'node:http';
import net, { type AddressInfo } from 'node:net';
import path from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startUsers, type Users } from '../auth/users/gateway.js';
import { temporaryFolder } from '../support/server.js';
import { until } from '../system/support/wait.js';
import { linkOf, SECRET } from './pair.js';

/** An upstream of which the test sees what it is sent, and that is told who asks. */
let server: http.Server;
let front: Users;
let folder: string;
let knowsAccount = true;
const received: http.IncomingMessage[] = [];
const open = new Set<http.ServerResponse>();

const listener: http.RequestListener = (request, response) => {
  const name = Buffer.from((request.headers.authorization ?? '').slice(6), 'base64')
    .toString()
    .split(':')[0];
  if (name === 'gate' && !knowsAccount) response.writeHead(401).end('{"error":"unauthorized","reason":"no"}');
  else if (request.url === '/') response.end('{"couchdb":"Welcome"}');
  else if (request.url === '/_session') response.end(JSON.stringify({ userCtx: { name } }));
  else if (request.url?.endsWith('/_security') === true) response.end('{}');
  else {
    received.push(request);
    if (request.url?.endsWith('/slow') === true) {
      open.add(response);
      response.on('close', () => open.delete(response)).write('begun');
    } else if (request.url?.endsWith('/early') === true) {
      response.writeHead(413, { connection: 'close' }).end('{"error":"too_large"}');
    } else response.end('{"ok":true}');
  }
};

beforeAll(async () => {
  folder = await temporaryFolder();
  const proxySecretFile = path.join(folder, 'secret');
  await writeFile(proxySecretFile, SECRET);
  server = http.createServer(listener);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  front = await startUsers({
    upstream: {
      url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
      username: 'gate',
      password: 'way',
      proxySecretFile,
      firstRetry: 20,
      longestRetry: 200,
      probeInterval: 1_000_000,
    },
    databases: [{ match: '*', mode: 'proxy' }],
    auth: { handlers: ['proxy', 'cookie', 'default'] },
    proxy: {
      secret: 'secret of the gateway',
      usernameHeader: 'X-Name',
      rolesHeader: 'X-Roles',
      tokenHeader: 'X-Token',
    },
  });
  await until('the upstream', async () => (await linkOf(front)).state === 'online');
});
afterAll(async () => {
  await front.stop();
  server.closeAllConnections();
  server.close();
  await rm(folder, { recursive: true, force: true });
});

const sent = (): http.IncomingHttpHeaders => received.at(-1)?.headers ?? {};

test('methods that mean nothing to a database are not passed on: TRACE would show who the gateway says asks', async () => {
  received.length = 0;
  for (const [method, headers] of [
    ['TRACE', {}],
    ['POST', { 'x-http-method-override': 'CONNECT' }],
    ['OPTIONS', {}],
  ] as const) {
    const { status, headers: answered } = await front.ask(method, '/some', { headers });
    expect([method, status, answered.allow]).toEqual([method, 405, expect.stringContaining('GET')]);
  }
  expect(received).toEqual([]);
});

test('no role is read as another one there, and none of this server is passed on', async () => {
  const roles = [' _admin', '\t_admin', 'crew', 'a,_admin', 'a\r\nb: c', 'mïn', 'x '];
  await front.put('mia', { password: 'pear', roles });
  const { status } = await front.ask('GET', '/some/doc', { as: 'mia:pear' });
  expect(status).toBe(200);
  expect(Buffer.from(String(sent()['x-auth-couchdb-roles']), 'latin1').toString()).toBe('crew,mïn');
});

test('who has a name that no header can hold is refused, and that says nothing of the upstream', async () => {
  received.length = 0;
  for (const name of ['a\nb', ' mia', 'mia ', 'mia\u0001']) {
    await front.put(name, { password: 'pear' });
    const { status, body } = await front.ask('GET', '/some/doc', { as: `${name}:pear` });
    expect([status, body]).toMatchObject([403, { error: 'forbidden' }]);
  }
  expect(received).toEqual([]);
  expect((await linkOf(front)).state).toBe('online');
});

test('what a proxy in front of the gateway says goes no further, and whole addresses do', async () => {
  const token = createHmac('sha256', 'secret of the gateway').update('sam').digest('hex');
  const headers = {
    'x-name': 'sam',
    'x-roles': '_admin',
    'x-token': token,
    'x-forwarded-for': '2001:db8::17',
  };
  expect((await front.ask('GET', '/some/doc', { as: null, headers })).status).toBe(200);
  expect(sent()).toMatchObject({ 'x-auth-couchdb-username': 'sam', 'x-forwarded-for': '2001:db8::17' });
  for (const name of ['x-name', 'x-roles', 'x-token']) expect(sent()).not.toHaveProperty(name);
});

test('an answer ends at the upstream when its client leaves, and breaks off when the upstream does', async () => {
  const ask = (): Promise<http.IncomingMessage> =>
    new Promise((resolve, reject) => {
      const headers = { authorization: `Basic ${Buffer.from('admin:secret').toString('base64')}` };
      http
        .get({ port: front.port, host: '127.0.0.1', path: '/some/slow', headers, agent: false }, resolve)
        .on('error', reject);
    });
  const left = await ask();
  left.destroy();
  await until('the end there', () => Promise.resolve(open.size === 0));
  const broken = await ask();
  const ended = new Promise((resolve) => broken.on('error', resolve).on('end', () => resolve('complete')));
  broken.resume();
  await until('the request there', () => Promise.resolve(open.size === 1));
  for (const response of open) response.destroy();
  expect(await ended).toMatchObject({ code: 'ECONNRESET' });
  await until('nothing under way', async () => (await linkOf(front)).counters.running === 0);
});

test('an answer to half a body arrives, and the connection of the client serves on', async () => {
  const socket = net.connect(front.port, '127.0.0.1');
  let text = '';
  socket.setEncoding('latin1').on('data', (part: string) => (text += part));
  const authorization = `authorization: Basic ${Buffer.from('admin:secret').toString('base64')}`;
  const length = 1 << 20;
  socket.write(
    `PUT /some/early HTTP/1.1\r\nhost: x\r\n${authorization}\r\ncontent-length: ${length}\r\n\r\nhalf`,
  );
  await until('the answer', () => Promise.resolve(text.includes('413')));
  socket.write(Buffer.alloc(length - 4));
  socket.write(`GET /some/next HTTP/1.1\r\nhost: x\r\n${authorization}\r\n\r\n`);
  await until('the next', () => Promise.resolve(text.includes('"ok":true')));
  socket.destroy();
});

test('an account that is refused from now on is seen as such, however busy the upstream is', async () => {
  knowsAccount = false;
  let round = 0;
  await until('the refusal', async () => {
    await front.ask('GET', `/some-${round++}/doc`, { as: 'mia:pear' });
    return (await linkOf(front)).state === 'unauthorised';
  });
  knowsAccount = true;
  await until('the way back', async () => (await linkOf(front)).state === 'online');
});

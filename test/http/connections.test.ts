import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { Services } from '../../src/http/app.js';
import { clientOf } from '../../src/http/connections.js';
import { until } from '../system/support/wait.js';
import { NAMES, startApp, type TestApp } from './app.js';
import { Wire, type WireAnswer } from './wire.js';

let it: TestApp;
let wires: Wire[] = [];

async function start(limits: Record<string, number>): Promise<void> {
  it = await startApp({ limits });
}
beforeEach(() => {
  wires = [];
});
afterEach(async () => {
  for (const wire of wires) wire.cut();
  await it.stop();
});

async function open(): Promise<Wire> {
  const wire = await Wire.open(it.port);
  wires.push(wire);
  return wire;
}

const get = (path: string, user = 'admin'): string =>
  `GET ${path} HTTP/1.1\r\nHost: x\r\nX-Test-User: ${user}\r\n\r\n`;

async function ask(wire: Wire, path = '/_up', user = 'admin'): Promise<WireAnswer> {
  await wire.send(get(path, user));
  return wire.answer();
}

/** Refused, with the key to set and when to come back. */
function expectRefusal({ status, head, body }: WireAnswer, wanted: number, key: string): void {
  expect(status).toBe(wanted);
  expect(head).toMatch(/\r\nRetry-After: \d+(\r\n|$)/i);
  expect((JSON.parse(body) as { reason: string }).reason).toContain(key);
}

describe('connections', () => {
  test('that are too many hear so, and are closed; when others go there is room again', async () => {
    await start({ maxConnections: 3 });
    const held = [await open(), await open(), await open()];
    for (const wire of held) expect((await ask(wire)).status).toBe(200);
    const refused = await open();
    const answer = await ask(refused);
    expectRefusal(answer, 503, 'limits.maxConnections');
    expect(answer.head).toMatch(/\r\nConnection: close(\r\n|$)/i);
    await until('it is closed', () => refused.closed);
    for (const wire of held) expect((await ask(wire)).status).toBe(200);
    held[0]?.cut();
    await until('there is room', async () => (await ask(await open())).status === 200);
    // It is no failure of the server.
    expect(it.errors).toEqual([]);
  });

  test('that are far too many are closed without a word', async () => {
    await start({ maxConnections: 1 });
    const first = await open();
    for (let n = 0; n < 110; n++) await open();
    await until('some are closed', () => wires.some(({ closed }) => closed));
    expect((await ask(first)).status).toBe(200);
  });

  test('of one address leave room for others', async () => {
    await start({ maxConnections: 10, maxConnectionsPerAddress: 2 });
    for (let n = 0; n < 2; n++) expect((await ask(await open())).status).toBe(200);
    expectRefusal(await ask(await open()), 429, 'limits.maxConnectionsPerAddress');
  });

  test('of one address leave room for others, too, while they are refused', async () => {
    await start({ maxConnections: 10, maxConnectionsPerAddress: 2 });
    for (let n = 0; n < 120; n++) await open();
    const other = await Wire.open(it.port, '127.0.0.2');
    wires.push(other);
    expect((await ask(other)).status).toBe(200);
  });

  test('on which nothing comes, or half a head, are closed in time; idle ones, too', async () => {
    await start({ headersTimeout: 300, keepAliveTimeout: 300 });
    const [silent, half, drip, idle] = [await open(), await open(), await open(), await open()];
    await half.send('GET /_up HTTP/1.1\r\nHost:');
    await drip.send('GET /_up HTTP/1.1\r\nX: ');
    const dripping = setInterval(() => void drip.send('X'), 20);
    expect((await ask(idle)).status).toBe(200);
    for (const wire of [silent, half, drip, idle]) await until('it is closed', () => wire.closed);
    clearInterval(dripping);
    expect(half.rest).toMatch(/^HTTP\/1\.1 408 /);
    expect(drip.rest).toMatch(/^HTTP\/1\.1 408 /);
  });

  test('are told apart by their networks', () => {
    expect(clientOf('192.0.2.7')).toBe('192.0.2.7');
    expect(clientOf('::ffff:192.0.2.7')).toBe('192.0.2.7');
    expect(clientOf('2001:db8:1:2:3:4:5:6')).toBe('2001:db8:1:2');
    expect(clientOf('2001:db8::1')).toBe('2001:db8:0:0');
    expect(clientOf('fe80::1%eth0')).toBe('fe80:0:0:0');
    expect(clientOf('::1')).toBe('0:0:0:0');
    expect(clientOf(undefined)).toBe('');
  });
});

describe('feeds', () => {
  const path = (feed: string): string => `/db/_changes?feed=${feed}&since=now&heartbeat=60000`;

  async function listen(feed: string, user = 'admin'): Promise<Wire> {
    const wire = await open();
    await wire.send(get(path(feed), user));
    expect((await wire.answer()).status).toBe(200);
    return wire;
  }

  const connections = (): Promise<number> =>
    new Promise((resolve, reject) => {
      it.app.server.getConnections((error, count) => (error === null ? resolve(count) : reject(error)));
    });

  async function withDatabase(limits: Record<string, number>): Promise<void> {
    await start(limits);
    await it.request('PUT', '/db');
    await it.request('PUT', '/db/_security', { json: { admins: { roles: [] }, members: { roles: [] } } });
  }

  test('of one client are limited, of whatever kind; other requests are not', async () => {
    await withDatabase({ maxFeedsPerClient: 3 });
    const feeds = [await listen('longpoll'), await listen('continuous'), await listen('eventsource')];
    for (const feed of ['longpoll', 'continuous', 'eventsource']) {
      expectRefusal(await ask(await open(), path(feed)), 429, 'limits.maxFeedsPerClient');
    }
    expect((await it.request('GET', '/db/_changes')).status).toBe(200);
    // Another user, and those without a name, have their own.
    await listen('longpoll', 'member');
    for (let n = 0; n < 3; n++) await listen('longpoll', 'nobody');
    expectRefusal(await ask(await open(), path('longpoll'), 'nobody'), 429, 'limits.maxFeedsPerClient');
    // One that ends, or whose client goes, makes room.
    feeds[1]?.cut();
    await until('there is room', async () => (await ask(await open(), path('continuous'))).status === 200);
    await it.request('PUT', '/db/news', { json: {} });
    await until('there is room', async () => (await ask(await open(), path('longpoll'))).status === 200);
    expect(it.errors).toEqual([]);
  });

  test('of clients that go before they begin take no place', async () => {
    const arrived: (() => void)[] = [];
    const authenticate: Services['auth']['authenticate'] = async (headers, client) => {
      if ('x-wait' in headers) await new Promise<void>((resolve) => arrived.push(resolve));
      return NAMES.authenticate(headers, client);
    };
    it = await startApp({ limits: { maxFeedsPerClient: 1 } }, { auth: { ...NAMES, authenticate } });
    await it.request('PUT', '/db');
    const leaving = await open();
    await leaving.send(get(path('continuous')).replace('Host:', 'X-Wait: yes\r\nHost:'));
    await until('it has arrived', () => arrived.length === 1);
    leaving.cut();
    await until('it is seen to have gone', async () => (await connections()) === 0);
    arrived[0]?.();
    expect((await ask(await open(), path('continuous'))).status).toBe(200);
    expect(it.errors).toEqual([]);
  });

  test('of all clients are limited', async () => {
    await withDatabase({ maxFeeds: 2 });
    await listen('longpoll', 'member');
    await listen('longpoll', 'stranger');
    expectRefusal(await ask(await open(), path('longpoll')), 503, 'limits.maxFeeds');
    expect(it.errors).toEqual([]);
  });
});

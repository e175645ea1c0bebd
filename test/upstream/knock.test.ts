import { getEventListeners, once } from 'node:events';
import net, { type AddressInfo } from 'node:net';
import { expect, test } from 'vitest';
import { knock } from '../../src/upstream/knock.js';

test('knocking again and again leaves nothing behind with the signal that ends it', async () => {
  const server = net.createServer((socket) => socket.resume()).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const end = new AbortController();
  expect(await knock(url, 30_000, end.signal)).toBe(true);
  server.close();
  await once(server, 'close');
  for (let tries = 0; tries < 3; tries++) expect(await knock(url, 30_000, end.signal)).toBe(false);
  await new Promise(setImmediate);
  expect(getEventListeners(end.signal, 'abort')).toEqual([]);
  end.abort();
  expect(await knock(url, 30_000, end.signal)).toBe(false);
});

import { once } from 'node:events';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Site } from './chromium.js';

/**
 * A proxy in front of a server. As those of Fauxton and of nginx by default it puts the server's name into `Host`, and
 * leaves all else as the browser sent it.
 * @param headers that it sends besides
 * @param page what it answers at `/` to whoever does not ask for JSON
 */
export async function startProxy(
  target: string,
  { headers = {}, page }: { headers?: Record<string, string>; page?: string } = {},
): Promise<Site> {
  const { host } = new URL(target);
  const server = http.createServer((request, response) => {
    if (
      page !== undefined &&
      request.url === '/' &&
      !request.headers.accept?.startsWith('application/json')
    ) {
      response.writeHead(200, { 'content-type': 'text/html' }).end(page);
      return;
    }
    const { method = 'GET', url = '/' } = request;
    const onwards = http.request(target + url, { method, headers: { ...request.headers, ...headers, host } });
    onwards.on('response', (answer) => {
      response.writeHead(answer.statusCode ?? 0, answer.rawHeaders);
      answer.pipe(response);
    });
    onwards.on('error', () => response.destroy());
    response.on('close', () => onwards.destroy());
    request.pipe(onwards);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  return {
    origin: `http://127.0.0.1:${String(port)}`,
    async close() {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}

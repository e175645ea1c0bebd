import http from 'node:http';
import { type Site, startSite } from './site.js';

/**
 * A proxy in front of a server. As those of Fauxton and of nginx by default it puts the server's name into `Host`, and
 * leaves all else as the browser sent it.
 * @param headers that it sends besides
 * @param page what it answers at `/` to whoever does not ask for JSON
 */
export function startProxy(
  target: string,
  { headers = {}, page }: { headers?: Record<string, string>; page?: string } = {},
): Promise<Site> {
  const { host } = new URL(target);
  return startSite((request, response) => {
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
}

import http from 'node:http';
import { startApp } from './app.js';

/** A server that is asked about functions of design documents, with a database of its own. */
export interface FunctionsPeer {
  /** @param path behind the database. @returns status, content type, some headers and body in one line */
  ask(request: string, options?: AskOptions): Promise<string>;
  json(request: string, options?: AskOptions): Promise<unknown>;
  /** How `ask` and `json` name the database. */
  readonly database: string;
  stop(): Promise<void>;
}

export interface AskOptions {
  readonly body?: unknown;
  readonly headers?: http.OutgoingHttpHeaders;
}

/** What of an answer counts beside its type. */
const SHOWN = ['location', 'x-a', 'x-couch-id', 'vary'] as const;

async function peer(
  url: string,
  name: string,
  headers: http.OutgoingHttpHeaders,
  stop: () => Promise<void>,
): Promise<FunctionsPeer> {
  const send = (request: string, options: AskOptions = {}): ReturnType<typeof ask> => {
    const [method = '', path = ''] = request.split(/ (.*)/s);
    return ask(`${url}/${name}${path === '/' ? '' : path}`, method, {
      ...options,
      headers: { ...headers, ...options.headers },
    });
  };
  await send('DELETE /');
  // One shard: the order of changes is told.
  await send('PUT ?q=1');
  return {
    database: name,
    async ask(request, options) {
      const { status, headers: given, text } = await send(request, options);
      const shown = SHOWN.filter((name) => given[name] !== undefined).map(
        (name) => `${name}=${String(given[name])}`,
      );
      return [status, given['content-type'] ?? '-', ...shown, text.trim()].join(' ').trim();
    },
    json: async (request, options) => JSON.parse((await send(request, options)).text) as unknown,
    async stop() {
      await send('DELETE /');
      await stop();
    },
  };
}

function ask(
  url: string,
  method: string,
  { body, headers }: AskOptions,
): Promise<{ status: number; headers: http.IncomingHttpHeaders; text: string }> {
  const bytes =
    body === undefined ? undefined : Buffer.from(typeof body === 'string' ? body : JSON.stringify(body));
  const length = bytes === undefined ? {} : { 'content-length': bytes.length };
  const type = bytes === undefined ? {} : { 'content-type': 'application/json' };
  return new Promise((resolve, reject) => {
    // CouchDB says more than one answer where a function fails: its connections are not used again, and what comes
    // behind the first answer is no error.
    const request = http.request(
      url,
      { method, headers: { ...length, ...type, ...headers }, agent: false, insecureHTTPParser: true },
      (response) => {
        let text = '';
        response.setEncoding('utf8');
        response.on('data', (chunk: string) => (text += chunk));
        response.on('error', reject);
        response.on('end', () =>
          resolve({ status: response.statusCode ?? 0, headers: response.headers, text }),
        );
      },
    );
    request.on('error', reject);
    request.end(bytes);
  });
}

/** @param name of the database, another one for each test file: several ask the same CouchDB at once */
export async function ourPeer(name: string): Promise<FunctionsPeer> {
  const app = await startApp();
  return peer(`http://127.0.0.1:${app.port}`, name, { 'x-test-user': 'admin' }, () => app.stop());
}

/**
 * @param url with the name and password of an admin
 * @param name see `ourPeer`
 */
export function couchPeer(url: string, name: string): Promise<FunctionsPeer> {
  const { origin, username, password } = new URL(url);
  const authorization = `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`;
  return peer(origin, name, { authorization }, () => Promise.resolve());
}

import { once } from 'node:events';
import http from 'node:http';
import type { AddressInfo } from 'node:net';

/** What one request brings of documents. */
export interface Brought {
  /** Of the database. */
  readonly name: string;
  /** Each as `id rev`. */
  readonly revs: readonly string[];
}

/** A line to a server, which records what is written there in which order, and can hold some of it. */
export interface Recorder {
  readonly url: string;
  readonly brought: Brought[];
  /** Whether a request waits, for ever: whoever sent it can only go away. */
  holds: (brought: Brought) => boolean;
  /** Whether a request is passed on, and its answer waits, for ever. */
  keeps: (path: string) => boolean;
  /** Whether a request is answered by 503. */
  refuses: (path: string) => boolean;
  /** How many wait. */
  readonly waiting: number;
  close(): void;
}

export async function startRecorder(target: string): Promise<Recorder> {
  const { hostname, port } = new URL(target);
  const agent = new http.Agent({ keepAlive: true });
  let waiting = 0;
  const server = http.createServer((request, response) => {
    const { method = '', url: path = '', headers } = request;
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      if (recorder.refuses(path)) {
        response.writeHead(503).end('{"error":"away","reason":"for a while"}');
        return;
      }
      const body = Buffer.concat(chunks);
      const brought = broughtBy(method, path, body.toString('latin1'));
      if (brought !== undefined) {
        if (recorder.holds(brought)) {
          waiting++;
          response.on('close', () => waiting--);
          return;
        }
        recorder.brought.push(brought);
      }
      const sent = http.request({ hostname, port, method, path, headers, agent }, (answer) => {
        if (recorder.keeps(path)) {
          waiting++;
          response.on('close', () => waiting--);
          answer.resume();
          return;
        }
        response.writeHead(answer.statusCode ?? 502, answer.rawHeaders);
        answer.on('error', () => response.destroy()).pipe(response);
      });
      sent.on('error', () => response.destroy());
      response.on('close', () => sent.destroy());
      sent.end(body);
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const recorder: Recorder = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    brought: [],
    holds: () => false,
    keeps: () => false,
    refuses: () => false,
    get waiting() {
      return waiting;
    },
    close() {
      agent.destroy();
      server.closeAllConnections();
      server.close();
    },
  };
  return recorder;
}

/** Undefined for requests that bring no replicated revisions. */
function broughtBy(method: string, path: string, body: string): Brought | undefined {
  const [, name = '', rest = ''] = /^\/([^/?]+)\/?(.*)$/.exec(path) ?? [];
  if (method === 'POST' && rest === '_bulk_docs') {
    const { docs } = JSON.parse(body) as { docs: { _id: string; _rev: string }[] };
    return { name, revs: docs.map(({ _id, _rev }) => `${_id} ${_rev}`) };
  }
  if (method !== 'PUT' || !rest.endsWith('?new_edits=false')) return undefined;
  const [, id = '', rev = ''] = /\{"_id":"([^"]+)","_rev":"([^"]+)"/.exec(body) ?? [];
  return { name, revs: [`${id} ${rev}`] };
}

import { once } from 'node:events';
import http, { type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';

/** What goes wrong with one request. */
export type Fault =
  /** It is answered so, and never reaches the server. */
  | { readonly kind: 'answer'; readonly status: number; readonly body?: string; readonly retryAfter?: number }
  /** Nothing comes back: the connection stays open, and the server never hears of it. */
  | { readonly kind: 'silence' }
  /** The server does what it is asked for, and the connection is reset after so many bytes of its answer. */
  | { readonly kind: 'reset'; readonly after: number }
  /** The answer ends properly after so many bytes: it is whole for HTTP, and not for JSON. */
  | { readonly kind: 'truncated'; readonly after: number }
  /** The connection is reset when so many bytes of the request have come. */
  | { readonly kind: 'cut'; readonly after: number };

/** Decides about each request. @param path of the request, with its query */
export type Faults = (method: string, path: string) => Fault | undefined;

export interface FaultyProxy {
  readonly port: number;
  /** Nothing goes wrong before it is set. */
  faults: Faults;
  /** Resets all connections. */
  cutAll(): void;
  close(): Promise<void>;
}

/** Passes requests on to a server of this machine, but for those that something goes wrong with. */
export async function startFaultyProxy(target: number): Promise<FaultyProxy> {
  const sockets = new Set<Socket>();
  const agent = new http.Agent({ keepAlive: true });
  const server = http.createServer((request, response) => {
    const fault = proxy.faults(request.method ?? '', request.url ?? '');
    handle({ request, response, target, agent }, fault);
  });
  server.on('connection', (socket: Socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    socket.on('error', () => undefined);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const proxy: FaultyProxy = {
    port: (server.address() as AddressInfo).port,
    faults: () => undefined,
    cutAll() {
      for (const socket of sockets) socket.resetAndDestroy();
    },
    async close() {
      proxy.cutAll();
      agent.destroy();
      server.close();
      await once(server, 'close');
    },
  };
  return proxy;
}

interface Passage {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly target: number;
  readonly agent: http.Agent;
}

function handle(passage: Passage, fault: Fault | undefined): void {
  const { request, response } = passage;
  switch (fault?.kind) {
    case 'answer': {
      const { status, body = '{"error":"fault","reason":"injected"}', retryAfter } = fault;
      request.resume();
      response.setHeader('content-type', 'application/json');
      if (retryAfter !== undefined) response.setHeader('retry-after', retryAfter);
      response.writeHead(status).end(body);
      break;
    }
    case 'silence':
      request.resume();
      break;
    case 'cut': {
      let length = 0;
      request.on('data', (chunk: Buffer) => {
        length += chunk.length;
        if (length >= fault.after) request.socket.resetAndDestroy();
      });
      request.on('end', () => request.socket.resetAndDestroy());
      break;
    }
    case 'reset':
    case 'truncated':
    case undefined:
      pass(passage, fault);
  }
}

function pass(
  { request, response, target, agent }: Passage,
  fault: Extract<Fault, { kind: 'reset' | 'truncated' }> | undefined,
): void {
  const { method, url, headers } = request;
  const onwards = http.request({ host: '127.0.0.1', port: target, agent, method, path: url, headers });
  onwards.on('response', (answer) => {
    const headers = { ...answer.headers };
    // Less comes than was announced.
    if (fault !== undefined) delete headers['content-length'];
    response.writeHead(answer.statusCode ?? 0, headers);
    if (fault === undefined) answer.pipe(response);
    else stopAfter(answer, response, fault);
  });
  onwards.on('error', () => response.destroy());
  response.on('close', () => onwards.destroy());
  request.pipe(onwards);
}

function stopAfter(
  answer: IncomingMessage,
  response: ServerResponse,
  { kind, after }: Extract<Fault, { kind: 'reset' | 'truncated' }>,
): void {
  let left = after;
  const stop = (): void => {
    if (kind === 'reset') response.socket?.resetAndDestroy();
    else response.end();
    answer.destroy();
  };
  answer.on('error', () => undefined);
  answer.on('data', (chunk: Buffer) => {
    if (left > 0) response.write(chunk.subarray(0, left));
    left -= chunk.length;
    if (left <= 0) stop();
  });
  answer.on('end', () => response.end());
}

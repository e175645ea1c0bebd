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
  /** Nothing more comes after so many bytes of the answer: the connection stays open, as when the other side lost power. */
  | { readonly kind: 'stall'; readonly after: number }
  /** The request reaches the server so many milliseconds late. */
  | { readonly kind: 'delay'; readonly milliseconds: number }
  /** The connection is reset when so many bytes of the request have come. */
  | { readonly kind: 'cut'; readonly after: number };

/** Decides about each request. @param path of the request, with its query. @param length of its body, where it says so */
export type Faults = (method: string, path: string, length: number | undefined) => Fault | undefined;

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
    const length = request.headers['content-length'];
    const known = length === undefined ? undefined : Number(length);
    const fault = proxy.faults(request.method ?? '', request.url ?? '', known);
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
    case 'delay':
      setTimeout(() => {
        if (!response.destroyed) pass(passage, undefined);
      }, fault.milliseconds);
      break;
    case 'reset':
    case 'truncated':
    case 'stall':
    case undefined:
      pass(passage, fault);
  }
}

/** An answer that comes in part. */
type PartialAnswer = Extract<Fault, { kind: 'reset' | 'truncated' | 'stall' }>;

function pass({ request, response, target, agent }: Passage, fault: PartialAnswer | undefined): void {
  const { method, url, headers } = request;
  const onwards = http.request({ host: '127.0.0.1', port: target, agent, method, path: url, headers });
  onwards.on('response', (answer) => {
    const headers = { ...answer.headers };
    // The server may be killed in the middle of it.
    answer.on('error', () => response.destroy());
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

function stopAfter(answer: IncomingMessage, response: ServerResponse, { kind, after }: PartialAnswer): void {
  let left = after;
  const stop = (): void => {
    if (kind === 'reset') response.socket?.resetAndDestroy();
    else if (kind === 'truncated') response.end();
    answer.destroy();
  };
  answer.on('data', (chunk: Buffer) => {
    if (left > 0) response.write(chunk.subarray(0, left));
    left -= chunk.length;
    if (left <= 0) stop();
  });
  answer.on('end', () => response.end());
}

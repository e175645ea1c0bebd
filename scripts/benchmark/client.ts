import { connect, type Socket } from 'node:net';
import { readHead, type Reading } from './answer.js';

export interface Answer {
  readonly status: number;
  /** The body, where it was to be kept; empty otherwise. */
  readonly body: Buffer;
}

/** Where requests go. */
export interface Endpoint {
  readonly host: string;
  readonly port: number;
  /** Lines of the head that every request has, each with its line end. */
  readonly head: string;
}

/** The endpoint of a URL with credentials in it. */
export function endpointOf(url: string): Endpoint {
  const { hostname, port, username, password, protocol } = new URL(url);
  if (protocol !== 'http:') throw new Error(`${url} is not an http: URL`);
  const credentials = `${decodeURIComponent(username)}:${decodeURIComponent(password)}`;
  const authorization =
    username === '' ? '' : `Authorization: Basic ${Buffer.from(credentials).toString('base64')}\r\n`;
  return {
    host: hostname.replace(/^\[|\]$/g, ''),
    port: Number(port === '' ? 80 : port),
    head: `Host: ${hostname}:${port}\r\n${authorization}`,
  };
}

/** The bytes of a request, made before the clock runs. */
export function requestBytes(endpoint: Endpoint, method: string, path: string, json?: string): Buffer {
  const start = `${method} ${path} HTTP/1.1\r\n${endpoint.head}Accept: application/json\r\n`;
  if (json === undefined) return Buffer.from(`${start}\r\n`);
  const body = Buffer.from(json);
  const type = `Content-Type: application/json\r\nContent-Length: ${String(body.length)}\r\n\r\n`;
  return Buffer.concat([Buffer.from(start + type), body]);
}

/**
 * A connection that sends one request after the other and understands no more of an answer than where it ends: a load
 * generator shares two cores with the server that it measures.
 */
export class Connection {
  #socket: Socket;
  #pending: Buffer = Buffer.alloc(0);
  #answer: Reading | undefined;
  #settle: { resolve: (answer: Answer) => void; reject: (error: Error) => void } | undefined;
  #keep = false;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.on('data', (bytes) => this.#take(bytes));
    const fail = (error?: Error): void => this.#fail(error ?? new Error('the server closed the connection'));
    socket.on('error', fail).on('close', () => fail());
  }

  static open({ host, port }: Endpoint): Promise<Connection> {
    return new Promise((resolve, reject) => {
      const socket = connect({ host, port, noDelay: true });
      socket.once('error', reject);
      socket.once('connect', () => {
        socket.off('error', reject);
        resolve(new Connection(socket));
      });
    });
  }

  /** Sends a request; one at a time. @param keep whether the answer's body is wanted */
  send(request: Buffer, keep: boolean): Promise<Answer> {
    this.#keep = keep;
    return new Promise((resolve, reject) => {
      this.#settle = { resolve, reject };
      this.#socket.write(request);
    });
  }

  close(): void {
    this.#settle = undefined;
    this.#socket.destroy();
  }

  #fail(error: Error): void {
    this.#settle?.reject(error);
    this.#settle = undefined;
  }

  #take(bytes: Buffer): void {
    const all = this.#pending.length === 0 ? bytes : Buffer.concat([this.#pending, bytes]);
    this.#answer ??= readHead(all, this.#keep);
    if (this.#answer === undefined) {
      this.#pending = all;
      return;
    }
    const rest = this.#answer.begun ? all : all.subarray(this.#answer.headLength);
    this.#answer.begun = true;
    const left = this.#answer.take(rest);
    this.#pending = left ?? Buffer.alloc(0);
    if (!this.#answer.done) return;
    const { status, kept } = this.#answer;
    this.#answer = undefined;
    const settle = this.#settle;
    this.#settle = undefined;
    settle?.resolve({ status, body: Buffer.concat(kept) });
  }
}

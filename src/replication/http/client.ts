import { setMaxListeners } from 'node:events';
import { createGunzip } from 'node:zlib';
import { pipeline, type Readable } from 'node:stream';
import type { Dispatcher } from 'undici';
import { CouchError } from '../../errors.js';
import { PeerUnreachable } from '../peer.js';
import type { HttpPeerOptions } from './options.js';

/** CouchDB's `connection_timeout`. */
const TIMEOUT = 30_000;
/** Of an answer that says why something failed. */
const REASON_LIMIT = 64 * 1024;
/** Characters of what another server says that are kept, in histories and lists. */
const LONGEST_REASON = 1000;
/** Of an answer that is read as a whole. */
const ANSWER_LIMIT = 64 << 20;
const MOST_REDIRECTS = 5;

export interface HttpRequest {
  readonly method: 'GET' | 'PUT' | 'POST' | 'DELETE';
  /** Below the database, encoded; its query included. */
  readonly path: string;
  readonly accept?: string;
  readonly body?: string | Readable;
  readonly headers?: Readonly<Record<string, string>>;
  readonly signal: AbortSignal;
}

export interface HttpAnswer {
  readonly status: number;
  readonly contentType: string | undefined;
  /** Unpacked. Must be read to its end, or destroyed. */
  readonly body: Readable;
}

/** Sends the requests of one peer. */
export class HttpClient {
  /** Milliseconds of silence that it bears. */
  readonly timeout: number;
  readonly #url: URL;
  readonly #headers: Readonly<Record<string, string>>;

  constructor(private readonly options: HttpPeerOptions) {
    this.timeout = options.timeout ?? TIMEOUT;
    this.#url = new URL(options.url);
    this.#headers = {
      // On one machine to pack takes longer than to send.
      ...(isLoopback(this.#url.hostname) ? {} : { 'accept-encoding': 'gzip' }),
      ...options.headers,
    };
  }

  /** @throws CouchError for any status that is no success; PeerUnreachable */
  async send(request: HttpRequest): Promise<HttpAnswer> {
    let url = new URL(`${this.#url.pathname}${request.path}`, this.#url);
    for (let redirects = 0; ; redirects++) {
      const response = await this.#dispatch(url, request);
      const { statusCode: status, headers, body } = response;
      if (status >= 200 && status < 300) {
        return { status, contentType: one(headers['content-type']), body: unpacked(response) };
      }
      const target = status >= 300 && status < 400 ? one(headers.location) : undefined;
      if (target === undefined || redirects === MOST_REDIRECTS || typeof request.body === 'object')
        throw await this.#failure(response);
      await body.dump();
      url = this.#followed(new URL(target, url), status);
    }
  }

  /** The same for an answer that is read as a whole. */
  async json(request: HttpRequest): Promise<unknown> {
    const { body } = await this.send(request);
    const text = await readText(body, ANSWER_LIMIT);
    try {
      return JSON.parse(text) as unknown;
    } catch (error) {
      throw new PeerUnreachable('the answer is not JSON', { cause: error });
    }
  }

  async #dispatch(url: URL, request: HttpRequest): Promise<Dispatcher.ResponseData> {
    const { method, accept = 'application/json', body, signal } = request;
    const type = typeof body === 'string' ? { 'content-type': 'application/json' } : {};
    // Credentials are for the server that they were given for.
    const own = url.origin === this.#url.origin ? this.#headers : {};
    // Many may end by the same: how many are under way is limited by others.
    setMaxListeners(0, signal);
    try {
      const answer = await this.options.dispatcher.request({
        origin: url.origin,
        path: url.pathname + url.search,
        method,
        headers: { ...own, ...type, accept, ...request.headers },
        ...(body !== undefined && { body }),
        signal,
        headersTimeout: this.timeout,
        bodyTimeout: this.timeout,
      });
      this.options.heard?.(answer.statusCode);
      return answer;
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof Error) this.options.heard?.(error);
      throw unreachable(error);
    }
  }

  async #failure(response: Dispatcher.ResponseData): Promise<CouchError> {
    const error = await failure(response);
    if (isOfAnother(error)) this.options.heard?.(error);
    return error;
  }

  /** @throws CouchError where it may not be followed */
  #followed(url: URL, status: number): URL {
    if (this.options.mayFollow?.(url) !== true)
      throw new CouchError(status, 'redirect', `The server sends requests elsewhere, to ${url.origin}.`);
    return url;
  }
}

const isLoopback = (host: string): boolean => /^(localhost|127\.[0-9.]+|\[::1\])$/.test(host);

const one = (header: string | string[] | undefined): string | undefined =>
  Array.isArray(header) ? header[0] : header;

function unpacked({ headers, body }: Dispatcher.ResponseData): Readable {
  if (one(headers['content-encoding']) !== 'gzip') return body;
  // Whoever reads it hears of failures.
  return pipeline(body, createGunzip(), () => undefined);
}

/** What a server says that does not do what it was asked for. */
async function failure({ statusCode, headers, body }: Dispatcher.ResponseData): Promise<CouchError> {
  const text = await readText(body, REASON_LIMIT).catch(() => '');
  const { error, reason } = reasonIn(text);
  const otherwise = error === undefined ? `something else than a CouchDB answers with ${statusCode}` : '';
  const retryAfter = retrySeconds(one(headers['retry-after']));
  return new CouchError(statusCode, error ?? nameOf(statusCode), reason ?? otherwise, undefined, retryAfter);
}

/** What is wrong where nobody says it as a CouchDB does. */
const nameOf = (status: number): string => `http_${status}`;

/** Whether it is not a CouchDB that answered so, but what stands before it, or in its place. */
export const isOfAnother = ({ status, error }: CouchError): boolean => error === nameOf(status);

function reasonIn(text: string): { error?: string; reason?: string } {
  try {
    const { error, reason } = JSON.parse(text) as Record<string, unknown>;
    return {
      ...(typeof error === 'string' && { error: brief(error) }),
      ...(typeof reason === 'string' && { reason: brief(reason) }),
    };
  } catch {
    return {};
  }
}

/** The beginning of a text that another server chose. */
export const brief = (text: string): string =>
  text.length <= LONGEST_REASON ? text : `${text.slice(0, LONGEST_REASON).toWellFormed()}…`;

/** Seconds, or a date. */
function retrySeconds(header: string | undefined): number | undefined {
  if (header === undefined) return undefined;
  const seconds = /^[0-9]+$/.test(header) ? Number(header) : (Date.parse(header) - Date.now()) / 1000;
  return Number.isFinite(seconds) ? Math.max(0, seconds) : undefined;
}

async function readText(body: Readable, limit: number): Promise<string> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of bytes(body)) {
    length += chunk.length;
    if (length > limit) throw new PeerUnreachable('the answer is too long');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
}

/** What comes of a body; frees it whatever happens. @throws PeerUnreachable where it ends early */
export async function* bytes(body: Readable): AsyncGenerator<Buffer> {
  try {
    for await (const chunk of body) yield chunk as Buffer;
  } catch (error) {
    throw unreachable(error);
  } finally {
    body.destroy();
  }
}

/** Names the failure and nothing else: messages of libraries may hold URLs. */
export function unreachable(error: unknown): Error {
  if (error instanceof CouchError || error instanceof PeerUnreachable) return error;
  const { code, name } = error as NodeJS.ErrnoException;
  return new PeerUnreachable(`the connection failed (${code ?? name})`, { cause: error });
}

import { constants } from 'node:buffer';
import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from 'node:http';
import { Readable } from 'node:stream';
import type { TLSSocket } from 'node:tls';
import type { AuthMethod } from '../auth/auth.js';
import { anonymous, type UserContext } from '../auth/usercontext.js';
import type { Config } from '../config/schema.js';
import { badRequest, type CouchError } from '../errors.js';
import { membersInTurns, normalise, parseJson } from '../json/text.js';
import { accepts } from './accept.js';
import { addressOf, sourceOf } from './address.js';
import { ClientGone, type Incoming, readText, room, streamBody } from './body.js';
import { type BodyShare, UNCOUNTED } from './body-budget.js';
import { depart } from './departures.js';
import { errorBody, retryHeaders, toCouchError } from './errors.js';
import { isRequestId, requestId } from './ids.js';
import { Outflow } from './outflow.js';
import { first, parseQuery, type Query } from './query.js';
import type { Server } from './server.js';
import { stickyCookie } from './stickiness.js';
import { sendStream } from './stream.js';
import { encodeSegment, headerSafe, hostOf } from './url.js';

export type Params = Readonly<Record<string, string | undefined>>;

/** Answers with more characters are written piece by piece. */
const LONG = 64 * 1024;

const NO_HEADERS: readonly string[] = [];

/** Methods that a POST may stand for. */
const OVERRIDES = new Set(['GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'TRACE', 'CONNECT', 'COPY']);

/** What a request was rewritten to: another one of the same client. */
export interface Rewriting {
  readonly method: string;
  /** Path and query. */
  readonly url: string;
  readonly headers: IncomingHttpHeaders;
  /** In the place of what the client sends, or of what an earlier rewrite had there. */
  readonly body?: Buffer;
}

/** One request and its answer. */
export class Exchange {
  /** Names the request in logs and answers. */
  readonly id: string;
  /** The method that counts, see `X-HTTP-Method-Override`. */
  readonly method: string;
  /** Path and query. */
  readonly url: string;
  readonly headers: IncomingHttpHeaders;
  /** How often it was rewritten before it came to be this one. */
  readonly rewrites: number = 0;
  /** What is to be answered in its place, once its database is let go of. */
  rewriting: Rewriting | undefined;
  user: UserContext = anonymous;
  /** How the user logged in. */
  authMethod: AuthMethod | undefined;
  /** A Set-Cookie header that the answer carries, unless it sets a cookie itself. */
  renewedCookie: string | undefined;
  #query: Query | undefined;
  #share: BodyShare | undefined;
  /** Whether the client sends its body only when it is told to. */
  #isAwaited: boolean;
  #departure: AbortSignal | undefined;
  /** In the place of what the client sends. */
  readonly #body: Buffer | undefined;

  constructor(
    readonly server: Server,
    readonly request: IncomingMessage,
    readonly response: ServerResponse,
    readonly params: Params,
    readonly rawQuery: string,
    origin?: { readonly exchange: Exchange; readonly rewriting: Rewriting },
  ) {
    if (origin !== undefined) {
      const { exchange, rewriting } = origin;
      ({ method: this.method, url: this.url, headers: this.headers } = rewriting);
      ({ id: this.id, user: this.user, authMethod: this.authMethod } = exchange);
      this.renewedCookie = exchange.renewedCookie;
      this.rewrites = exchange.rewrites + 1;
      this.#isAwaited = exchange.#isAwaited;
      this.#body = rewriting.body ?? exchange.#body;
      // Each would listen to the response by itself, and a request may be rewritten a hundred times.
      this.#departure = exchange.#departure;
      return;
    }
    this.url = request.url ?? '';
    this.headers = request.headers;
    const given = this.header('x-couch-request-id');
    this.id = given !== undefined && isRequestId(given) ? given : requestId();
    this.#isAwaited = request.httpVersion === '1.1' && /\b100-continue\b/i.test(request.headers.expect ?? '');
    this.method = request.method ?? 'GET';
    if (this.method === 'POST') {
      const override = this.header('x-http-method-override');
      if (override !== undefined && OVERRIDES.has(override)) this.method = override;
    }
  }

  /** The first value of a request header. */
  header(name: string): string | undefined {
    const value = this.headers[name];
    return typeof value === 'object' ? value[0] : value;
  }

  /** A part of the path; empty where the route has none of this name. */
  param(name: string): string {
    return this.params[name] ?? '';
  }

  /** @throws CouchError */
  get query(): Query {
    return (this.#query ??= parseQuery(this.rawQuery));
  }

  parameter(key: string): string | undefined {
    return this.rawQuery === '' ? undefined : first(this.query, key);
  }

  accepts(type: string): boolean {
    return accepts(this.header('accept'), type);
  }

  /** Whether the client sent it over TLS, which a proxy in front may have taken off. */
  get secure(): boolean {
    if (this.header('x-forwarded-ssl') === 'on' || this.header('x-forwarded-proto') === 'https') return true;
    return (this.request.socket as Partial<TLSSocket>).encrypted === true;
  }

  /** Stands for whoever sent the request, as far as one can know. */
  get address(): string {
    return addressOf(this.request.socket.remoteAddress, this.header('x-forwarded-for'));
  }

  /** The whole address that it came from, as far as one can know. */
  get source(): string {
    return sourceOf(this.request.socket.remoteAddress, this.header('x-forwarded-for'));
  }

  /** Bytes of JSON that the client may send; a text with more could not be made, whatever the configuration says. */
  get maxText(): number {
    return Math.min(this.server.config.limits.maxHttpRequestSize, constants.MAX_STRING_LENGTH);
  }

  /** The text of a JSON body, of at most so many bytes; it has still to be parsed. @throws CouchError */
  bodyText(limit = this.maxText): Promise<string> {
    return readText(this.incoming, limit);
  }

  /** The body as it comes; who keeps any of it counts that with `hold`. @throws CouchError 408, ClientGone */
  bodyStream(): AsyncIterable<Buffer> {
    return streamBody(this.incoming);
  }

  /** The body before it is read. */
  get incoming(): Incoming {
    return this.#body === undefined ? this.#sent : this.#given(this.#body);
  }

  /** A body that is in memory, and counted where it was read. */
  #given(body: Buffer): Incoming {
    return {
      request: Object.assign(Readable.from(body.length === 0 ? [] : [body]), { headers: this.headers }),
      response: this.response,
      share: UNCOUNTED,
      invite: () => undefined,
      watch: (giveUp) => this.server.patience.begin(giveUp),
    };
  }

  get #sent(): Incoming {
    return {
      request: this.request,
      response: this.response,
      share: this.#bodyShare,
      invite: () => {
        if (this.#isAwaited) this.response.writeContinue();
        this.#isAwaited = false;
      },
      watch: (giveUp) => this.server.patience.begin(giveUp),
    };
  }

  get #bodyShare(): BodyShare {
    if (this.#share === undefined) {
      this.#share = this.server.bodies.open();
      this.response.once('close', this.#share.giveBack);
    }
    return this.#share;
  }

  /** Counts bytes of the body that are kept in memory; resolves when there is room for them. */
  hold(bytes: number): Promise<void> {
    return room(this.response, this.#bodyShare, bytes);
  }

  /** Of those, so many are kept no more. */
  drop(bytes: number): void {
    this.#bodyShare.drop(bytes);
  }

  /** The body is needed no more, though the answer may go on for long. */
  forgetBody(): void {
    this.#share?.giveBack();
  }

  /** Fires with a `ClientGone` when the client leaves before it has its answer. */
  get departure(): AbortSignal {
    return (this.#departure ??= departureOf(this.response));
  }

  /** The value of a JSON body. @throws CouchError, JsonError */
  async bodyValue(limit?: number): Promise<unknown> {
    return parseJson(await this.bodyText(limit));
  }

  /** A JSON body as normalised text. @throws CouchError, JsonError */
  async bodyJson(limit?: number): Promise<string> {
    return normalise(await this.bodyText(limit));
  }

  /** The members of a JSON body that must be an object, each as text. @throws CouchError, JsonError */
  async bodyMembers(): Promise<Map<string, string>> {
    const found = await membersInTurns(await this.bodyText());
    if (found === undefined) throw badRequest('Request body must be a JSON object');
    return found;
  }

  /** An absolute URL of this server, as the client sees it. */
  absolute(path: string): string {
    const host = hostOf(this.headers) ?? this.#localHost();
    return `${this.secure ? 'https' : 'http'}://${headerSafe(host)}${headerSafe(path)}`;
  }

  #localHost(): string {
    const { localAddress = '127.0.0.1', localPort = 0 } = this.request.socket;
    return `${localAddress.includes(':') ? `[${localAddress}]` : localAddress}:${String(localPort)}`;
  }

  /** Answers with JSON text, to which the line end of CouchDB's answers is added. */
  json(status: number, text: string, headers: readonly string[] = NO_HEADERS): void {
    this.send(status, 'application/json', `${text}\n`, headers);
  }

  /** Answers with a text of any kind; `headers` are names and values in turn. */
  send(status: number, type: string, text: string, headers: readonly string[] = NO_HEADERS): void {
    this.forgetBody();
    const length = Buffer.byteLength(text);
    if (this.server.compression.offer(this.request, status, type, length) !== undefined) {
      // The request may be logged before it is answered.
      this.response.statusCode = status;
      void sendStream(this, () => [text], { status, type, headers }).catch((error: unknown) => {
        if (!(error instanceof ClientGone)) this.fail(error);
      });
      return;
    }
    this.begin(status, ['Content-Type', type, 'Content-Length', String(length)], headers);
    const outflow = new Outflow(this.response, this.server.patience);
    // What counts is the method that was sent: a client that overrides it awaits a body of the stated length.
    const body = this.request.method === 'HEAD' ? '' : text;
    if (body.length <= LONG) depart(() => outflow.end(body));
    else void Promise.resolve(outflow.write(body)).then(() => outflow.end());
  }

  /** Answers without a body. */
  empty(status: number, headers: readonly string[] = NO_HEADERS): void {
    this.begin(status, status === 204 || status === 304 ? NO_HEADERS : ['Content-Length', '0'], headers);
    depart(() => this.response.end());
  }

  redirect(status: number, path: string): void {
    this.empty(status, ['Location', this.absolute(path)]);
  }

  /** Sends the head of an answer: its own headers, names and values in turn, and those that every answer has. */
  begin(status: number, own: readonly string[], more: readonly string[]): void {
    const all = ['Server', this.server.name, 'X-Couch-Request-ID', this.id, ...own, ...more];
    if (!more.includes('Cache-Control')) all.push('Cache-Control', 'must-revalidate');
    this.relay(status, all);
  }

  /** Sends the head of an answer that another server gave: headers of connections and sessions are our own. */
  relay(status: number, all: string[]): void {
    // A client that keeps its connection busy would keep the server from stopping; behind half a body nothing can follow.
    if (this.server.closing || status === 408) all.push('Connection', 'close');
    if (this.renewedCookie !== undefined && !all.includes('Set-Cookie')) {
      all.push('Set-Cookie', this.renewedCookie);
    }
    const sticky = stickyCookie(this);
    if (sticky !== undefined) all.push('Set-Cookie', sticky);
    const shared = this.server.cors.headers(this.request);
    this.response.writeHead(status, shared.length === 0 ? all : [...all, ...shared]);
  }

  /** Answers with an error, or gives up the connection where an answer has already begun. */
  fail(error: unknown): void {
    const known = toCouchError(error);
    const isFailure = known.status === 503 && known.retryAfter === undefined && !this.server.closing;
    if (known.status === 500 || known.status === 507 || isFailure) {
      this.server.report(this, known.cause ?? known);
    }
    if (this.response.headersSent || this.response.destroyed) {
      this.response.destroy();
      return;
    }
    if (known.status === 401) this.#unauthorized(known);
    else this.json(known.status, errorBody(known), retryHeaders(known));
  }

  /** Browsers are sent to a page where they can log in; programs get to know what to do if they ask for it. */
  #unauthorized(error: CouchError): void {
    const challenge = this.header('x-couchdb-www-authenticate') ?? challengeOf(this.server.config.auth);
    if (challenge !== undefined) {
      this.json(401, errorBody(error), ['WWW-Authenticate', challenge]);
    } else if (!this.accepts('application/json') && this.accepts('text/html')) {
      const path = encodeSegment(this.path);
      const login = `/_utils/session.html?return=${path}&reason=${encodeSegment(error.reason)}`;
      this.json(302, errorBody(error), ['Location', this.absolute(login)]);
    } else {
      this.json(401, errorBody(error));
    }
  }

  /** The path of the URL, decoded. */
  get path(): string {
    const [path = ''] = this.url.split('?', 1);
    try {
      return decodeURIComponent(path);
    } catch {
      return path;
    }
  }
}

function departureOf(response: ServerResponse): AbortSignal {
  const controller = new AbortController();
  const leave = (): void => controller.abort(new ClientGone('the client left'));
  if (response.destroyed) leave();
  else response.once('close', () => (response.writableFinished ? undefined : leave()));
  return controller.signal;
}

/** How CouchDB has those log in who did not say how they want to be asked. */
function challengeOf({ wwwAuthenticate, requireValidUser }: Config['auth']): string | undefined {
  return wwwAuthenticate ?? (requireValidUser ? 'Basic realm="server"' : undefined);
}

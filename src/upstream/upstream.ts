import { isDeepStrictEqual } from 'node:util';
import type { IncomingHttpHeaders } from 'node:http';
import type { SecurityObject } from '../auth/security.js';
import { isServerAdmin } from '../auth/usercontext.js';
import type { Config } from '../config/schema.js';
import { upstreamTarget } from '../config/upstream.js';
import { badGateway, CouchError, upstreamAway } from '../errors.js';
import type { Logger } from '../observe/log.js';
import { type HttpAnswer, type HttpRequest, isOfAnother } from '../replication/http/client.js';
import { HttpPeer } from '../replication/http/peer.js';
import { Connection, type Forwarding } from './connection.js';
import { type Ask, Directory, namesFrom } from './directory.js';
import { failureOf } from './failure.js';
import { headersUp, identity, type Origin, pairsOf, passedBy, type Sender, whyUntold } from './headers.js';
import { knock } from './knock.js';
import type { Link } from './link.js';
import { type Chance, type Finding, Monitor } from './monitor.js';
import { BodyFailed, type Receiver } from './passage.js';
import { type Identity, look } from './probe.js';
import { Rules } from './rules.js';
import { type Failure, statusOf, type UpstreamStatus } from './status.js';

export interface UpstreamOptions {
  /** Read at each use: it may change, of which `reconfigure` is told. */
  readonly config: Pick<Config, 'upstream' | 'databases' | 'proxy'>;
  readonly log: Logger;
  /** Of this server. */
  readonly uuid: string;
  readonly chance?: Chance;
}

/** Seconds after which a request may be sent again that had no answer. */
const SOON = 5;
/** What gateways answer that stand before the upstream, or the upstream itself where it is not well. */
const UNWELL = new Set([502, 503, 504]);
/** Each request to it would come back, and be passed on again. */
const ITSELF: Finding = {
  type: 'lost',
  reason: 'it is this gateway itself: upstream.url leads back to it',
  isOther: true,
};

/** How a request gets to the upstream. */
export interface UpstreamRequest extends Pick<Forwarding, 'isLive' | 'database' | 'whenGone' | 'receiver'> {
  readonly method: string;
  /** Path and query as the client has them. */
  readonly url: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer | AsyncIterable<Buffer> | undefined;
  readonly sender: Sender;
  readonly origin: Origin;
}

/** What is asked about databases there. */
export interface Asking {
  names(): Promise<readonly string[]>;
  infoOf(database: string): Promise<string>;
}

/**
 * The server behind this one, if there is any: which databases are there, how the connection is, and the way for requests
 * to it. Must be closed.
 */
export class Upstream {
  #rules: Rules;
  #connection: Connection | undefined;
  #directory: Directory;
  #identity: Identity | undefined;
  #since = new Date();
  #lastError: Failure | undefined;
  #closing = new AbortController();
  readonly #monitor: Monitor;
  readonly #listeners: (() => void)[] = [];
  readonly #counters = { requests: 0, answered: 0, failed: 0, refused: 0, probes: 0 };

  /** @throws StartError for files that cannot be read */
  constructor(private readonly options: UpstreamOptions) {
    const { config, chance } = options;
    this.#rules = Rules.of(config);
    const target = upstreamTarget(config);
    this.#connection = target && new Connection(target, { ...config.upstream });
    this.#directory = this.#newDirectory();
    this.#monitor = new Monitor({
      probe: (signal) => this.#look(signal),
      knock: (signal) => this.#knock(signal),
      // Read at each use.
      get timing() {
        return config.upstream;
      },
      onChange: (link, before) => this.#changed(link, before),
      ...(chance !== undefined && { chance }),
    });
  }

  start(): void {
    if (this.#connection !== undefined) this.#monitor.start();
  }

  /** The configuration was changed. What is under way to an upstream that is another one now ends, and nothing else. */
  reconfigure(): void {
    const { config, log } = this.options;
    let target;
    try {
      this.#rules = Rules.of(config);
      target = upstreamTarget(config);
    } catch (error) {
      log.error({ err: error }, 'the upstream stays as it was');
      return;
    }
    if (isDeepStrictEqual(target, this.#connection?.target))
      this.#connection?.limitTo({ ...config.upstream });
    else this.#turnTo(target && new Connection(target, { ...config.upstream }));
    // The rules may be other ones, too.
    this.#tell();
  }

  #turnTo(connection: Connection | undefined): void {
    void this.#connection?.close();
    this.#connection = connection;
    this.#identity = undefined;
    this.#closing.abort();
    this.#closing = new AbortController();
    this.#directory = this.#newDirectory();
    if (connection === undefined) this.#monitor.close();
    else this.#monitor.restart();
  }

  async close(): Promise<void> {
    this.#monitor.close();
    this.#closing.abort();
    await this.#connection?.close();
  }

  /** Whether there is one. */
  get isThere(): boolean {
    return this.#connection !== undefined;
  }

  /** Whether requests get through. */
  get isOnline(): boolean {
    const { state } = this.#monitor.link;
    return this.#connection !== undefined && (state === 'online' || state === 'degraded');
  }

  /** Where databases are. */
  get rules(): Rules {
    return this.#rules;
  }

  /** Seconds after which it may be worth a try to ask again. */
  get retryAfter(): number {
    return this.#monitor.retryAfter();
  }

  /** Calls `listener` whenever it comes, goes, or is another one. */
  onChange(listener: () => void): void {
    this.#listeners.push(listener);
  }

  /** A database there, as the account of the gateway. @throws CouchError 503 while it is away */
  peerOf(database: string): HttpPeer {
    const connection = this.#open();
    return new HttpPeer(
      connection.peerOptions(database, (outcome) => {
        if (typeof outcome !== 'number') this.#noted(connection, outcome);
        else {
          this.#heard(connection, outcome);
          if (outcome === 401 && this.#isCurrent(connection)) this.#monitor.doubted();
        }
      }),
    );
  }

  /** Whether databases that were made anew there are known by their `instance_start_time`. */
  get keepsStartTimes(): boolean {
    const { vendor } = this.#identity ?? {};
    return vendor === 'Causeway' || vendor === 'The Apache Software Foundation';
  }

  /** Whether it knows no sequences of the form that this server and others of its kind give out. */
  get isForeign(): boolean {
    return this.#identity?.vendor !== 'Causeway';
  }

  /**
   * Who has which rights in a database there, known for a few seconds.
   * @throws CouchError 404 where there is none, 502 and 503 where the upstream is away
   */
  securityOf(database: string): Promise<SecurityObject> {
    return this.#directory.securityOf(database);
  }

  /** Something about a database there was changed. */
  forget(database: string): void {
    this.#directory.forget(database);
  }

  /** Where it is; undefined where there is none. */
  get url(): string | undefined {
    return this.#connection?.target.url;
  }

  /** The roles of the gateway's account there; undefined where it was not seen yet. */
  get roles(): readonly string[] | undefined {
    if (this.#identity !== undefined) return this.#identity.roles ?? [];
    return this.#monitor.link.state === 'unauthorised' ? [] : undefined;
  }

  /** Asks as whoever the headers of the request name. @throws CouchError, 502 and 503 where it is away */
  askPlainly(request: HttpRequest): Promise<unknown> {
    return this.#answerTo(({ plain }) => plain.json(request));
  }

  /** What it is asked about its databases: by its admins as the account of the gateway, by others as themselves. */
  asking(sender: Sender, headers: IncomingHttpHeaders): Asking {
    const isAdmin = isServerAdmin(sender.user);
    const ask: Ask = isAdmin
      ? (request) => this.ask(request)
      : (request) => this.#askAs(sender, headers, request);
    const names = isAdmin ? () => this.#directory.names() : () => namesFrom(ask, this.#closing.signal);
    return {
      /** The names of all databases there that are not local here; known last while it is away. */
      names: async () =>
        this.#connection === undefined
          ? []
          : (await names()).filter((name) => this.#rules.modeOf(name) !== 'local'),
      /** What GET of a database answers, as JSON. @throws CouchError */
      infoOf: async (database) =>
        JSON.stringify(
          await ask({ method: 'GET', path: encodeURIComponent(database), signal: this.#closing.signal }),
        ),
    };
  }

  /** Whether it can be told who sends a request, though not whether it knows them. */
  canTell(headers: IncomingHttpHeaders, sender: Sender): boolean {
    return whyUntold(headers, sender, this.#connection?.target.proxySecret) === undefined;
  }

  /**
   * Sends a request as its client, and passes the answer on.
   * @throws CouchError 403 for whom it cannot be told who they are, 502 and 503 where there is no answer, 503 for one that was
   * passed on from here before. What fails later is known by an answer that has begun.
   */
  async forward(asked: UpstreamRequest): Promise<void> {
    const { sender, origin, receiver, headers, url, method, body, isLive, database, whenGone } = asked;
    const via = passedBy(this.options.uuid);
    // It would go round until there are no connections left, also by way of other gateways, which no probe finds out.
    if (headers.via?.includes(via) === true)
      throw upstreamAway(SOON, 'The request comes from this gateway itself: upstream.url leads back to it.');
    const connection = this.#open();
    const { usernameHeader, rolesHeader, tokenHeader } = this.options.config.proxy;
    const own = [usernameHeader, rolesHeader, tokenHeader];
    const sent = headersUp(headers, sender, origin, connection.target.proxySecret, own);
    sent.push('via', via);
    this.#counters.requests++;
    const answer: Receiver = {
      begin: (status, answered) => {
        this.#counters.answered++;
        this.#heard(connection, status);
        receiver.begin(status, answered);
      },
      write: (chunk) => receiver.write(chunk),
    };
    const request = { method, path: connection.base + url.slice(1), headers: sent, body };
    try {
      await connection.forward({ request, receiver: answer, isLive, database, whenGone });
    } catch (error) {
      if (error instanceof BodyFailed) throw error.cause;
      throw error instanceof CouchError ? error : this.#noted(connection, error);
    }
  }

  /** What a place at the upstream is called here: a path, or the same text where it is elsewhere. */
  locate(location: string): string {
    const { url } = this.#connection?.target ?? { url: '' };
    return url !== '' && location.startsWith(url) ? location.slice(url.length - 1) : location;
  }

  /** Undefined where there is no upstream. */
  status(): UpstreamStatus | undefined {
    const connection = this.#connection;
    if (connection === undefined) return undefined;
    return statusOf(connection, {
      monitor: this.#monitor,
      since: this.#since,
      lastError: this.#lastError,
      identity: this.#identity,
      counters: this.#counters,
    });
  }

  #newDirectory(): Directory {
    return new Directory((request) => this.ask(request), this.#closing.signal);
  }

  /** @throws CouchError 503 while it is away */
  #open(): Connection {
    const connection = this.#connection;
    const seconds = this.#monitor.refusal();
    if (connection !== undefined && seconds === undefined) return connection;
    this.#counters.refused++;
    throw upstreamAway(seconds ?? SOON);
  }

  /** Asks as the account of the gateway. @throws CouchError; 502 and 503 where there is no answer */
  async ask(request: HttpRequest): Promise<unknown> {
    try {
      return await this.#answerTo(({ client }) => client.json(request));
    } catch (error) {
      // Either it may not do this, or it is not let in any more.
      if (error instanceof CouchError && (error.status === 401 || error.status === 403))
        this.#monitor.doubted();
      throw error;
    }
  }

  /** The same for an answer that is read as it comes. @throws CouchError */
  send(request: HttpRequest): Promise<HttpAnswer> {
    return this.#answerTo(({ client }) => client.send(request));
  }

  async #askAs(sender: Sender, headers: IncomingHttpHeaders, request: HttpRequest): Promise<unknown> {
    const own = identity(headers, sender, this.#connection?.target.proxySecret);
    return this.#answerTo(({ plain }) => plain.json({ ...request, headers: pairsOf(own) }));
  }

  async #answerTo<T>(ask: (connection: Connection) => Promise<T>): Promise<T> {
    const connection = this.#open();
    try {
      const answer = await ask(connection);
      if (this.#isCurrent(connection)) this.#monitor.answered();
      return answer;
    } catch (error) {
      throw this.#noted(connection, error);
    }
  }

  /** What comes of requests to an upstream that was another one says nothing of this one. */
  #isCurrent(connection: Connection): boolean {
    return connection === this.#connection;
  }

  #heard(connection: Connection, status: number): void {
    if (!this.#isCurrent(connection)) return;
    if (UNWELL.has(status)) this.#monitor.failed(`it answers with ${status}`);
    else this.#monitor.answered();
  }

  /** What a client is told of a request that failed. */
  #noted(connection: Connection, error: unknown): CouchError {
    if (error instanceof CouchError) {
      const { status, retryAfter = SOON } = error;
      this.#heard(connection, status);
      // It may have taken the place of the upstream, which only a probe can tell.
      if (isOfAnother(error) && this.#isCurrent(connection)) this.#monitor.doubted();
      if (UNWELL.has(status) && isOfAnother(error)) {
        const [seconds, reason] = [Math.ceil(retryAfter), `The upstream answers with ${status}.`];
        return status === 503 ? upstreamAway(seconds, reason) : badGateway(reason, seconds, error);
      }
      // Its failures are none of this server.
      if (status !== 500 && status !== 507) return error;
      return badGateway(`The upstream failed: ${error.reason || error.error}`, SOON, error);
    }
    const { isLost, isOther, isUnreachable, reason } = failureOf(error);
    this.#counters.failed++;
    if (!this.#isCurrent(connection)) return badGateway('The upstream is another one now.', SOON);
    this.#lastError = { at: new Date(), reason };
    // Whether something else is in its place only a probe can tell: one answer may have broken off.
    if (!isLost || isOther) {
      this.#monitor.failed(reason);
      return badGateway(`The upstream gave no answer: ${reason}.`, SOON);
    }
    this.#monitor.lost(reason, isUnreachable);
    return upstreamAway(this.#monitor.retryAfter());
  }

  async #look(signal: AbortSignal): Promise<Finding> {
    const connection = this.#connection;
    if (connection === undefined) return { type: 'lost', reason: 'there is none' };
    this.#counters.probes++;
    const { connectTimeout } = this.options.config.upstream;
    const seen = await look(connection.client, connection.target.username, connectTimeout, signal);
    if (seen.identity?.uuid === this.options.uuid) return ITSELF;
    if (seen.identity !== undefined && connection === this.#connection) this.#identity = seen.identity;
    return seen;
  }

  async #knock(signal: AbortSignal): Promise<boolean> {
    const url = this.#connection?.target.url;
    return url !== undefined && (await knock(url, this.options.config.upstream.firstRetry, signal));
  }

  #changed({ state, reason }: Link, before: Link): void {
    if (reason !== undefined) this.#lastError = { at: new Date(), reason };
    if (state === before.state) return;
    this.#since = new Date();
    const fields = { state, before: before.state, ...(reason !== undefined && { reason }) };
    if (state === 'online' || state === 'connecting') this.options.log.info(fields, 'the upstream');
    else this.options.log.warn(fields, 'the upstream');
    this.#tell();
  }

  #tell(): void {
    for (const listener of this.#listeners) listener();
  }
}

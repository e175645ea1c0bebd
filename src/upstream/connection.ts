import { isDeepStrictEqual } from 'node:util';
import type { Readable } from 'node:stream';
import { Limiter } from '../auth/limiter.js';
import type { Config } from '../config/schema.js';
import type { UpstreamTarget } from '../config/upstream.js';
import { overloaded } from '../errors.js';
import type { AgentOptions } from '../replication/http/agent.js';
import { HttpClient } from '../replication/http/client.js';
import type { HttpPeerOptions } from '../replication/http/options.js';
import { Connections } from './connections.js';
import { Passage, type PassingRequest, type Receiver } from './passage.js';

/** Connections that are kept for the gateway itself, so that it gets to know how things are in any case. */
const OWN = 8;
/** Milliseconds for which the upstream may say nothing to a mirror. */
const LONGEST_SILENCE = 60_000;
/** Requests that may wait for a connection. */
const WAITING = 10_000;

/** How requests get through. */
export interface Forwarding {
  readonly request: PassingRequest;
  readonly receiver: Receiver;
  /** Whether it may wait for changes, for as long as its client wants. */
  readonly isLive: boolean;
  /** Those of one database take turns with those of others. */
  readonly database: string;
  /** Is given what to call when the client has left. */
  readonly whenGone: (leave: () => void) => void;
}

/** The connections to one upstream, within their limits. Must be closed. */
export class Connection {
  readonly #agent: Connections;
  readonly #limiter: Limiter;
  readonly #origin: string;
  /** Path of the URL, which ends with a slash. */
  readonly base: string;
  #feeds = 0;
  #running = 0;

  #limits: Config['upstream'];
  #clients: { readonly client: HttpClient; readonly plain: HttpClient };

  constructor(
    readonly target: UpstreamTarget,
    limits: Config['upstream'],
  ) {
    this.#limits = limits;
    this.#agent = new Connections(this.#agentOptions());
    this.#clients = this.#newClients();
    ({ origin: this.#origin, pathname: this.base } = new URL(target.url));
    this.#limiter = new Limiter(requestsWithin(limits), WAITING, () =>
      overloaded('too many requests wait for the upstream (upstream.maxConnections)'),
    );
  }

  /** Asks as the account of the gateway. */
  get client(): HttpClient {
    return this.#clients.client;
  }

  /** Asks as whoever a request says. */
  get plain(): HttpClient {
    return this.#clients.plain;
  }

  /** What comes next is held to other limits; what is under way goes on. */
  limitTo(limits: Config['upstream']): void {
    const before = this.#agentOptions();
    this.#limits = limits;
    const after = this.#agentOptions();
    if (!isDeepStrictEqual(before, after)) this.#agent.renew(after);
    this.#clients = this.#newClients();
    this.#limiter.allow(requestsWithin(limits));
  }

  /**
   * How the mirror of a database talks to it.
   * @param heard see `HttpPeerOptions`
   */
  peerOptions(database: string, heard: (outcome: number | Error) => void): HttpPeerOptions {
    const { url, authorization } = this.target;
    return {
      url: `${url}${encodeURIComponent(database)}/`,
      headers: authorization === undefined ? {} : { authorization },
      dispatcher: this.#agent,
      // What waits for changes finds out by this that nobody is there any more.
      timeout: Math.min(this.#limits.timeout, LONGEST_SILENCE),
      heard,
    };
  }

  get feeds(): number {
    return this.#feeds;
  }

  /** Requests that are under way, feeds among them. */
  get running(): number {
    return this.#running;
  }

  /** @throws CouchError 503 where too many are under way, and what undici says of the connection */
  async forward(forwarding: Forwarding): Promise<void> {
    if (!forwarding.isLive) {
      await this.#limiter.run(() => this.#pass(forwarding), forwarding.database);
      return;
    }
    if (this.#feeds >= this.#limits.maxFeeds)
      throw overloaded('too many feeds of the upstream are open (upstream.maxFeeds)');
    this.#feeds++;
    try {
      await this.#pass(forwarding);
    } finally {
      this.#feeds--;
    }
  }

  /** Ends everything that is under way. */
  async close(): Promise<void> {
    await this.#agent.cut();
  }

  #agentOptions(): AgentOptions {
    const { maxConnections, connectTimeout } = this.#limits;
    const { ca } = this.target;
    return { connections: maxConnections, connectTimeout, ...(ca !== undefined && { ca }) };
  }

  #newClients(): { readonly client: HttpClient; readonly plain: HttpClient } {
    const { url, authorization } = this.target;
    const options = { url, dispatcher: this.#agent, timeout: this.#limits.timeout };
    const headers = authorization === undefined ? {} : { authorization };
    return {
      client: new HttpClient({ ...options, headers }),
      plain: new HttpClient({ ...options, headers: {} }),
    };
  }

  async #pass({ request, receiver, whenGone }: Forwarding): Promise<void> {
    const { timeout } = this.#limits;
    const passage = new Passage(receiver);
    whenGone(() => passage.leave());
    this.#running++;
    try {
      this.#agent.dispatch(
        {
          origin: this.#origin,
          path: request.path,
          method: request.method,
          headers: request.headers,
          // It takes what can be iterated over, too, which its types do not say.
          body: passage.bodyOf(request) as Readable | Buffer | null,
          headersTimeout: timeout,
          bodyTimeout: timeout,
        },
        passage,
      );
      await passage.done;
    } finally {
      this.#running--;
    }
  }
}

/** How many requests of clients may be under way besides feeds. */
const requestsWithin = ({ maxConnections, maxFeeds }: Config['upstream']): number =>
  Math.max(1, maxConnections - maxFeeds - OWN);

import { badRequest, unknownThere } from '../errors.js';
import type { ServerResponse } from 'node:http';
import { headersDown } from '../upstream/headers.js';
import type { Receiver } from '../upstream/passage.js';
import { feedRequest, isOurs } from '../upstream/sequences.js';
import { FeedTail } from '../upstream/feed-tail.js';
import { readBody } from './body.js';
import { depart } from './departures.js';
import type { Exchange } from './exchange.js';
import { Outflow } from './outflow.js';
import { hostOf } from './url.js';

/**
 * Has the upstream answer a request whose right was judged, and passes bodies on as they come.
 * @param path of the resource
 * @param ending fires when the database is answered for here from then on: then feeds end
 * @returns false where a feed ended before its answer began
 * @throws CouchError while there is no answer
 */
export async function passOn(
  exchange: Exchange,
  path: string,
  ending: AbortSignal | undefined,
): Promise<boolean> {
  const { server, request, response, user, authMethod } = exchange;
  const database = exchange.param('db');
  const sender = { user, method: authMethod };
  // Here they are known, and are let in as soon as everything is here: by a 401 PouchDB would give up for good.
  const isMirrored = server.mirrors.isMirrored(database);
  if (isMirrored && !server.upstream.canTell(exchange.headers, sender)) throw unknownThere(SOON);
  const { url, headers, isLive } = path === '/:db/_changes' ? feedOf(exchange) : plain(exchange);
  requirePlainPath(url);
  if (isLive) server.feeds.enter(exchange);
  const answer = isLive ? new Flow(exchange) : new Parcel(exchange);
  const tail = isLive ? new FeedTail(exchange.rawQuery) : undefined;
  const client = { hasLeft: false, isStranger: false };
  await server.upstream.forward({
    method: methodOf(exchange),
    url,
    headers,
    body: await bodyOf(exchange),
    isLive,
    database,
    sender,
    origin: { address: exchange.source, host: hostOf(request.headers), isSecure: exchange.secure },
    whenGone: (leave) => {
      const stop = (): void => {
        client.hasLeft = true;
        leave();
      };
      // Feeds end with the server, too.
      if (isLive) onAbort(server.track(exchange), stop);
      else onDeparture(response, stop);
      if (tail === undefined || ending === undefined) return;
      const move = (): void => {
        if (tail.mayEnd) leave();
      };
      onAbort(ending, move);
      response.once('close', () => ending.removeEventListener('abort', move));
    },
    receiver: {
      begin: (status, answered) => {
        exchange.forgetBody();
        client.isStranger = isMirrored && user.name !== null && status === 401;
        if (client.isStranger) return;
        if (status < 300 && CHANGING.has(`${exchange.method} ${path}`)) server.upstream.forget(database);
        answer.begin(
          status,
          headersDown(answered, (location) => locate(exchange, location)),
        );
      },
      write: (chunk) => {
        if (client.isStranger) return undefined;
        tail?.take(chunk);
        return answer.write(chunk);
      },
    },
  });
  if (client.hasLeft) response.destroy();
  else if (client.isStranger) throw unknownThere(SOON);
  else if (tail !== undefined && ending?.aborted === true) {
    if (!response.headersSent) return false;
    answer.end(tail.rest);
  } else answer.end();
  return true;
}

/** Seconds after which a database that is being copied may be here. */
const SOON = 1;

/** An answer on its way to a client. */
interface Answer extends Receiver {
  begin(status: number, headers: string[]): void;
  /** It is complete. @param rest of a feed */
  end(rest?: string): void;
}

/** One that may wait for news: what there is goes out at once. */
class Flow implements Answer {
  readonly #outflow: Outflow;

  constructor(private readonly exchange: Exchange) {
    this.#outflow = new Outflow(exchange.response, exchange.server.patience);
  }

  begin(status: number, headers: string[]): void {
    const { response } = this.exchange;
    this.exchange.relay(status, headers);
    // What there is already goes out together with the headers.
    depart(() => (response.destroyed || response.writableEnded ? undefined : response.flushHeaders()));
  }

  write(chunk: Buffer): Promise<void> | undefined {
    return this.#outflow.write(chunk);
  }

  end(rest?: string): void {
    this.#outflow.end(rest);
  }
}

/** Bytes of a body that are sent together with their head. */
const SMALL = 65_536;

/** One that may come in one piece: it goes out in one, as those do that are made here, which costs a third less. */
class Parcel implements Answer {
  readonly #outflow: Outflow;
  #length: number | undefined;
  #whole: Buffer | undefined;

  constructor(private readonly exchange: Exchange) {
    this.#outflow = new Outflow(exchange.response, exchange.server.patience);
  }

  begin(status: number, headers: string[]): void {
    const at = headers.findIndex((name, index) => index % 2 === 0 && name.toLowerCase() === 'content-length');
    if (at >= 0) this.#length = Number(headers[at + 1]);
    this.exchange.relay(status, headers);
  }

  write(chunk: Buffer): Promise<void> | undefined {
    if (chunk.length === this.#length && chunk.length <= SMALL) {
      this.#whole = chunk;
      return undefined;
    }
    return this.#outflow.write(chunk);
  }

  end(): void {
    const whole = this.#whole;
    // Of a text Node makes one piece with the head; these characters are the bytes.
    depart(() => this.#outflow.end(whole?.toString('latin1'), 'latin1'));
  }
}

/** A short body is read first: the upstream then gets it in one piece, or nothing of it where it breaks off. */
async function bodyOf(exchange: Exchange): Promise<Buffer | AsyncIterable<Buffer> | undefined> {
  const { headers } = exchange;
  const length = Number(headers['content-length'] ?? 0);
  if (headers['transfer-encoding'] !== undefined || length > SMALL) return exchange.bodyStream();
  return length > 0 ? readBody(exchange.incoming, SMALL) : undefined;
}

function onAbort(signal: AbortSignal, call: () => void): void {
  if (signal.aborted) call();
  else signal.addEventListener('abort', call, { once: true });
}

/** Calls when a client leaves before it has its answer. */
function onDeparture(response: ServerResponse, call: () => void): void {
  if (response.destroyed) call();
  else response.once('close', () => (response.writableFinished ? undefined : call()));
}

/** Requests after which what is known of a database may be wrong. */
const CHANGING: ReadonlySet<string> = new Set(['PUT /:db', 'DELETE /:db', 'PUT /:db/_security']);

type Asked = Pick<Exchange, 'url' | 'headers'> & { readonly isLive: boolean };

const plain = ({ url, headers }: Exchange): Asked => ({ url, headers, isLive: false });

function feedOf({ url, rawQuery, headers, server }: Exchange): Asked {
  const { isForeign } = server.upstream;
  const { query, isLive } = feedRequest(rawQuery, isForeign);
  const last = headers['last-event-id'];
  const isUnknown = isForeign && typeof last === 'string' && isOurs(last);
  const [path = ''] = url.split('?', 1);
  return {
    url: query === '' ? path : `${path}?${query}`,
    headers: isUnknown ? { ...headers, 'last-event-id': '0' } : headers,
    isLive,
  };
}

/** What counts is what was judged; a client that overrides its method awaits a body of the stated length. */
const methodOf = ({ method, request }: Exchange): string =>
  method === 'HEAD' && request.method !== 'HEAD' ? 'GET' : method;

/** Servers in front of the upstream would find another database by such a path than the one whose rights were judged. */
function requirePlainPath(url: string): void {
  const [path = ''] = url.split('?', 1);
  if (/\/(\.|%2e){1,2}(\/|%2f|$)|%2f(\.|%2e){1,2}(\/|%2f|$)/i.test(path))
    throw badRequest('A path with . or .. is not passed on to the upstream.');
}

function locate(exchange: Exchange, location: string): string {
  const here = exchange.server.upstream.locate(location);
  return here === location ? location : exchange.absolute(here);
}

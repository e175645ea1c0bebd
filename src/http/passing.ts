import { badRequest, unknownThere } from '../errors.js';
import { headersDown } from '../upstream/headers.js';
import { feedRequest, isOurs } from '../upstream/sequences.js';
import { FeedTail } from '../upstream/feed-tail.js';
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
  const answer = { isStranger: false };
  const { url, headers, isLive } = path === '/:db/_changes' ? feedOf(exchange) : plain(exchange);
  requirePlainPath(url);
  if (isLive) server.feeds.enter(exchange);
  const outflow = new Outflow(response, server.patience);
  const tail = isLive ? new FeedTail(exchange.rawQuery) : undefined;
  const end = new AbortController();
  await server.upstream.forward({
    method: methodOf(exchange),
    url,
    headers,
    body: hasBody(exchange) ? exchange.bodyStream() : undefined,
    isLive,
    database,
    sender,
    origin: { address: exchange.source, host: hostOf(request.headers), isSecure: exchange.secure },
    whenGone: (leave) => {
      // Feeds end with the server, too.
      const signal = isLive ? server.track(exchange) : exchange.departure;
      const stop = (): void => {
        end.abort();
        leave();
      };
      if (signal.aborted) stop();
      else signal.addEventListener('abort', stop, { once: true });
      if (tail === undefined || ending === undefined) return;
      const move = (): void => {
        if (tail.mayEnd) leave();
      };
      if (ending.aborted) move();
      else ending.addEventListener('abort', move, { once: true });
      response.once('close', () => ending.removeEventListener('abort', move));
    },
    receiver: {
      begin: (status, answered) => {
        exchange.forgetBody();
        answer.isStranger = isMirrored && user.name !== null && status === 401;
        if (answer.isStranger) return;
        if (status < 300 && CHANGING.has(`${exchange.method} ${path}`)) server.upstream.forget(database);
        exchange.relay(
          status,
          headersDown(answered, (location) => locate(exchange, location)),
        );
        // What there is already goes out together with the headers.
        if (isLive)
          depart(() => (response.destroyed || response.writableEnded ? undefined : response.flushHeaders()));
      },
      write: (chunk) => {
        if (answer.isStranger) return undefined;
        tail?.take(chunk);
        return outflow.write(chunk);
      },
    },
  });
  if (end.signal.aborted) response.destroy();
  else if (answer.isStranger) throw unknownThere(SOON);
  else if (tail !== undefined && ending?.aborted === true) {
    if (!response.headersSent) return false;
    outflow.end(tail.rest);
  } else outflow.end();
  return true;
}

/** Seconds after which a database that is being copied may be here. */
const SOON = 1;

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

const hasBody = ({ headers }: Exchange): boolean =>
  headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0;

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

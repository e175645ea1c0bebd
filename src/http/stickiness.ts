import { cookieValue } from '../auth/sessions.js';
import { anotherGateway } from '../errors.js';
import type { Exchange } from './exchange.js';

/**
 * Several gateways may stand behind a load balancer that keeps each client on one of them by a cookie. A client that is
 * moved under a replication goes on with what the other one knew: a PouchDB would take its checkpoints for those of this
 * one, and not send what was written in between. So its first request here fails, and it begins its replication anew.
 * @throws CouchError 503 for one that was with another gateway; the answer has the cookie of this one
 */
export function refuseMoved(exchange: Exchange): void {
  const { name } = exchange.server.config.balancing;
  if (name === undefined) return;
  const before = gatewayOf(exchange);
  if (before !== '' && before !== name) throw anotherGateway();
}

/** The Set-Cookie header that keeps a client here; undefined where it needs none. */
export function stickyCookie(exchange: Exchange): string | undefined {
  const { balancing, session } = exchange.server.config;
  const { name, cookie } = balancing;
  if (name === undefined || gatewayOf(exchange) === name) return undefined;
  const sameSite = session.sameSite === undefined ? '' : `; SameSite=${session.sameSite}`;
  return `${cookie}=${name}; Path=/; HttpOnly${exchange.secure ? '; Secure' : ''}${sameSite}`;
}

const gatewayOf = ({ request, server }: Exchange): string =>
  cookieValue(request.headers.cookie ?? '', server.config.balancing.cookie);

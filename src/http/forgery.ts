import type { AuthMethod } from '../auth/auth.js';
import { forbidden } from '../errors.js';
import type { Exchange } from './exchange.js';
import { hostOf } from './url.js';

/** Methods that change nothing. */
const SAFE: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS']);

/** Ways to log in of which a browser knows without the page: by its own cookie, or that of a proxy. */
const AMBIENT: ReadonlySet<AuthMethod | undefined> = new Set<AuthMethod>(['cookie', 'proxy']);

/**
 * Refuses what a page of another origin has a browser send with its reader's cookie, unless CORS lets that origin use
 * cookies. Other programs do not say where they come from, and are no browsers.
 * @throws CouchError 403
 */
export function refuseForgery(exchange: Exchange): void {
  if (!AMBIENT.has(exchange.authMethod) || SAFE.has(exchange.method) || isFromHere(exchange)) return;
  if (exchange.server.cors.trusts(exchange.request)) return;
  throw forbidden(
    'A page of another origin may not change anything with a cookie, unless cors.origins names it.',
  );
}

/** Whether the page is of this server, as far as the browser says where it is. */
function isFromHere(exchange: Exchange): boolean {
  // It knows which page it shows; a proxy may have put another name of ours into `Host`.
  const site = exchange.header('sec-fetch-site');
  if (site !== undefined) return site === 'same-origin' || site === 'none';
  const page = exchange.header('origin') ?? exchange.header('referer');
  if (page === undefined) return true;
  const host = hostOf(exchange.headers) ?? '';
  return URL.canParse(page) && new URL(page).host === host.toLowerCase();
}

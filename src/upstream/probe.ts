import { CouchError } from '../errors.js';
import type { HttpClient } from '../replication/http/client.js';
import { failureOf } from './failure.js';
import type { Finding } from './monitor.js';

/** What the upstream says of itself. */
export interface Identity {
  readonly version: string | undefined;
  readonly vendor: string | undefined;
  readonly uuid: string | undefined;
  /** Of the gateway's account there; undefined where it has none. */
  readonly roles: readonly string[] | undefined;
}

export type Seen = Finding & { readonly identity?: Identity };

/** Longer than this a probe does not wait for an answer, in milliseconds, unless a connection may take longer. */
const PATIENCE = 10_000;
/** Milliseconds by which undici may be late to say that there is no connection, which a probe must not miss. */
const LATE = 2000;

/**
 * Looks whether a CouchDB is there that lets the account in. Never fails.
 * @param username of the account; undefined where there is none
 * @param connectTimeout of the client's connections, in milliseconds
 */
export async function look(
  client: HttpClient,
  username: string | undefined,
  connectTimeout: number,
  signal: AbortSignal,
): Promise<Seen> {
  const patience = new AbortController();
  const giveUp = (): void => patience.abort();
  const timer = setTimeout(giveUp, Math.max(PATIENCE, connectTimeout + LATE));
  signal.addEventListener('abort', giveUp, { once: true });
  try {
    return await lookAt(client, username, patience.signal);
  } catch (error) {
    return patience.signal.aborted ? { type: 'lost', reason: 'it did not answer in time' } : findingOf(error);
  } finally {
    clearTimeout(timer);
    signal.removeEventListener('abort', giveUp);
  }
}

async function lookAt(client: HttpClient, username: string | undefined, signal: AbortSignal): Promise<Seen> {
  const welcome = await client.json({ method: 'GET', path: '', signal });
  if (
    !isObject(welcome) ||
    !(typeof welcome.couchdb === 'string' || typeof welcome['express-pouchdb'] === 'string')
  )
    return { type: 'lost', reason: 'it is no CouchDB', isOther: true };
  const session =
    username === undefined ? undefined : await client.json({ method: 'GET', path: '_session', signal });
  const account = accountOf(session);
  if (username !== undefined && account.name !== username)
    return { type: 'refused', reason: `it does not know the account ${username}` };
  const { version, vendor, uuid } = welcome;
  const identity = {
    version: textOf(version),
    vendor: isObject(vendor) ? textOf(vendor.name) : undefined,
    uuid: textOf(uuid),
    roles: username === undefined ? undefined : account.roles,
  };
  return { type: 'right', identity };
}

/** A status that is no success is one of what stands in its place, or in front of it. */
function findingOf(error: unknown): Finding {
  if (!(error instanceof CouchError)) {
    const { reason, isOther, isLost, isUnreachable } = failureOf(error);
    return { type: 'lost', reason, isOther, isReached: !isLost, isUnreachable };
  }
  const { status, error: kind, reason, retryAfter } = error;
  if (status === 401 || status === 403)
    return { type: 'refused', reason: `it refuses the account with ${status} (${reason || kind})` };
  if (kind === 'redirect') return { type: 'lost', reason: `it is elsewhere. ${reason}`, isOther: true };
  const isOther = status < 500;
  return { type: 'lost', reason: `it answers with ${status}`, retryAfter, isOther, isReached: !isOther };
}

/** Whom the body of GET /_session names. */
export function accountOf(session: unknown): { readonly name: unknown; readonly roles: readonly string[] } {
  const context = isObject(session) ? session.userCtx : undefined;
  if (!isObject(context)) return { name: undefined, roles: [] };
  const { name, roles } = context;
  return { name, roles: Array.isArray(roles) ? roles.filter((role) => typeof role === 'string') : [] };
}

const textOf = (value: unknown): string | undefined => (typeof value === 'string' ? value : undefined);

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

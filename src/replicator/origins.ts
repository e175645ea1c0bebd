import type { LookupAddress } from 'node:dns';
import { once } from 'node:events';
import { isIP, type LookupFunction } from 'node:net';
import type { CouchError } from '../errors.js';
import { forbidden } from '../errors.js';
import { bareHost, isGuarded } from './addresses.js';

/** Whom replications may connect to. */
export interface OriginRules {
  /** The only ones, where they are given; with a port, but for that of the scheme. */
  readonly origins?: readonly string[] | undefined;
}

/**
 * Refuses an URL that the user may not name: what a server can reach, not everybody may ask.
 * @throws CouchError 403 with what an admin of the server could do about it
 */
export function requireOrigin(url: string, isAdmin: boolean, { origins }: OriginRules): void {
  const { origin, hostname } = new URL(url);
  const isNamed = origins?.some((one) => new URL(one).origin === origin) ?? false;
  if (isNamed) return;
  if (origins !== undefined || !isAdmin || isGuarded(bareHost(hostname))) throw refusal(origin);
}

const refusal = (origin: string): CouchError =>
  forbidden(
    `Replications may not connect to ${origin}. An admin of the server can add it to replication.origins.`,
  );

/** All addresses of a name, as `dns.lookup` finds them. */
export type Resolve = (hostname: string) => Promise<readonly LookupAddress[]>;

/**
 * Looks names up for connections. The addresses that are looked at are the ones that are used: a name that is resolved
 * otherwise the next time is looked at again. One of many that must not be used spoils all.
 */
export function guardedLookup(resolve: Resolve): LookupFunction {
  return (hostname, options, callback) => {
    resolve(hostname).then(
      (addresses) => {
        const wanted = addresses.filter(
          ({ family }) => !options.family || family === familyOf(options.family),
        );
        const [first] = wanted;
        if (addresses.some(({ address }) => isGuarded(address))) callback(refusedAddress(hostname), []);
        else if (first === undefined) callback(notFound(hostname), []);
        else if (options.all) callback(null, [...wanted]);
        else callback(null, first.address, first.family);
      },
      (error: unknown) => callback(error as NodeJS.ErrnoException, []),
    );
  };
}

const familyOf = (family: number | 'IPv4' | 'IPv6'): number =>
  family === 'IPv4' ? 4 : family === 'IPv6' ? 6 : family;

/**
 * Looks before a replication begins, which would try again and again.
 * @param signal ends the wait: a resolver that does not answer takes long to give up
 * @throws CouchError 403, the reason of `signal`
 */
export async function requireAddresses(url: string, resolve: Resolve, signal: AbortSignal): Promise<void> {
  const { hostname, origin } = new URL(url);
  if (isIP(bareHost(hostname)) !== 0) return;
  // A name that is not known may be later on: whoever connects is told.
  const addresses = await unlessAborted(
    resolve(hostname).catch(() => []),
    signal,
  );
  if (addresses.some(({ address }) => isGuarded(address)))
    throw forbidden(
      `${origin} leads to a link-local address, with which replications may connect only where it stands in replication.origins itself.`,
    );
}

async function unlessAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  signal.throwIfAborted();
  const waited = new AbortController();
  const aborted = once(signal, 'abort', { signal: waited.signal }).then(() => {
    throw signal.reason;
  });
  try {
    return await Promise.race([work, aborted]);
  } finally {
    aborted.catch(() => undefined);
    waited.abort();
  }
}

/** What a connection fails with whose name leads to an address that has to be named itself. */
export class AddressRefused extends Error {
  override readonly name = 'AddressRefused';
  readonly code = 'EACCES';
}

const refusedAddress = (hostname: string): AddressRefused =>
  new AddressRefused(`${hostname} is a name of a link-local address`);

const notFound = (hostname: string): NodeJS.ErrnoException =>
  Object.assign(new Error(`${hostname} has no address`), { code: 'ENOTFOUND' });

/**
 * Whether a request may be sent on from one URL to another: what it carries is for the server that was named. That has
 * it send again by HTTPS is common.
 */
export function mayFollow(from: string, to: URL, isAdmin: boolean, rules: OriginRules): boolean {
  const { hostname, origin, protocol } = new URL(from);
  if (to.username !== '' || to.password !== '' || to.hostname !== hostname) return false;
  if (to.origin === origin) return true;
  if (protocol !== 'http:' || to.protocol !== 'https:' || to.port !== '') return false;
  try {
    requireOrigin(to.href, isAdmin, rules);
    return true;
  } catch {
    return false;
  }
}

import { hash } from 'node:crypto';
import { isServerAdmin } from '../auth/usercontext.js';
import type { Authority, Standing, UserThere } from '../auth/elsewhere/authority.js';
import { CouchError, upstreamAway } from '../errors.js';
import { isMissing } from '../replication/http/peer.js';
import { accountOf } from './probe.js';
import type { Upstream } from './upstream.js';

/** Longer than this nobody waits at the door, in milliseconds. */
const PATIENCE = 10_000;
/** Seconds after which it may be worth a try to ask again. */
const SOON = 5;

/** What the upstream says of people. */
export class PeopleThere implements Authority {
  constructor(private readonly upstream: Pick<Upstream, 'url' | 'roles' | 'ask' | 'askPlainly'>) {}

  get source(): string | undefined {
    return this.upstream.url;
  }

  async standingOf(name: string, password: Buffer, address: string): Promise<Standing | undefined> {
    const credentials = Buffer.concat([Buffer.from(`${name}:`), password]);
    const headers = { authorization: `Basic ${credentials.toString('base64')}`, 'x-forwarded-for': address };
    let session;
    try {
      session = await this.upstream.askPlainly({ method: 'GET', path: '_session', headers, ...patience() });
    } catch (error) {
      if (isStatus(error, 401) && error.error === 'unauthorized') return undefined;
      throw unclear(error);
    }
    const account = accountOf(session);
    // A server that does not know how to say who asks says nothing of anybody.
    if (account.name === undefined) throw upstreamAway(SOON);
    // Who is somebody else there is not who logs in here.
    return account.name === name ? { roles: account.roles.filter(isOfPeople) } : undefined;
  }

  async documentOf(name: string): Promise<UserThere | 'missing' | 'unknown'> {
    const { roles } = this.upstream;
    if (roles === undefined) throw upstreamAway(SOON);
    if (!isServerAdmin({ name: null, roles })) return 'unknown';
    const path = `_users/${encodeURIComponent(`org.couchdb.user:${name.toWellFormed()}`)}`;
    try {
      return userIn(await this.upstream.ask({ method: 'GET', path, ...patience() }));
    } catch (error) {
      // Whoever may read them all is refused for a moment, or is nobody of that kind any more, which the link finds out.
      if (isMissing(error)) return 'missing';
      throw unclear(error);
    }
  }

  async requireThere(): Promise<void> {
    try {
      await this.upstream.askPlainly({ method: 'GET', path: '', ...patience() });
    } catch (error) {
      // Whatever it has against the question, it is there.
      if (!(error instanceof CouchError) || error.status >= 500) throw unclear(error);
    }
  }
}

const patience = (): { signal: AbortSignal } => ({ signal: AbortSignal.timeout(PATIENCE) });

/** What a server gives itself, `_admin` above all, is nobody's here. */
const isOfPeople = (role: string): boolean => !role.startsWith('_');

const isStatus = (error: unknown, status: number): error is CouchError =>
  error instanceof CouchError && error.status === status;

/** Whatever else it answers, such as that it had too many wrong passwords, does not say who somebody is. */
const unclear = (error: unknown): unknown =>
  error instanceof CouchError ? upstreamAway(Math.ceil(error.retryAfter ?? SOON)) : error;

function userIn(document: unknown): UserThere | 'unknown' {
  if (typeof document !== 'object' || document === null) return 'unknown';
  const { roles, salt, derived_key: key, password_sha: former } = document as Record<string, unknown>;
  return {
    roles: Array.isArray(roles) ? roles.filter((role) => typeof role === 'string').filter(isOfPeople) : [],
    mark: hash('sha256', JSON.stringify([salt, key, former]), 'base64url'),
  };
}

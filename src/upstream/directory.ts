import { defaultSecurity, parseSecurity, type SecurityObject } from '../auth/security.js';
import { CouchError, databaseMissing, upstreamAway } from '../errors.js';
import type { HttpRequest } from '../replication/http/client.js';
import { isMissing } from '../replication/http/peer.js';
import { surely } from './surely.js';

/** Asks the upstream as the account of the gateway. @throws CouchError */
export type Ask = (request: HttpRequest) => Promise<unknown>;

/** How long an answer counts, in milliseconds. */
const FRESH = 5000;
/** What says for a moment nothing of who may do what. */
const UNSAID = new Set([404, 408, 413, 425, 429]);
/** Seconds after which it may be worth a try to ask again. */
const SOON = 5;
/** Security objects that are remembered. */
const MOST = 10_000;

interface Kept<T> {
  readonly at: number;
  readonly value: Promise<T>;
}

/** What the upstream says of its databases, for a few seconds each. */
export class Directory {
  /** The oldest first. */
  readonly #security = new Map<string, Kept<SecurityObject>>();
  /** Databases whose security objects the account may not know. */
  readonly #closed = new Set<string>();
  #names: Kept<readonly string[]> | undefined;
  #known: readonly string[] = [];

  constructor(
    private readonly ask: Ask,
    private readonly signal: AbortSignal,
  ) {}

  /**
   * Who has which rights in a database: server admins alone, where the account may not know.
   * @throws CouchError 404 where there is none, 502 and 503 where the upstream is away
   */
  securityOf(name: string): Promise<SecurityObject> {
    const kept = this.#security.get(name);
    if (kept !== undefined && performance.now() - kept.at < FRESH) return kept.value;
    this.#security.delete(name);
    const [oldest] = this.#security.keys();
    if (oldest !== undefined && this.#security.size >= MOST) this.#security.delete(oldest);
    const value = this.#readSecurity(name);
    const entry = { at: performance.now(), value };
    this.#security.set(name, entry);
    value.catch(() => {
      if (this.#security.get(name) === entry) this.#security.delete(name);
    });
    return value;
  }

  /** Something about a database, or its being there, was changed. */
  forget(name: string): void {
    this.#security.delete(name);
    this.#names = undefined;
  }

  /** The names of all databases; those known last where the upstream does not say. */
  async names(): Promise<readonly string[]> {
    if (this.#names === undefined || performance.now() - this.#names.at >= FRESH)
      this.#names = { at: performance.now(), value: this.#readNames() };
    return this.#names.value;
  }

  async #readSecurity(name: string): Promise<SecurityObject> {
    const read = (): Promise<SecurityObject | undefined> => this.#askSecurity(name);
    // Clients that are refused for a moment may not come back.
    const security = this.#closed.has(name)
      ? await read()
      : await surely(read, (found) => found === undefined, this.signal);
    if (security !== undefined) this.#closed.delete(name);
    else if (this.#closed.size < MOST) this.#closed.add(name);
    return security ?? defaultSecurity;
  }

  /** Undefined where the account may not know it. @throws CouchError */
  async #askSecurity(name: string): Promise<SecurityObject | undefined> {
    try {
      return parseSecurity(await this.#get(`${encodeURIComponent(name)}/_security`));
    } catch (error) {
      if (!(error instanceof CouchError)) throw error;
      if (isMissing(error)) throw databaseMissing();
      if (UNSAID.has(error.status)) throw upstreamAway(Math.ceil(error.retryAfter ?? SOON));
      if (error.status >= 500) throw error;
      return undefined;
    }
  }

  async #readNames(): Promise<readonly string[]> {
    try {
      this.#known = await listed(this.ask, this.signal);
    } catch (error) {
      if (!(error instanceof CouchError)) throw error;
    }
    return this.#known;
  }

  #get(path: string): Promise<unknown> {
    return this.ask({ method: 'GET', path, signal: this.signal });
  }
}

/** The names of all databases that somebody may see; none where they may see none. */
export async function namesFrom(ask: Ask, signal: AbortSignal): Promise<readonly string[]> {
  try {
    return await listed(ask, signal);
  } catch (error) {
    if (error instanceof CouchError) return [];
    throw error;
  }
}

async function listed(ask: Ask, signal: AbortSignal): Promise<readonly string[]> {
  const names = await ask({ method: 'GET', path: '_all_dbs', signal });
  return Array.isArray(names) ? names.filter((name) => typeof name === 'string') : [];
}

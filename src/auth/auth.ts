import type { Logger } from 'pino';
import { unauthorized, type CouchError } from '../errors.js';
import { Admins, type Account, type Accounts } from './accounts.js';
import { parseBasic } from './basic.js';
import { Credentials } from './credentials.js';
import { readSession, Sessions, type SessionOptions } from './sessions.js';
import { anonymous, type UserContext } from './usercontext.js';

/** The ways to authenticate, in the order in which they are tried; `default` is HTTP Basic. */
const HANDLERS = ['cookie', 'default'] as const;

export type AuthMethod = (typeof HANDLERS)[number];

/** The headers of a request that say who asks. */
export interface AuthHeaders {
  readonly authorization?: string | undefined;
  readonly cookie?: string | undefined;
}

export interface AuthResult {
  readonly user: UserContext;
  /** `undefined` when there were no credentials. */
  readonly method: AuthMethod | undefined;
  /** A Set-Cookie header that prolongs the session; not to be sent where the answer sets that cookie itself. */
  readonly renewedCookie?: string;
}

/** What POST /_session does: the answer sets `cookie` in both cases. */
export type LoginResult =
  | { readonly ok: true; readonly user: UserContext; readonly cookie: string }
  | { readonly ok: false; readonly error: CouchError; readonly cookie: string };

/** The body of GET /_session. */
export interface SessionInfo {
  readonly ok: true;
  readonly userCtx: { readonly name: string | null; readonly roles: readonly string[] };
  readonly info: { readonly authentication_handlers: readonly string[]; readonly authenticated?: AuthMethod };
}

export interface AuthOptions extends SessionOptions {
  /** Hashed passwords by name. */
  readonly admins: ReadonlyMap<string, string> | Readonly<Record<string, string>>;
  readonly log: Pick<Logger, 'warn'>;
}

/** Finds out who sent a request. What they may do is decided by `requireRight`. */
export class Auth {
  readonly #accounts: Accounts;
  readonly #credentials: Credentials;
  readonly #sessions: Sessions;
  readonly #log: Pick<Logger, 'warn'>;

  private constructor(accounts: Accounts, options: AuthOptions) {
    this.#accounts = accounts;
    this.#credentials = new Credentials(accounts);
    this.#sessions = new Sessions(options);
    this.#log = options.log;
  }

  /** @throws if an admin's password is not hashed or the secret is empty. */
  static open(options: AuthOptions): Auth {
    const { admins } = options;
    return new Auth(new Admins(admins instanceof Map ? admins : Object.entries(admins)), options);
  }

  /**
   * Who sent a request with these headers. A session that has ended or is not genuine counts as none.
   * @param secure whether the request came over TLS; a cookie is then for TLS only.
   * @throws CouchError 401 for a wrong name or password, 400 for headers that cannot be read, 503 when too many
   * passwords wait to be checked.
   */
  async authenticate(headers: AuthHeaders, secure = false): Promise<AuthResult> {
    const session = this.#fromCookie(headers.cookie, secure);
    if (session) return session;
    const basic = parseBasic(headers.authorization);
    if (!basic) return { user: anonymous, method: undefined };
    const account = await this.#check(basic.name, basic.password);
    if (!account) throw wrongCredentials();
    return { user: account.user, method: 'default' };
  }

  /** Begins a session. @throws CouchError 503 when too many passwords wait to be checked. */
  async login(name: string, password: string, secure = false): Promise<LoginResult> {
    const account = await this.#check(name, Buffer.from(password));
    if (!account) return { ok: false, error: wrongCredentials(), cookie: this.#sessions.clear(secure) };
    return {
      ok: true,
      user: account.user,
      cookie: this.#sessions.issue(name, account.password.salt, secure),
    };
  }

  /** The Set-Cookie header that ends a session. */
  logout(secure = false): string {
    return this.#sessions.clear(secure);
  }

  sessionInfo({ user, method }: Pick<AuthResult, 'user' | 'method'>): SessionInfo {
    return {
      ok: true,
      userCtx: { name: user.name, roles: user.roles },
      info: { authentication_handlers: HANDLERS, ...(method && { authenticated: method }) },
    };
  }

  #fromCookie(header: string | undefined, secure: boolean): AuthResult | undefined {
    const claim = readSession(header);
    if (!claim) return undefined;
    const account = this.#accounts.find(claim.name);
    // Verified even for unknown names, which would be recognised by their faster answer.
    const left = this.#sessions.verify(claim, account?.password.salt ?? '');
    if (!account || left === undefined) return undefined;
    const { user, password } = account;
    if (!this.#sessions.isDue(left)) return { user, method: 'cookie' };
    return { user, method: 'cookie', renewedCookie: this.#sessions.issue(user.name, password.salt, secure) };
  }

  async #check(name: string, password: Buffer): Promise<Account | undefined> {
    const account = await this.#credentials.check(name, password);
    if (!account) this.#log.warn({ user: name.slice(0, 128) }, 'authentication failed');
    return account;
  }
}

function wrongCredentials(): CouchError {
  return unauthorized('Name or password is incorrect.');
}

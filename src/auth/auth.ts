import type { Logger } from 'pino';
import type { Config } from '../config/schema.js';
import { forbidden, unauthorized, type CouchError } from '../errors.js';
import {
  Admins,
  People,
  type Account,
  type AccountOrNone,
  type Accounts,
  type UserAccounts,
} from './accounts.js';
import { type BasicCredentials, parseBasic } from './basic.js';
import { Credentials } from './credentials.js';
import { Jwt } from './jwt.js';
import { Lockout } from './lockout.js';
import type { PasswordHash } from './password.js';
import { TrustedProxy } from './proxy.js';
import { readSession, type SessionClaim, Sessions } from './sessions.js';
import { fitsTotp, type Totp } from './totp.js';
import type { UpstreamAccounts } from './elsewhere/accounts.js';
import { anonymous, type UserContext } from './usercontext.js';

/** A way to authenticate; `default` is HTTP Basic. */
export type AuthMethod = Config['auth']['handlers'][number];

/** The headers of a request, by their names in lower case. */
export interface AuthHeaders {
  readonly authorization?: string | undefined;
  readonly cookie?: string | undefined;
  readonly [name: string]: string | readonly string[] | undefined;
}

/** Where a request came from. */
export interface Client {
  /** Whether the client used TLS; a cookie is then for TLS only. */
  readonly secure: boolean;
  /** Stands for whoever sent it. */
  readonly address: string;
  /** The whole address that it came from; the same when left out. */
  readonly source?: string;
}

export interface AuthResult {
  readonly user: UserContext;
  /** `undefined` when there were no credentials. */
  readonly method: AuthMethod | undefined;
  /** A Set-Cookie header that prolongs the session; not to be sent where the answer sets that cookie itself. */
  readonly renewedCookie?: string;
}

/** What POST /_session takes. */
export interface Login {
  readonly name: string;
  readonly password: string;
  /** The code of an authenticator app. */
  readonly token?: string;
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

export interface AuthOptions {
  /** Signs the cookies. */
  readonly secret: string | Buffer;
  /** Read at each use: it may change. */
  readonly config: Pick<Config, 'auth' | 'jwt' | 'proxy' | 'session' | 'passwords' | 'lockout'>;
  /** Hashed passwords by name. */
  readonly admins: ReadonlyMap<string, string> | Readonly<Record<string, string>>;
  readonly users?: Users;
  /** Where people are looked for whom nobody here knows. */
  readonly elsewhere?: Elsewhere;
  readonly log: Pick<Logger, 'warn'>;
}

/** The documents of `_users`, as far as logging in goes. */
export interface Users extends UserAccounts {
  /** Hashes the password of somebody who has just logged in anew. @returns the new hash; undefined where none is due */
  upgrade(account: Account, password: Buffer): Promise<PasswordHash | undefined> | undefined;
}

/** The accounts of the upstream. */
export type Elsewhere = Pick<UpstreamAccounts, 'mayKnow' | 'check' | 'find' | 'confirm'>;

/** Whom the headers name in one of the ways; undefined where they name nobody in this way. */
type Handler = (headers: AuthHeaders, client: Client) => Found | Promise<Found>;

type Found = AuthResult | undefined;

const NO_USERS: Users = { find: () => undefined, upgrade: () => undefined };

/** Finds out who sent a request. What they may do is decided by `requireRight`. */
export class Auth {
  readonly #admins: Admins;
  readonly #accounts: Accounts;
  readonly #users: Users;
  readonly #elsewhere: Elsewhere | undefined;
  readonly #credentials: Credentials;
  readonly #sessions: Sessions;
  readonly #lockout: Lockout;
  readonly #jwt: Jwt;
  readonly #proxy: TrustedProxy;
  readonly #handlers: Readonly<Record<AuthMethod, Handler>> = {
    cookie: ({ cookie }, client) => this.#fromCookie(cookie, client),
    default: ({ authorization }, client) => this.#fromBasic(authorization, client),
    jwt: ({ authorization }) => this.#fromToken(authorization),
    proxy: (headers, client) => this.#fromProxy(headers, client),
  };
  readonly #config: AuthOptions['config'];
  readonly #log: Pick<Logger, 'warn'>;

  private constructor(admins: Admins, { config, secret, users = NO_USERS, elsewhere, log }: AuthOptions) {
    this.#admins = admins;
    this.#users = users;
    this.#elsewhere = elsewhere;
    this.#accounts = new People(admins, users, () => config.passwords);
    this.#credentials = new Credentials(this.#accounts);
    this.#sessions = new Sessions(secret, () => config.session);
    this.#lockout = new Lockout(() => config.lockout);
    this.#jwt = new Jwt(config.jwt);
    this.#proxy = new TrustedProxy(() => config.proxy, log);
    this.#config = config;
    this.#log = log;
  }

  /** @throws if an admin's password is not hashed or the secret is empty. */
  static open(options: AuthOptions): Auth {
    const { admins } = options;
    return new Auth(new Admins(admins instanceof Map ? admins : Object.entries(admins)), options);
  }

  /** From now on there are these admins. @throws as `open` does; nothing changes then */
  setAdmins(admins: Readonly<Record<string, string>>): void {
    this.#admins.replace(Object.entries(admins));
  }

  /** From now on these keys and claims of tokens count. */
  setJwt(jwt: Config['jwt']): void {
    this.#jwt.replace(jwt);
  }

  /**
   * Who sent a request with these headers: the first way that names somebody counts. A session that has ended or is not
   * genuine counts as none, and so does what a proxy says with a wrong token.
   * @throws CouchError 401 for a wrong name or password, 403 after too many of them, 400, 401 or 404 for a JSON Web
   * Token that does not let in, 400 for headers that cannot be read, 503 when too many passwords wait to be checked.
   */
  async authenticate(headers: AuthHeaders, client: Client): Promise<AuthResult> {
    for (const method of this.#config.auth.handlers) {
      const answer = this.#handlers[method](headers, client);
      const found = answer instanceof Promise ? await answer : answer;
      if (found !== undefined) return found;
    }
    return { user: anonymous, method: undefined };
  }

  /** Who an account is now; undefined where it is gone, or lets nobody in. @throws CouchError where the store fails */
  async accountOf(name: string): Promise<UserContext | undefined> {
    const account = (await this.#accounts.find(name)) ?? (await this.#elsewhere?.confirm(name));
    return account?.refusal === undefined ? account?.user : undefined;
  }

  /** Begins a session. @throws CouchError 403 after too many wrong passwords, 503 when too many wait to be checked. */
  async login({ name, password, token = '' }: Login, client: Client): Promise<LoginResult> {
    const account = await this.#check(name, Buffer.from(password), client, (totp) => fitsTotp(totp, token));
    if (account?.password === undefined) {
      return { ok: false, error: wrongCredentials(), cookie: this.#sessions.clear(client.secure) };
    }
    const cookie = this.#sessions.issue(name, account.password.salt, client.secure);
    return { ok: true, user: account.user, cookie };
  }

  /** The Set-Cookie header that ends a session. */
  logout(client: Client): string {
    return this.#sessions.clear(client.secure);
  }

  sessionInfo({ user, method }: Pick<AuthResult, 'user' | 'method'>): SessionInfo {
    return {
      ok: true,
      userCtx: { name: user.name, roles: user.roles },
      info: { authentication_handlers: this.#config.auth.handlers, ...(method && { authenticated: method }) },
    };
  }

  #fromBasic(header: string | undefined, client: Client): Found | Promise<Found> {
    const basic = parseBasic(header);
    return basic && this.#withPassword(basic, client);
  }

  async #withPassword({ name, password }: BasicCredentials, client: Client): Promise<AuthResult> {
    // A code cannot be sent this way.
    const account = await this.#check(name, password, client, () => false);
    if (account === undefined) throw wrongCredentials();
    return { user: account.user, method: 'default' };
  }

  async #fromToken(header: string | undefined): Promise<Found> {
    const user = await this.#jwt.authenticate(header);
    return user && { user, method: 'jwt' };
  }

  #fromProxy(headers: AuthHeaders, client: Client): Found {
    const user = this.#proxy.authenticate(headers, client);
    return user && { user, method: 'proxy' };
  }

  #fromCookie(header: string | undefined, client: Client): Found | Promise<Found> {
    const claim = readSession(header);
    if (claim === undefined) return undefined;
    const found = this.#accounts.find(claim.name);
    if (!(found instanceof Promise)) return this.#sessionIn(claim, found, client);
    return found.then((account) => this.#sessionIn(claim, account, client));
  }

  #sessionIn(claim: SessionClaim, account: AccountOrNone, client: Client): Found | Promise<Found> {
    return account === undefined && this.#elsewhere?.mayKnow(claim.name) === true
      ? this.#sessionElsewhere(this.#elsewhere, claim, client)
      : this.#sessionOf(claim, account, client);
  }

  async #sessionElsewhere(elsewhere: Elsewhere, claim: SessionClaim, client: Client): Promise<Found> {
    // Nobody is asked about sessions that were not begun here.
    const found = this.#sessionOf(claim, await elsewhere.find(claim.name), client);
    const account = found && (await elsewhere.confirm(claim.name));
    // Another password may have come to be known meanwhile.
    return account && this.#sessionOf(claim, account, client);
  }

  #sessionOf(claim: SessionClaim, account: AccountOrNone, client: Client): Found {
    // Verified even for unknown names, which would be recognised by their faster answer.
    const left = this.#sessions.verify(claim, account?.password?.salt ?? '');
    if (account?.password === undefined || left === undefined) return undefined;
    const { user, password, refusal } = account;
    if (refusal) throw refusal;
    if (!this.#sessions.isDue(left)) return { user, method: 'cookie' };
    const renewedCookie = this.#sessions.issue(user.name, password.salt, client.secure);
    return { user, method: 'cookie', renewedCookie };
  }

  /**
   * The account whose password this is.
   * @param codeFits asked where a code is needed, too; a wrong one is not told from a wrong password
   * @throws CouchError
   */
  async #check(
    name: string,
    password: Buffer,
    client: Client,
    codeFits: (totp: Totp | undefined) => boolean,
  ): Promise<Account | undefined> {
    const found = this.#accounts.find(name);
    const known = found instanceof Promise ? await found : found;
    if (known === undefined && this.#elsewhere?.mayKnow(name) === true)
      return this.#checkElsewhere(this.#elsewhere, name, password, client);
    const salt = known?.password?.salt ?? '';
    this.#refuseLocked(name, salt, client);
    const account = known?.secondFactor && !codeFits(known.secondFactor.totp) ? undefined : known;
    const { counted } = this.#lockout;
    const fits = await this.#credentials.check(name, password, account, client);
    // Of guesses that come at once, no more are answered than of those in turn.
    if (this.#lockout.counted !== counted) this.#refuseLocked(name, salt, client);
    if (!fits) this.#failed(name, salt, client);
    // One whose password cannot be checked is told why; so is whoever knows the password.
    if (account?.refusal && (fits || account.password === undefined)) throw account.refusal;
    if (!fits || account === undefined) return undefined;
    this.#upgrade(account, password);
    return account;
  }

  /** What is wrong here is not shown to anybody else. @throws CouchError */
  async #checkElsewhere(
    elsewhere: Elsewhere,
    name: string,
    password: Buffer,
    client: Client,
  ): Promise<Account | undefined> {
    this.#refuseLocked(name, '', client);
    const { counted } = this.#lockout;
    const account = await elsewhere.check(name, password, client);
    if (this.#lockout.counted !== counted) this.#refuseLocked(name, '', client);
    if (account === undefined) this.#failed(name, '', client);
    return account;
  }

  /** @throws CouchError 403 after too many failures */
  #refuseLocked(name: string, salt: string, client: Client): void {
    // What the address is takes longer to find out than everything else here.
    if (this.#lockout.isEmpty || this.#config.lockout.mode !== 'enforce') return;
    if (this.#lockout.reached(client.address, name, salt)) throw locked();
  }

  /** What is refused afterwards is not logged: whoever guesses on would fill the disk, at no cost. */
  #failed(name: string, salt: string, { address }: Client): void {
    const user = name.slice(0, MAX_LOGGED);
    this.#log.warn({ user, address }, 'authentication failed');
    if (!this.#lockout.failed(address, name, salt)) return;
    const { mode, lifetime } = this.#config.lockout;
    this.#log.warn({ user, address, mode, lifetime }, 'too many failed authentications');
  }

  /** Nobody waits for that. */
  #upgrade(account: Account, password: Buffer): void {
    this.#users.upgrade(account, password)?.then(
      (hash) => hash && this.#credentials.learn(account.user.name, password, hash),
      (error: unknown) => this.#log.warn({ err: error }, 'a password could not be hashed anew'),
    );
  }
}

/** Characters of a name that are logged. */
const MAX_LOGGED = 128;

const locked = (): CouchError =>
  forbidden('Account is temporarily locked due to multiple authentication failures');

function wrongCredentials(): CouchError {
  return unauthorized('Name or password is incorrect.');
}

import type { CouchError } from '../errors.js';
import { decoyOf, parseHash, type HashTarget, type PasswordHash } from './password.js';
import type { Totp } from './totp.js';
import type { UserContext } from './usercontext.js';

/** Somebody who can log in. */
export interface Account {
  readonly user: UserContext & { readonly name: string };
  /** Undefined where nobody can check the password: then nobody logs in with it. */
  readonly password: PasswordHash | undefined;
  /** Why even the right password does not let in; told only to those who know it, where it can be checked. */
  readonly refusal?: CouchError | undefined;
  /** A code is asked for besides the password; where there is none in it, no code fits. */
  readonly secondFactor?: { readonly totp: Totp | undefined } | undefined;
  /** The revision of the user's document; undefined for server admins. */
  readonly rev?: string;
}

export type AccountOrNone = Account | undefined;

/** Where accounts are looked up. */
export interface Accounts {
  /** At once where it is known already. @throws CouchError where the store fails */
  find(name: string): AccountOrNone | Promise<AccountOrNone>;
  /** A hash to check instead, when nobody has this name: an answer must not show by its time whether somebody has. */
  decoy(): PasswordHash;
}

/** The server admins of the configuration. */
export class Admins {
  #accounts = new Map<string, Account>();

  /** @throws if a name or a hash cannot be used; the message names the admin and does not show the password. */
  constructor(admins: Iterable<readonly [name: string, hashed: string]>) {
    this.replace(admins);
  }

  /** From now on there are these. @throws as the constructor does; nothing changes then */
  replace(admins: Iterable<readonly [name: string, hashed: string]>): void {
    const accounts = new Map<string, Account>();
    for (const [name, hashed] of admins) {
      // Neither HTTP Basic nor a session cookie can say such a name.
      if (name === '' || name.includes(':'))
        throw new Error(`${JSON.stringify(name)} cannot be the name of an admin`);
      const password = parseHash(hashed);
      if (!password) throw new Error(`the password of admin ${JSON.stringify(name)} is not a valid hash`);
      const user = Object.freeze({ name, roles: Object.freeze(['_admin']) });
      accounts.set(name, { user, password });
    }
    this.#accounts = accounts;
  }

  find(name: string): AccountOrNone {
    return this.#accounts.get(name);
  }
}

/** Where the accounts of users come from: the documents of `_users`. */
export interface UserAccounts {
  find(name: string): AccountOrNone | Promise<AccountOrNone>;
}

/** The server admins and the users. An admin's name is the admin's: a user of that name only adds roles. */
export class People implements Accounts {
  constructor(
    private readonly admins: Admins,
    private readonly users: UserAccounts,
    private readonly target: () => HashTarget,
  ) {}

  find(name: string): AccountOrNone | Promise<AccountOrNone> {
    const admin = this.admins.find(name);
    return admin === undefined ? this.users.find(name) : this.#withRoles(admin);
  }

  /** An admin gets in, too, where the database of the users cannot be read. */
  #withRoles(admin: Account): Account | Promise<Account> {
    try {
      const user = this.users.find(admin.user.name);
      if (!(user instanceof Promise)) return withRoles(admin, user);
      return user.then(
        (found) => withRoles(admin, found),
        () => admin,
      );
    } catch {
      return admin;
    }
  }

  decoy(): PasswordHash {
    return decoyOf(this.target());
  }
}

function withRoles(admin: Account, user: AccountOrNone): Account {
  if (user === undefined || user.user.roles.length === 0) return admin;
  const { name, roles } = admin.user;
  return { ...admin, user: { name, roles: [...roles, ...user.user.roles] } };
}

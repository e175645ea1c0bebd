import { createHmac, randomBytes } from 'node:crypto';
import { DEFAULT_ITERATIONS, decoyOf, parseHash, type PasswordHash } from './password.js';
import type { UserContext } from './usercontext.js';

/** Somebody who can log in. */
export interface Account {
  readonly user: UserContext & { readonly name: string };
  readonly password: PasswordHash;
}

/** Where accounts are looked up. */
export interface Accounts {
  find(name: string): Account | undefined;
  /** A hash to check instead, when nobody has this name: an answer must not show by its time whether somebody has. */
  decoy(name: string): PasswordHash;
}

/** The server admins of the configuration. */
export class Admins implements Accounts {
  readonly #accounts = new Map<string, Account>();
  readonly #decoys: readonly PasswordHash[];
  readonly #decoyKey = randomBytes(32);

  /** @throws if a name or a hash cannot be used; the message names the admin and does not show the password. */
  constructor(admins: Iterable<readonly [name: string, hashed: string]>) {
    for (const [name, hashed] of admins) {
      // Neither HTTP Basic nor a session cookie can say such a name.
      if (name === '' || name.includes(':'))
        throw new Error(`${JSON.stringify(name)} cannot be the name of an admin`);
      const password = parseHash(hashed);
      if (!password) throw new Error(`the password of admin ${JSON.stringify(name)} is not a valid hash`);
      const user = Object.freeze({ name, roles: Object.freeze(['_admin']) });
      this.#accounts.set(name, { user, password });
    }
    const decoys = [...this.#accounts.values()].map((account) => decoyOf(account.password));
    this.#decoys = decoys.length > 0 ? decoys : [lonelyDecoy()];
  }

  find(name: string): Account | undefined {
    return this.#accounts.get(name);
  }

  /** Always the same one of the real costs for a name, as if it were an account: admins may be hashed differently. */
  decoy(name: string): PasswordHash {
    const pick = createHmac('sha256', this.#decoyKey).update(name).digest().readUInt32BE(0);
    return this.#decoys[pick % this.#decoys.length] ?? lonelyDecoy();
  }
}

function lonelyDecoy(): PasswordHash {
  const salt = randomBytes(16).toString('hex');
  return { text: '', scheme: 'sha256', key: randomBytes(32), salt, iterations: DEFAULT_ITERATIONS };
}

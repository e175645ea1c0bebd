import { hash, randomBytes } from 'node:crypto';
import type { Account, Accounts } from './accounts.js';
import { verifyPassword } from './password.js';

interface Check {
  readonly hashed: string;
  readonly fits: Promise<boolean>;
}

/**
 * Checks names and passwords, and remembers those that fit, so that the slow hash is paid once for each and not for
 * every request. What is remembered is a keyed hash; the key is made here and never leaves.
 *
 * Failures are not remembered: every wrong password costs a hash, and so does every unknown name.
 */
export class Credentials {
  readonly #key = randomBytes(32).toString('hex');
  /** Keyed hash of name and password to the hashed password that it fitted, the least recently used first. */
  readonly #known = new Map<string, string>();
  /** What is being checked now: a client that opens several connections at once pays one hash. */
  readonly #checks = new Map<string, Check>();

  constructor(
    private readonly accounts: Accounts,
    private readonly capacity = 10_000,
  ) {}

  /** The account, or `undefined` if there is none of that name or the password is wrong. */
  async check(name: string, password: Buffer): Promise<Account | undefined> {
    const id = this.#identify(name, password);
    const account = this.accounts.find(name);
    if (account && this.#remembers(id, account)) return account;
    const fits = await this.#verify(id, name, password, account);
    if (!fits || !account) return undefined;
    // The password may have been changed while the old one was checked.
    if (this.accounts.find(name)?.password.text !== account.password.text) return undefined;
    this.#remember(id, account);
    return account;
  }

  #identify(name: string, password: Buffer): string {
    // The length keeps "a:" + "b" and "a" + ":b" apart. A keyed hash of its own would cost four times as much.
    const secret = `${this.#key}${String(name.length)}:${name}${password.toString('latin1')}`;
    return hash('sha256', secret, 'base64url');
  }

  #remembers(id: string, account: Account): boolean {
    const hashed = this.#known.get(id);
    if (hashed === undefined) return false;
    this.#known.delete(id);
    if (hashed !== account.password.text) return false;
    this.#known.set(id, hashed);
    return true;
  }

  #remember(id: string, account: Account): void {
    this.#known.set(id, account.password.text);
    if (this.#known.size <= this.capacity) return;
    for (const oldest of this.#known.keys()) {
      this.#known.delete(oldest);
      break;
    }
  }

  async #verify(id: string, name: string, password: Buffer, account: Account | undefined): Promise<boolean> {
    const hash = account?.password ?? this.accounts.decoy(name);
    const running = this.#checks.get(id);
    if (running?.hashed === hash.text) return running.fits;
    const check: Check = { hashed: hash.text, fits: verifyPassword(password, hash) };
    this.#checks.set(id, check);
    try {
      return await check.fits;
    } finally {
      if (this.#checks.get(id) === check) this.#checks.delete(id);
    }
  }
}

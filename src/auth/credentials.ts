import type { Account, Accounts } from './accounts.js';
import { KnownPasswords } from './known.js';
import { type PasswordHash, verifyPassword } from './password.js';

interface Client {
  readonly address: string;
}

const NOBODY: Client = { address: '' };

interface Check {
  readonly hashed: string;
  readonly fits: Promise<boolean>;
}

/**
 * Checks names and passwords, and remembers those that fit.
 *
 * Failures are not remembered: every wrong password costs a hash, and so does every unknown name.
 */
export class Credentials {
  readonly #known: KnownPasswords;
  /** What is being checked now: a client that opens several connections at once pays one hash. */
  readonly #checks = new Map<string, Check>();

  constructor(
    private readonly accounts: Accounts,
    capacity?: number,
  ) {
    this.#known = new KnownPasswords(capacity);
  }

  /**
   * Whether the password is the account's. Takes as long where there is none.
   * @param account of this name, as it is now
   * @param client whose address stands for who asks; to find it out takes a while
   * @throws CouchError 503 when too many passwords wait to be checked
   */
  async check(
    name: string,
    password: Buffer,
    account: Account | undefined,
    client: Client = NOBODY,
  ): Promise<boolean> {
    const hashed = account?.password?.text;
    const id = this.#known.identify(name, password);
    if (hashed !== undefined && this.#known.has(id, hashed)) return true;
    const fits = await this.#verify(id, password, account?.password, client);
    if (!fits || hashed === undefined) return false;
    // The password may have been changed while the old one was checked.
    const now = await this.accounts.find(name);
    if (now?.password?.text !== hashed) return false;
    this.#known.add(id, hashed);
    return true;
  }

  /** The password fits another hash, too: the stored one was made anew. */
  learn(name: string, password: Buffer, hash: PasswordHash): void {
    this.#known.add(this.#known.identify(name, password), hash.text);
  }

  async #verify(
    id: string,
    password: Buffer,
    own: PasswordHash | undefined,
    client: Client,
  ): Promise<boolean> {
    const decoy = this.accounts.decoy();
    const hash = own ?? decoy;
    const running = this.#checks.get(id);
    if (running?.hashed === hash.text) return running.fits;
    const check: Check = { hashed: hash.text, fits: verifyAtCost(password, hash, decoy, client.address) };
    this.#checks.set(id, check);
    try {
      return await check.fits;
    } finally {
      if (this.#checks.get(id) === check) this.#checks.delete(id);
    }
  }
}

/** Whether a password fits. One that does not takes as long as an unknown name, though its hash is a cheaper one. */
export async function verifyAtCost(
  password: Buffer,
  hash: PasswordHash,
  decoy: PasswordHash,
  client: string,
): Promise<boolean> {
  if (await verifyPassword(password, hash, client)) return true;
  const iterations = decoy.iterations - hash.iterations;
  if (iterations > 0) await verifyPassword(password, { ...decoy, iterations }, client);
  return false;
}

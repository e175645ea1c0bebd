import { hash, randomBytes } from 'node:crypto';
import type { Account, Accounts } from './accounts.js';
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
    const id = this.#identify(name, password);
    if (hashed !== undefined && this.#remembers(id, hashed)) return true;
    const fits = await this.#verify(id, password, account?.password, client);
    if (!fits || hashed === undefined) return false;
    // The password may have been changed while the old one was checked.
    const now = await this.accounts.find(name);
    if (now?.password?.text !== hashed) return false;
    this.#remember(id, hashed);
    return true;
  }

  /** The password fits another hash, too: the stored one was made anew. */
  learn(name: string, password: Buffer, hash: PasswordHash): void {
    this.#remember(this.#identify(name, password), hash.text);
  }

  #identify(name: string, password: Buffer): string {
    // The length keeps "a:" + "b" and "a" + ":b" apart. A keyed hash of its own would cost four times as much.
    const secret = `${this.#key}${String(name.length)}:${name}${password.toString('latin1')}`;
    return hash('sha256', secret, 'base64url');
  }

  #remembers(id: string, hashed: string): boolean {
    const known = this.#known.get(id);
    if (known === undefined) return false;
    this.#known.delete(id);
    if (known !== hashed) return false;
    this.#known.set(id, known);
    return true;
  }

  #remember(id: string, hashed: string): void {
    this.#known.set(id, hashed);
    if (this.#known.size <= this.capacity) return;
    for (const oldest of this.#known.keys()) {
      this.#known.delete(oldest);
      break;
    }
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
async function verifyAtCost(
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

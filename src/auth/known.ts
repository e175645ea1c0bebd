import { hash, randomBytes } from 'node:crypto';

/**
 * Names and passwords that fitted, so that the slow hash is paid once for each and not for every request. What is
 * remembered is a keyed hash; the key is made here and never leaves.
 */
export class KnownPasswords {
  readonly #key = randomBytes(32).toString('hex');
  /** Keyed hash of name and password to the hashed password that it fitted, the least recently used first. */
  readonly #known = new Map<string, string>();

  constructor(private readonly capacity = 10_000) {}

  /** What stands for a name with a password here. */
  identify(name: string, password: Buffer): string {
    // The length keeps "a:" + "b" and "a" + ":b" apart. A keyed hash of its own would cost four times as much.
    const secret = `${this.#key}${String(name.length)}:${name}${password.toString('latin1')}`;
    return hash('sha256', secret, 'base64url');
  }

  /** Whether it fitted this hashed password. What fitted another one is forgotten. */
  has(id: string, hashed: string): boolean {
    const known = this.#known.get(id);
    if (known === undefined) return false;
    this.#known.delete(id);
    if (known !== hashed) return false;
    this.#known.set(id, known);
    return true;
  }

  add(id: string, hashed: string): void {
    this.#known.set(id, hashed);
    if (this.#known.size <= this.capacity) return;
    for (const oldest of this.#known.keys()) {
      this.#known.delete(oldest);
      break;
    }
  }
}

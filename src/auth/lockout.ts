import { hash } from 'node:crypto';

/** `lockout` of the configuration. */
export interface LockoutSettings {
  readonly mode: 'enforce' | 'warn' | 'off';
  /** So many failures are too many. */
  readonly threshold: number;
  /** Milliseconds after the first of them until they are forgotten. */
  readonly lifetime: number;
  /** For so many they are counted. */
  readonly maxObjects: number;
}

interface Failures {
  count: number;
  /** In milliseconds since 1970. */
  readonly since: number;
}

/**
 * Counts wrong passwords by address and name, as CouchDB does, for names that nobody has as well. A name is not locked
 * for other addresses, so that nobody can keep its owner out.
 */
export class Lockout {
  /** The one that failed last is the last. */
  readonly #failures = new Map<string, Failures>();
  #counted = 0;

  /** @param settings asked for each time: they may change */
  constructor(private readonly settings: () => LockoutSettings) {}

  /** Nobody has failed. */
  get isEmpty(): boolean {
    return this.#failures.size === 0;
  }

  /** So many failures were counted since the start. */
  get counted(): number {
    return this.#counted;
  }

  /**
   * Whether there were too many.
   * @param salt of the account's password: a new password begins anew
   */
  reached(address: string, name: string, salt: string): boolean {
    const { mode, threshold } = this.settings();
    return mode !== 'off' && (this.#current(keyOf(address, name, salt))?.count ?? 0) >= threshold;
  }

  /** @returns whether this failure is the one with which there are too many */
  failed(address: string, name: string, salt: string): boolean {
    const { mode, threshold, maxObjects } = this.settings();
    if (mode === 'off') return false;
    this.#counted++;
    const key = keyOf(address, name, salt);
    const known = this.#current(key) ?? { count: 0, since: Date.now() };
    known.count++;
    this.#failures.delete(key);
    this.#failures.set(key, known);
    for (const oldest of this.#failures.keys()) {
      if (this.#failures.size <= maxObjects) break;
      this.#failures.delete(oldest);
    }
    return known.count === threshold;
  }

  #current(key: string): Failures | undefined {
    const known = this.#failures.get(key);
    if (known === undefined || Date.now() < known.since + this.settings().lifetime) return known;
    this.#failures.delete(key);
    return undefined;
  }
}

/** Names may be long, and have any characters but a colon. */
const keyOf = (address: string, name: string, salt: string): string =>
  hash('sha256', `${address.length}:${address}${name}:${salt}`, 'base64url');

import type { UserDatabases } from '../../auth/users/per-user.js';
import { CouchError } from '../../errors.js';
import { isMissing } from '../../replication/http/peer.js';
import type { Databases } from '../../store/databases.js';
import type { Upstream } from '../upstream.js';
import { ask, put, removeUpstream } from './control.js';
import type { Mirrors } from './mirrors.js';
import { surely } from '../surely.js';

export interface UserDatabaseServices {
  readonly databases: Databases;
  readonly upstream: Upstream;
  readonly mirrors: Pick<Mirrors, 'placeOf' | 'isMirrored' | 'want' | 'control'>;
}

/** The databases of users: what the rules have upstream is made and changed there first, as the account of the gateway. */
export class UserDatabasesByRule implements UserDatabases {
  readonly #closing = new AbortController();

  constructor(private readonly services: UserDatabaseServices) {}

  /** Ends what is asked of the upstream. */
  close(): void {
    this.#closing.abort();
  }

  async create(name: string): Promise<void> {
    const { databases, mirrors } = this.services;
    if (databases.exists(name)) return;
    if (mirrors.isMirrored(name)) {
      await unless(412, mirrors.control.create(name, {}));
      mirrors.want(name);
    } else if (this.#isThere(name)) {
      await unless(412, put(this.services, name, {}, this.#closing.signal));
    } else await databases.create(name);
  }

  async delete(name: string): Promise<void> {
    const { databases, mirrors } = this.services;
    if (mirrors.isMirrored(name)) await unless(404, mirrors.control.removeOwned(name));
    else if (this.#isThere(name)) await removeUpstream(this.services, name, this.#closing.signal);
    else await databases.delete(name);
  }

  async secure(name: string, change: (security: string) => string): Promise<void> {
    if (this.#isThere(name)) await this.#secureThere(name, change);
    else if (this.services.databases.exists(name)) await this.#secureHere(name, change);
  }

  #isThere(name: string): boolean {
    return this.services.mirrors.placeOf(name) === 'there';
  }

  async #secureHere(name: string, change: (security: string) => string): Promise<void> {
    const { databases, mirrors } = this.services;
    await databases.use(name, async (db) => {
      const text = change(db.security);
      if (text === db.security) return;
      await mirrors.control.secure(name, text, () => db.setSecurity(text));
    });
  }

  async #secureThere(name: string, change: (security: string) => string): Promise<void> {
    const { upstream } = this.services;
    const { signal } = this.#closing;
    const read = (): Promise<unknown> =>
      ask(this.services, name, { method: 'GET', path: '/_security' }, signal).catch((error: unknown) => {
        if (!isMissing(error)) throw error;
      });
    // Nobody would look again whether its user may use it.
    const security = await surely(read, (found) => found === undefined, signal);
    if (security === undefined) return;
    const before = JSON.stringify(security);
    const text = change(before);
    if (text === before) return;
    await ask(this.services, name, { method: 'PUT', path: '/_security', body: text }, signal);
    upstream.forget(name);
  }
}

/** What is so already is as good as done. @throws CouchError */
async function unless(status: number, work: Promise<unknown>): Promise<void> {
  try {
    await work;
  } catch (error) {
    if (!(error instanceof CouchError) || error.status !== status) throw error;
  }
}

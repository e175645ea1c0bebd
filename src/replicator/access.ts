import { requireRight } from '../auth/rights.js';
import { isDatabaseAdmin, securityOf } from '../auth/security.js';
import type { UserContext } from '../auth/usercontext.js';
import { CouchError, databaseMissing, forbidden, unauthorized } from '../errors.js';
import type { LocalAccess } from '../replication/local/options.js';
import type { Resolved, ResolveOptions, ResolvingWrites } from '../store/conflicts/types.js';
import { DatabaseView } from '../store/database-view.js';
import type { Databases } from '../store/databases.js';
import { isDatabaseName } from '../store/names.js';
import type { Database } from '../store/types/database.js';
import type { DocumentEdit, EditResult, WriteOptions } from '../store/types/edits.js';
import type { DatabaseProperties } from '../store/types/properties.js';
import { writeSingly } from './write-singly.js';

/** Databases that are here and at an upstream. */
export interface Mirrored {
  has(name: string): boolean;
  /**
   * Resolves when everything is here that the upstream has; undefined where it is already.
   * @throws CouchError 401 and 403 for whom may not read it, 404 where there is none, 503 while it is being copied
   */
  bring(name: string, user: UserContext): Promise<void> | undefined;
  /** Makes it in both places. @throws CouchError 412 where there is one */
  create(name: string, properties: DatabaseProperties): Promise<void>;
}

export interface AccessServices {
  readonly databases: Databases;
  readonly mirrored: Mirrored;
  /** A database by the rules that it has besides its security object. */
  readonly viewOf: (db: Database, user: UserContext) => Database;
  /** Looks at a design document as it is looked at when a client writes it. @throws CouchError 400 */
  readonly checkDesign: (db: Database, id: string, text: string) => Promise<void>;
}

/**
 * A database of this server as a user may use it.
 * @param who asked anew each time: a continuous replication may outlive an account. @throws CouchError 401
 */
export function accessFor(
  name: string,
  who: () => UserContext | Promise<UserContext>,
  { databases, mirrored, viewOf, checkDesign }: AccessServices,
): LocalAccess {
  return {
    use: async (work) => {
      const user = await who();
      await mirrored.bring(name, user);
      return databases.use(name, (db) => {
        requireRight('member', user, securityOf(db.security));
        return work(new DesignGuard(viewOf(db, user), user, checkDesign));
      });
    },
    create: async (properties) => {
      requireRight('serverAdmin', await who());
      if (!isDatabaseName(name)) throw databaseMissing();
      if (!mirrored.has(name)) await databases.create(name, properties);
      else await mirrored.create(name, properties).catch(unlessThere);
    },
  };
}

function unlessThere(error: unknown): void {
  if (!(error instanceof CouchError) || error.status !== 412) throw error;
}

/** What HTTP asks before it writes: design documents are for admins of the database, and must compile. */
class DesignGuard extends DatabaseView {
  readonly #refusal: CouchError | undefined;

  constructor(
    inner: Database,
    user: UserContext,
    private readonly check: AccessServices['checkDesign'],
  ) {
    super(inner);
    const reason = 'You are not a db or server admin.';
    if (!isDatabaseAdmin(user, securityOf(inner.security)))
      this.#refusal = user.name === null ? unauthorized(reason) : forbidden(reason);
  }

  override write(edits: readonly DocumentEdit[], options: WriteOptions): Promise<EditResult[]> {
    if (!edits.some(isDesign)) return this.inner.write(edits, options);
    return writeSingly(this.inner, edits, options, async (edit) => {
      if (isDesign(edit)) await this.#require(edit);
      return edit;
    });
  }

  override async resolve(writes: ResolvingWrites, options?: ResolveOptions): Promise<Resolved> {
    for (const edit of writes.edits) if (isDesign(edit)) await this.#require(edit);
    return this.inner.resolve(writes, options);
  }

  /** @throws CouchError */
  async #require({ id, deleted, body }: DocumentEdit): Promise<void> {
    if (this.#refusal !== undefined) throw this.#refusal;
    if (!deleted) await this.check(this.inner, id, `{${body}}`);
  }
}

const isDesign = ({ id }: DocumentEdit): boolean => id.startsWith('_design/');

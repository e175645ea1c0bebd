import type { Config } from '../../config/schema.js';
import { editOf } from '../../store/document.js';
import type { Databases } from '../../store/databases.js';
import type { Database } from '../../store/types/database.js';
import { members } from '../../json/text.js';
import type { Account, AccountOrNone } from '../accounts.js';
import type { Users as UsersOfAuth } from '../auth.js';
import { derivePassword, type HashTarget, type PasswordHash } from '../password.js';
import type { UserContext } from '../usercontext.js';
import { AUTH_DESIGN, authDesign } from './auth-design.js';
import { Directory } from './directory.js';
import { userId, USERS } from './ids.js';
import { bodyOf, withHash, withoutHash } from './password-members.js';
import { Queue } from '../../store/queue.js';
import { UsersView } from './view.js';

/** The users: the accounts that `_users` makes, and the database itself by its rules. */
export class Users implements UsersOfAuth {
  readonly #directory: Directory;
  readonly #writes = new Queue();
  /** By name, revisions whose passwords are being hashed anew, or could not be: each is tried once. */
  readonly #upgrading = new Map<string, string>();

  /** @param config read at each use: it may change */
  constructor(
    private readonly databases: Databases,
    private readonly config: Pick<Config, 'users' | 'passwords'>,
  ) {
    this.#directory = new Directory(databases, () => config.passwords);
  }

  /**
   * Makes the database where it is missing, as CouchDB does at its start, and sees to its design document.
   * @throws CouchError where the store fails
   */
  async prepare(): Promise<void> {
    await this.databases.create(USERS);
    await this.databases.use(USERS, putDesign);
  }

  find(name: string): AccountOrNone | Promise<AccountOrNone> {
    return this.#directory.find(name);
  }

  /** The database as a user may see it. @param isGone whether nobody waits for an answer any more */
  view(db: Database, user: UserContext, isGone: () => boolean): Database {
    const { publicFields, public: isListed } = this.config.users;
    const rules = {
      target: this.config.passwords,
      publicFields,
      isListed: isListed && publicFields.length > 0,
    };
    return new UsersView(db, user, rules, this.#writes, isGone);
  }

  /** The salt stays, so that sessions do. */
  upgrade(account: Account, password: Buffer): Promise<PasswordHash | undefined> | undefined {
    const { passwords } = this.config;
    const { rev, user } = account;
    if (rev === undefined || !passwords.upgrade || account.password === undefined) return undefined;
    if (isAsNew(account.password, passwords) || this.#upgrading.get(user.name) === rev) return undefined;
    this.#upgrading.set(user.name, rev);
    return this.#rehash(user.name, rev, password, account.password.salt);
  }

  async #rehash(
    name: string,
    rev: string,
    password: Buffer,
    salt: string,
  ): Promise<PasswordHash | undefined> {
    const hash = await derivePassword(password, this.config.passwords, salt);
    const isPut = await this.databases.use(USERS, (db) =>
      this.#writes.add(() => putHash(db, userId(name), rev, hash)),
    );
    this.#upgrading.delete(name);
    return isPut ? hash : undefined;
  }
}

const isAsNew = ({ scheme, iterations, isOverSimple }: PasswordHash, target: HashTarget): boolean =>
  scheme === target.prf && iterations === target.iterations && isOverSimple !== true;

/** @returns whether the document was still the same */
async function putHash(db: Database, id: string, rev: string, hash: PasswordHash): Promise<boolean> {
  const record = db.get(id);
  const text = record?.winner === rev ? db.read(record, rev) : undefined;
  if (text === undefined) return false;
  const edit = editOf(text, 'stub');
  const stored = members(`{${edit.body}}`) ?? new Map<string, string>();
  const body = bodyOf(withHash(withoutHash(stored), hash));
  const revisions = revisionsOf(rev);
  const [result] = await db.write([{ ...edit, id, revisions, body }], { newEdits: true });
  return result?.ok === true;
}

const revisionsOf = (rev: string): { start: number; ids: readonly string[] } => {
  const dash = rev.indexOf('-');
  return { start: Number(rev.slice(0, dash)), ids: [rev.slice(dash + 1)] };
};

/** Its function is CouchDB's rule: one that was changed is put back, as CouchDB does. */
export async function putDesign(db: Database): Promise<void> {
  const record = db.get(AUTH_DESIGN);
  const isAlive = record !== undefined && !record.deleted;
  const text = isAlive ? db.read(record, record.winner) : undefined;
  const known = text === undefined ? undefined : editOf(text, 'stub');
  const texts = members(`{${known?.body ?? ''}}`) ?? new Map<string, string>();
  const wanted = new Map(Object.entries(authDesign).map(([name, value]) => [name, JSON.stringify(value)]));
  if ([...wanted].every(([name, value]) => texts.get(name) === value)) return;
  const revisions = isAlive ? revisionsOf(record.winner) : { start: 0, ids: [] };
  const body = bodyOf(new Map([...texts, ...wanted]));
  await db.write([{ ...known, id: AUTH_DESIGN, deleted: false, revisions, body }], { newEdits: true });
}

import { CouchError, unauthorized } from '../../errors.js';
import type { Databases } from '../../store/databases.js';
import type { Database } from '../../store/types/database.js';
import type { DocumentRecord } from '../../store/types/records.js';
import type { AccountOrNone } from '../accounts.js';
import { accountOf, type IterationLimits, membersOf } from './document.js';
import { userId, userOf, USERS } from './ids.js';

/** So many names are remembered. */
const CAPACITY = 10_000;

/** Characters of a name with which one can log in: anybody can ask for any name, and have it remembered. */
const MAX_NAME = 1000;

/**
 * The accounts of `_users`. They are remembered, as are names that have none (admins seldom do), and looked at again
 * as soon as their document has changed, however that came about: each look-up first asks the database what has
 * changed since the last.
 */
export class Directory {
  /** The least recently used first. */
  readonly #accounts = new Map<string, AccountOrNone>();
  /** What they were read from, and up to which sequence they are true. */
  #source: Database | undefined;
  #seq = 0;
  /** Under which they were read. */
  #limits: IterationLimits | undefined;

  constructor(
    private readonly databases: Pick<Databases, 'peek' | 'exists' | 'use'>,
    private readonly limits: () => IterationLimits,
  ) {}

  /** @throws CouchError where the database fails */
  find(name: string): AccountOrNone | Promise<AccountOrNone> {
    if (name.length > MAX_NAME) return undefined;
    const db = this.databases.peek(USERS);
    if (db !== undefined) return this.#findIn(db, name);
    return this.databases.exists(USERS) ? this.#open(name) : undefined;
  }

  async #open(name: string): Promise<AccountOrNone> {
    try {
      return await this.databases.use(USERS, (db) => this.#findIn(db, name));
    } catch (error) {
      // It has been deleted.
      if (error instanceof CouchError && error.status === 404) return undefined;
      throw error;
    }
  }

  /** Nothing runs between the question what has changed and the answer: all of it is there, or on the disk. */
  #findIn(db: Database, name: string): AccountOrNone {
    this.#catchUp(db);
    const account = this.#accounts.has(name) ? this.#accounts.get(name) : this.#read(db, name);
    this.#accounts.delete(name);
    this.#accounts.set(name, account);
    for (const oldest of this.#accounts.keys()) {
      if (this.#accounts.size <= CAPACITY) break;
      this.#accounts.delete(oldest);
    }
    return account;
  }

  #catchUp(db: Database): void {
    const isSame = db === this.#source && this.#hasSameLimits();
    if (isSame && db.updateSeq === this.#seq) return;
    const changed = isSame ? db.events.recent(this.#seq) : undefined;
    if (changed === undefined) this.#accounts.clear();
    else for (const { id } of changed) this.#accounts.delete(userOf(id ?? '') ?? '');
    this.#source = db;
    this.#seq = db.updateSeq;
  }

  /** They may be set while the server runs. */
  #hasSameLimits(): boolean {
    const { minIterations, maxIterations } = this.limits();
    const known = this.#limits;
    if (known?.minIterations === minIterations && known.maxIterations === maxIterations) return true;
    this.#limits = { minIterations, maxIterations };
    return false;
  }

  #read(db: Database, name: string): AccountOrNone {
    const record = db.get(userId(name));
    if (record === undefined || record.deleted) return undefined;
    const text = db.read(record, record.winner);
    if (text === undefined) return undefined;
    const account = accountOf(name, record.winner, membersOf(text), this.limits());
    return hasConflicts(record) ? { ...account, refusal: inConflict() } : account;
  }
}

const hasConflicts = (record: DocumentRecord): boolean =>
  record.leaves().filter(({ deleted }) => !deleted).length > 1;

const inConflict = (): CouchError =>
  unauthorized(
    'User document conflicts must be resolved before the document is used for authentication purposes.',
  );

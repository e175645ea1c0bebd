import { setTimeout as pause } from 'node:timers/promises';
import type { Logger } from 'pino';
import { Waiter } from '../../changes/waiter.js';
import type { Config } from '../../config/schema.js';
import { CouchError } from '../../errors.js';
import type { Databases } from '../../store/databases.js';
import { isDatabaseName } from '../../store/names.js';
import type { Database } from '../../store/types/database.js';
import { userOf, USERS } from './ids.js';

/** Milliseconds after which it is looked again whether there is anything to do: the configuration may change. */
const LOOK_AGAIN = 5000;

/** Where the work went on to, in `_users`: a start need not open the databases of all users. */
const PROGRESS = '_local/causeway-per-user';

/** With so many users left behind it is not theirs alone: then the others wait, too. */
const MOST_LATE = 100;

/** How far the work has come. */
interface Progress {
  readonly prefix: string;
  /** Up to this sequence every user was looked at. A database that was restored does not know it, and begins anew. */
  readonly seq: string;
  /** Documents of users whose databases could not be seen to: they are tried again. */
  readonly late: readonly string[];
}

/** The databases of users, wherever they are. */
export interface UserDatabases {
  /** Makes one, if there is none. @throws CouchError; 503 while it would have to be made elsewhere, and cannot */
  create(name: string): Promise<void>;
  /** Deletes one, if there is any. @throws CouchError */
  delete(name: string): Promise<void>;
  /** Changes its security object, if there is one. @throws CouchError */
  secure(name: string, change: (security: string) => string): Promise<void>;
}

/** Sees to it that every user has a database of their own, as CouchDB's couch_peruser does. */
export class PerUser {
  readonly #stop = new AbortController();
  #running: Promise<void> = Promise.resolve();

  /** @param config read at each use: it may change */
  constructor(
    private readonly databases: Pick<Databases, 'exists' | 'use'>,
    private readonly owned: UserDatabases,
    private readonly config: Pick<Config, 'perUser'>,
    private readonly log: Pick<Logger, 'error' | 'warn'>,
  ) {}

  start(): void {
    this.#running = this.#run();
  }

  async close(): Promise<void> {
    this.#stop.abort();
    await this.#running;
  }

  async #run(): Promise<void> {
    const { signal } = this.#stop;
    while (!signal.aborted) {
      try {
        if (this.config.perUser.enable && this.databases.exists(USERS))
          await this.databases.use(USERS, (db) => this.#follow(db));
      } catch (error) {
        this.log.error(told(error), 'the databases of users could not be seen to');
      }
      // It fails when it is stopped, and only then.
      await pause(LOOK_AGAIN, undefined, { signal, ref: false }).catch(() => undefined);
    }
  }

  /** Goes through the users, then waits for changes, until it is switched off or the database is closed. */
  async #follow(db: Database): Promise<void> {
    const prefix = this.config.perUser.databasePrefix;
    const waiter = new Waiter(db.events, this.#stop.signal);
    const isOn = (): boolean =>
      this.config.perUser.enable && this.config.perUser.databasePrefix === prefix && !waiter.ended;
    const known = progressOf(db, prefix);
    const late = new Set(known.late);
    let since = known.seq === undefined ? 0 : db.parseToken(known.seq);
    const save = (): Promise<string> =>
      db.putLocal(PROGRESS, undefined, progress({ prefix, seq: db.token(since), late: [...late] }));
    try {
      while (isOn()) {
        const before = late.size;
        for (const id of [...late]) await this.#try(prefix, db, id, late);
        if (late.size < before) await save();
        // A purge leaves no row.
        const until = db.updateSeq;
        for await (const page of db.changes({ since, until, pageSize: 100 })) {
          for (const { text } of page) {
            if (!isOn()) return;
            await this.#try(prefix, db, (JSON.parse(text) as { id: string }).id, late);
          }
          since = page.at(-1)?.seq ?? since;
          await save();
        }
        since = until;
        if (db.updateSeq === until) await waiter.wait(LOOK_AGAIN);
      }
    } finally {
      waiter.close();
    }
  }

  /**
   * A user whose database cannot be seen to does not keep the others waiting.
   * @param late documents of users for whom that failed
   */
  async #try(prefix: string, db: Database, id: string, late: Set<string>): Promise<void> {
    const user = userOf(id);
    const record = db.get(id);
    try {
      if (user !== undefined && record !== undefined) await this.#see(prefix, user, record.deleted);
      late.delete(id);
    } catch (error) {
      if (late.has(id)) return;
      if (late.size === MOST_LATE) throw error;
      const fields = { user: user?.slice(0, 128), ...told(error) };
      this.log.error(fields, 'the database of a user could not be seen to');
      late.add(id);
    }
  }

  async #see(prefix: string, user: string, deleted: boolean): Promise<void> {
    const name = databaseOf(prefix, user);
    if (!isDatabaseName(name)) {
      this.log.warn({ user: user.slice(0, 128) }, 'the name of a user is too long for a database');
    } else if (!deleted) {
      await this.owned.create(name);
      await this.owned.secure(name, (security) => partiesOf(security, withName(user)));
    } else if (this.config.perUser.deleteDbs) {
      await this.owned.delete(name);
    } else {
      await this.owned.secure(name, (security) => partiesOf(security, withoutName(user)));
    }
  }
}

/** What is known of a failure: an upstream that is away is no defect here. */
const told = (error: unknown): object =>
  error instanceof CouchError ? { reason: error.reason } : { err: error };

/**
 * The prefix and the bytes of the name in hexadecimal digits. CouchDB leaves a leading zero out, by which users with
 * control characters in their names would get databases of others.
 */
export const databaseOf = (prefix: string, user: string): string =>
  prefix + Buffer.from(user).toString('hex');

/** @returns it as the body of a local document */
const progress = (known: Progress): string => JSON.stringify(known).slice(1, -1);

/** What is known of a prefix: nothing of one that is new. */
function progressOf(db: Database, prefix: string): Partial<Progress> {
  const text = db.getLocal(PROGRESS)?.text;
  const known = text === undefined ? {} : (JSON.parse(text) as Partial<Progress>);
  return known.prefix === prefix ? known : {};
}

type Party = Readonly<Record<string, unknown>>;

const listOf = (party: Party, key: 'names' | 'roles'): readonly unknown[] => {
  const list = party[key];
  return Array.isArray(list) ? list : [];
};

const withName =
  (user: string) =>
  (party: Party): Party => ({ ...party, names: [...new Set([...listOf(party, 'names'), user])] });

const withoutName =
  (user: string) =>
  (party: Party): Party => {
    const names = listOf(party, 'names');
    const left = { ...party, names: names.filter((name) => name !== user) };
    const isLast = names.length > 0 && left.names.length === 0 && listOf(party, 'roles').length === 0;
    // A database whose members are neither named nor given by role is everybody's.
    return isLast ? { ...left, roles: ['_admin'] } : left;
  };

/** A security object with other admins and members. */
function partiesOf(security: string, change: (party: Party) => Party): string {
  const before = JSON.parse(security) as Party;
  const changed = (key: string): Party => change(Object.hasOwn(before, key) ? (before[key] as Party) : {});
  return JSON.stringify({ ...before, admins: changed('admins'), members: changed('members') });
}

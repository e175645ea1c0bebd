import { CouchError, databaseMissing, unavailable } from '../errors.js';
import type { Logger } from '../observe/log.js';
import type { Tasks } from '../observe/tasks.js';
import { Compactions, type CompactionOptions } from './compactions.js';
import { asAnswer } from './failures.js';
import { Folders } from './folders.js';
import { GLOBAL_CHANGES, GlobalChanges } from './global-changes.js';
import type { LevelDatabase } from './level-database.js';
import type { LevelOptions } from './level-host.js';
import { OpenDatabases, type Slot, usable } from './open-databases.js';
import type { Database } from './types/database.js';
import type { DatabaseProperties } from './types/properties.js';
import type { DatabaseWatcher } from './types/watcher.js';

export interface StoreOptions extends LevelOptions {
  /** At most this many databases are kept open while nobody uses them. */
  readonly maxOpen: number;
  /** Bytes for the write buffers and caches of all open databases; one gets `writeBuffer` and `cache` at most. */
  readonly memory: number;
}

/** What works on databases in the background, and where it is seen. */
export interface Background {
  readonly compaction: CompactionOptions;
  readonly tasks: Tasks;
  readonly log: Logger;
}

const stopping = (): CouchError => unavailable('The server is stopping.');

/** Whether an error says something of the request; one that a closed database throws does not. */
const isAnswer = (error: unknown): boolean => error instanceof CouchError && error.status !== 503;

/**
 * All databases of a data directory. A database is opened when it is first used and closed when it has not been used
 * for longest and too many are open.
 */
export class Databases {
  readonly #names: Set<string>;
  #sorted: readonly string[] | undefined;
  #closing = false;
  /** Closing is all but over: the last events are written. */
  #closed = false;
  readonly #globalChanges: GlobalChanges;
  readonly #open: OpenDatabases;
  readonly #compactions: Compactions;
  readonly #creationListeners: ((name: string) => void)[] = [];
  readonly #openListeners: ((name: string) => void)[] = [];
  readonly #designListeners: ((name: string) => void)[] = [];
  readonly #changeListeners: ((name: string) => void)[] = [];
  readonly #log: Logger;
  readonly #watcher: DatabaseWatcher = {
    willChange: (name) => this.#globalChanges.willChange(name),
    didChange: (name) => {
      this.#globalChanges.didChange(name);
      for (const listener of this.#changeListeners) listener(name);
    },
    didChangeDesigns: (name) => {
      for (const listener of this.#designListeners) listener(name);
    },
    lostPart: (name) => {
      const message =
        'a part of the database was damaged and is lost; it counts as restored from an older copy';
      this.#log.error({ database: name }, message);
    },
    lostAll: (name) => {
      const message = 'the files of the database are gone from its folder; it begins anew, and empty';
      this.#log.warn({ database: name }, message);
    },
  };

  private constructor(
    private readonly folders: Folders,
    store: StoreOptions,
    { compaction, tasks, log }: Background,
  ) {
    this.#log = log;
    this.#names = new Set(folders.names);
    this.#compactions = new Compactions({
      options: compaction,
      tasks,
      log,
      use: (name, work) => this.#useUntilClosing(name, work),
    });
    this.#globalChanges = new GlobalChanges({
      exists: (name) => this.exists(name),
      use: (work) => this.#use(GLOBAL_CHANGES, work),
      report: (error) => {
        const message = 'events of databases could not be written; they will be, or be told after a start';
        log.error({ err: error }, message);
      },
    });
    this.#open = new OpenDatabases({
      folders,
      store,
      watcher: this.#watcher,
      exists: (name) => this.exists(name),
      onOpen: (name) => {
        for (const listener of this.#openListeners) listener(name);
      },
    });
  }

  /** Reads which databases there are below `root`, an existing folder, and clears away what a crash left behind. */
  static async open(root: string, options: StoreOptions, background: Background): Promise<Databases> {
    const databases = new Databases(await Folders.open(root), options, background);
    if (databases.exists(GLOBAL_CHANGES)) await databases.#globalChanges.recover();
    return databases;
  }

  exists(name: string): boolean {
    return this.#names.has(name);
  }

  /** All names, sorted as CouchDB does. */
  list(): readonly string[] {
    return (this.#sorted ??= [...this.#names].sort());
  }

  /** Calls `listener` after each database that is made. */
  onCreate(listener: (name: string) => void): void {
    this.#creationListeners.push(listener);
  }

  /** Calls `listener` whenever a database was opened, which must take no time. */
  onOpen(listener: (name: string) => void): void {
    this.#openListeners.push(listener);
  }

  /** Calls `listener` after each write of design documents. */
  onDesignChange(listener: (name: string) => void): void {
    this.#designListeners.push(listener);
  }

  /** Calls `listener` after each commit of documents, which must take no time. */
  onChange(listener: (name: string) => void): void {
    this.#changeListeners.push(listener);
  }

  /**
   * Gives a database another name, which none has; ends its feeds. It counts as a copy from then on.
   * @throws CouchError 404 where there is none
   */
  async rename(name: string, other: string): Promise<void> {
    await this.#step(name, async (slot) => {
      if (!this.#names.has(name)) throw databaseMissing();
      await this.#globalChanges.willChange(name);
      await this.#globalChanges.willChange(other);
      await this.#open.close(slot);
      await this.folders.rename(name, other);
      this.#names.delete(name);
      this.#names.add(other);
      this.#sorted = undefined;
      await this.#tell(name, 'deleted');
      await this.#tell(other, 'created');
    });
  }

  /** Makes a database; resolves once it is on disk. @returns false where it exists. */
  async create(name: string, properties: DatabaseProperties = {}): Promise<boolean> {
    return this.#step(name, async (slot) => {
      if (this.#names.has(name)) return false;
      await this.#globalChanges.willChange(name);
      await this.#make(slot, name, properties);
      this.#names.add(name);
      this.#sorted = undefined;
      await this.#tell(name, 'created');
      for (const listener of this.#creationListeners) listener(name);
      return true;
    });
  }

  /** @throws CouchError where the store fails */
  async #make(slot: Slot, name: string, properties: DatabaseProperties): Promise<void> {
    try {
      await this.folders.make(name, () => this.#fill(slot, name, properties));
    } catch (error) {
      throw asAnswer(name, error);
    }
  }

  async #fill(slot: Slot, name: string, { partitioned }: DatabaseProperties): Promise<void> {
    try {
      const database = await this.#open.open(slot);
      // Only the last revision of an event is of use.
      if (name === GLOBAL_CHANGES) await database.setRevsLimit(1);
      if (partitioned === true) await database.setPartitioned();
    } catch (error) {
      await this.#open.close(slot).catch(() => undefined);
      throw error;
    }
  }

  /** Deletes a database and ends its feeds; resolves once it is gone for good. @returns false where there is none. */
  async delete(name: string): Promise<boolean> {
    return this.#step(name, async (slot) => {
      if (!this.#names.has(name)) return false;
      await this.#globalChanges.willChange(name);
      this.#names.delete(name);
      this.#sorted = undefined;
      try {
        await this.#open.close(slot);
        await this.folders.remove(name);
      } catch (error) {
        this.#names.add(name);
        this.#sorted = undefined;
        throw asAnswer(name, error);
      }
      if (name === GLOBAL_CHANGES) this.#globalChanges.forget();
      await this.#tell(name, 'deleted');
      return true;
    });
  }

  /** Events that are being written wait for the steps of the database that they are written to: its own tell nothing. */
  async #tell(name: string, event: 'created' | 'deleted'): Promise<void> {
    if (name === GLOBAL_CHANGES) return;
    this.#globalChanges.didChange(name, event);
    await this.#globalChanges.flush();
  }

  /**
   * Opens a database if need be and keeps it open while `work` runs.
   * @throws CouchError 404 where there is none; 500, 503 or 507 where it cannot be opened
   */
  use<T>(name: string, work: (database: Database) => T | Promise<T>): Promise<T> {
    return this.#useUntilClosing(name, work);
  }

  /** A database that is open, for look-ups that end before anything else runs; undefined where it has to be opened. */
  peek(name: string): Database | undefined {
    return this.#closing ? undefined : this.#open.peek(name);
  }

  /** Those that are open, which are not used by being looked at. */
  get allOpen(): readonly Database[] {
    return this.#closing ? [] : this.#open.slots.flatMap((slot) => usable(slot) ?? []);
  }

  /** Compacts a database; resolves when done. A call while one runs joins it. @throws CouchError 404 where there is none */
  compact(name: string): Promise<void> {
    return this.#compactions.run(name);
  }

  #useUntilClosing<T>(name: string, work: (database: LevelDatabase) => T | Promise<T>): Promise<T> {
    return this.#closing ? Promise.reject(stopping()) : this.#use(name, work);
  }

  /** Every request comes here: it awaits nothing but what is needed. */
  async #use<T>(name: string, work: (database: LevelDatabase) => T | Promise<T>): Promise<T> {
    if (!this.#names.has(name)) throw databaseMissing();
    const slot = this.#open.slot(name);
    this.#open.enter(slot);
    let database: LevelDatabase | undefined;
    try {
      database = usable(slot) ?? (await this.#opened(name));
      return await work(database);
    } catch (error) {
      throw database === undefined ? error : this.#answerOf(name, database, error);
    } finally {
      if (database !== undefined) this.#compactions.consider(name, database.weight);
      this.#open.leave(slot);
    }
  }

  /** Nobody closes a database that is in use but for the two reasons here, or because it is lost. */
  #answerOf(name: string, { isClosed, isLost }: LevelDatabase, error: unknown): unknown {
    if (!isClosed || isLost || isAnswer(error)) return asAnswer(name, error);
    return this.#closing ? stopping() : databaseMissing();
  }

  /** Lets running writes finish and closes everything. */
  async close(): Promise<void> {
    this.#closing = true;
    const slots = this.#open.slots.filter(({ name }) => name !== GLOBAL_CHANGES);
    // One that fails to close does not keep the others from being closed.
    const closed = await Promise.allSettled(slots.map((slot) => this.#open.closeForGood(slot)));
    await this.#globalChanges.close();
    this.#closed = true;
    closed.push(...(await Promise.allSettled([this.#open.closeForGood(this.#open.slot(GLOBAL_CHANGES))])));
    await this.#compactions.close();
    await this.folders.close();
    const failures = closed.flatMap((one) => (one.status === 'rejected' ? [one.reason as unknown] : []));
    if (failures.length > 0) throw new AggregateError(failures, 'databases did not close cleanly');
  }

  async #opened(name: string): Promise<LevelDatabase> {
    return this.#step(name, async (slot) => {
      if (!this.#names.has(name)) throw databaseMissing();
      return this.#open.opened(slot);
    });
  }

  /** Runs one step of a database's life after those that were asked for before. */
  async #step<T>(name: string, work: (slot: Slot) => Promise<T>): Promise<T> {
    if (this.#closed || (this.#closing && name !== GLOBAL_CHANGES)) throw stopping();
    return this.#open.step(name, work);
  }
}

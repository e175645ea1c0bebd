import type { CouchError } from '../errors.js';
import { Backoff } from './backoff.js';
import { MemoryBudget, type MemoryShare } from './budget.js';
import type { StoreOptions } from './databases.js';
import { asOpeningFailure, isTooManyFiles } from './failures.js';
import type { Folders } from './folders.js';
import { LevelDatabase } from './level-database.js';
import type { DatabaseWatcher } from './types/watcher.js';

/** What happens to one database name; each step waits for the one before. */
export interface Slot {
  readonly name: string;
  database: LevelDatabase | undefined;
  /** Of the memory, while it is open. */
  share: MemoryShare | undefined;
  /** How many requests, feeds and steps work with it. */
  users: number;
  /** The last of the steps (open, close, create, delete) under way. */
  step: Promise<void>;
  /** Why it could not be opened, and when that is tried again. */
  failure: CouchError | undefined;
  readonly backoff: Backoff;
}

/** The open database of a name, unless a failed write made it necessary to open it again. */
export const usable = ({ database }: Slot): LevelDatabase | undefined =>
  database?.isLost === true || database?.reopening !== undefined ? undefined : database;

export interface OpenDatabasesOptions {
  readonly folders: Folders;
  readonly store: StoreOptions;
  readonly watcher: DatabaseWatcher;
  readonly exists: (name: string) => boolean;
  /** Told whenever a database was opened, which must take no time. */
  readonly onOpen: (name: string) => void;
}

/**
 * Which databases are open: as many as there may be, but for those in use, with a share of the memory each. Those that
 * were not used for longest are closed first.
 */
export class OpenDatabases {
  readonly #slots = new Map<string, Slot>();
  /** Those with an open database. */
  readonly #open = new Set<Slot>();
  /** Those of them that nobody works with, first the one that was left first. */
  readonly #idle = new Set<Slot>();
  readonly #memory: MemoryBudget;

  constructor(private readonly options: OpenDatabasesOptions) {
    this.#memory = new MemoryBudget(options.store.memory, options.store);
  }

  /** Of all names that somebody works with, and of databases that somebody worked with. */
  get slots(): readonly Slot[] {
    return [...this.#slots.values()];
  }

  /** The slot of a name, made where there is none. */
  slot(name: string): Slot {
    let slot = this.#slots.get(name);
    if (slot === undefined) {
      slot = {
        name,
        database: undefined,
        share: undefined,
        users: 0,
        step: Promise.resolve(),
        failure: undefined,
        backoff: new Backoff(),
      };
      this.#slots.set(name, slot);
    }
    return slot;
  }

  /** The database of a name where it is open, which counts as a use. */
  peek(name: string): LevelDatabase | undefined {
    const slot = this.#slots.get(name);
    if (slot === undefined) return undefined;
    if (this.#idle.delete(slot)) this.#idle.add(slot);
    return usable(slot);
  }

  /** From now on, until `leave`, nobody closes the slot's database for not being used. */
  enter(slot: Slot): void {
    slot.users++;
    this.#idle.delete(slot);
  }

  leave(slot: Slot): void {
    slot.users--;
    if (slot.users === 0) {
      if (slot.database !== undefined) this.#idle.add(slot);
      // A name that is no database's is forgotten.
      else if (!this.options.exists(slot.name)) this.#slots.delete(slot.name);
    }
    this.#closeIdle();
  }

  /** Runs one step of a database's life after those that were asked for before. */
  async step<T>(name: string, work: (slot: Slot) => Promise<T>): Promise<T> {
    const slot = this.slot(name);
    const before = slot.step;
    let done: () => void = () => undefined;
    slot.step = new Promise<void>((resolve) => (done = resolve));
    this.enter(slot);
    try {
      await before;
      return await work(slot);
    } finally {
      done();
      this.leave(slot);
    }
  }

  /** The database of a slot, opened where it is not. To be called in a step. @throws CouchError */
  async opened(slot: Slot): Promise<LevelDatabase> {
    await slot.database?.reopening;
    const database = usable(slot);
    if (database !== undefined) return database;
    if (slot.failure !== undefined && !slot.backoff.due) throw slot.failure;
    await this.close(slot);
    await this.options.folders.requireFolder(slot.name);
    return this.open(slot);
  }

  /** To be called in a step, and where it is not open. @throws CouchError */
  async open(slot: Slot): Promise<LevelDatabase> {
    const { folders, store, watcher, onOpen } = this.options;
    const { name } = slot;
    const share = this.#memory.take();
    try {
      const database = await LevelDatabase.open(
        name,
        folders.folderOf(name),
        folders.markerOf(name),
        { ...store, ...share },
        watcher,
      );
      slot.database = database;
      slot.share = share;
      slot.failure = undefined;
      slot.backoff.succeeded();
      this.#open.add(slot);
      onOpen(name);
      return database;
    } catch (error) {
      share.giveBack();
      slot.failure = asOpeningFailure(name, error);
      slot.backoff.failed();
      // The next try finds handles that others do not need.
      if (isTooManyFiles(error)) this.#closeIdle(this.#open.size >> 1);
      throw slot.failure;
    }
  }

  async close(slot: Slot): Promise<void> {
    await this.#takeOut(slot)?.close();
  }

  /** Waits for what is under way. */
  async closeForGood(slot: Slot): Promise<void> {
    await slot.step;
    await this.close(slot);
    // It may have been closing by itself.
    await slot.step;
  }

  /** What is to be closed; from now on the slot is empty. */
  #takeOut(slot: Slot): LevelDatabase | undefined {
    const { database, share } = slot;
    if (database === undefined) return undefined;
    slot.database = undefined;
    slot.share = undefined;
    share?.giveBack();
    this.#open.delete(slot);
    this.#idle.delete(slot);
    return database;
  }

  /** Closes those that were not used for longest. Whoever comes for one of them meanwhile waits, then opens it anew. */
  #closeIdle(most = this.options.store.maxOpen): void {
    for (const slot of this.#idle) {
      if (this.#open.size <= most) return;
      const database = this.#takeOut(slot);
      slot.step = slot.step.then(() => database?.close());
      // Whoever comes next is told.
      slot.step.catch(() => undefined);
    }
  }
}

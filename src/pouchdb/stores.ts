import { readdir, readlink, realpath } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { makeFolder } from '../config/files.js';
import { LevelDatabase } from '../store/level-database.js';
import { cannotOpen } from './failures.js';
import { removeDatabase } from './removal.js';

/** LevelDB's own sizes. */
const OPTIONS = {
  writeBuffer: 4 * 1024 * 1024,
  cache: 8 * 1024 * 1024,
  // PouchDB hands out attachments whole, and must be able to read the directory afterwards.
  chunkAbove: Infinity,
  sync: true,
};

/** In the directory itself, so that it goes along where that is moved; see copy.ts in the store. */
export const MARKER = 'causeway-copy';

/** A directory that is open, and how many use it. */
interface Slot {
  /** The path as it was given: indexes of views stand beside it under that name. */
  readonly name: string;
  users: number;
  readonly database: Promise<LevelDatabase>;
  /** Resolves when it is not open any more. */
  closing: Promise<void> | undefined;
}

/** By their real paths. A LevelDB has one owner, so that all PouchDB objects of a path in this process share it. */
const slots = new Map<string, Slot>();

/**
 * Opens the database of a directory, or shares it with those that have it open.
 * @throws PouchError where another process has it open, or something else in this one
 */
export async function openStore(dir: string): Promise<Store> {
  const name = resolve(dir);
  for (;;) {
    await makeFolder(name);
    const path = await realpath(name);
    const slot = slots.get(path) ?? openSlot(name, path);
    if (slot.closing === undefined) return use(path, slot);
    await slot.closing;
  }
}

function openSlot(name: string, path: string): Slot {
  const slot = { name, users: 0, database: openDirectory(path), closing: undefined };
  slots.set(path, slot);
  return slot;
}

async function use(path: string, slot: Slot): Promise<Store> {
  slot.users++;
  try {
    return new Store(path, slot, await slot.database);
  } catch (error) {
    if (slots.get(path) === slot) slots.delete(path);
    throw error;
  }
}

async function openDirectory(path: string): Promise<LevelDatabase> {
  if (await isHeldHere(path)) {
    throw cannotOpen(`${path} is open in this process already, by a gateway or another LevelDB`);
  }
  try {
    return await LevelDatabase.open(path, path, join(path, MARKER), OPTIONS);
  } catch (error) {
    const { code } = ((error as Error).cause ?? {}) as { code?: unknown };
    throw code === 'LEVEL_LOCKED' ? cannotOpen(`${path} is in use by another process`, error) : error;
  }
}

/**
 * Whether something else in this process has the directory open. The kernel's lock is the whole process's and does not
 * keep the LevelDB of another package out: both would write, and destroy it. Only Linux tells which files are open.
 */
async function isHeldHere(path: string): Promise<boolean> {
  const lock = join(path, 'LOCK');
  const open = await readdir('/proc/self/fd').catch(() => []);
  const files = await Promise.all(open.map((fd) => readlink(`/proc/self/fd/${fd}`).catch(() => '')));
  return files.includes(lock);
}

/** One user of an open directory. */
export class Store {
  #isClosed = false;

  constructor(
    private readonly path: string,
    private readonly slot: Slot,
    readonly database: LevelDatabase,
  ) {}

  /** Closes the directory when this was its last user. */
  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.slot.users--;
    if (this.slot.users === 0) await shut(this.path, this.slot);
  }

  /** Closes the directory, whoever else uses it, and removes its files. */
  async destroy(): Promise<void> {
    this.#isClosed = true;
    await shut(this.path, this.slot, () => removeDatabase(this.path));
  }
}

async function shut(path: string, slot: Slot, then?: () => Promise<void>): Promise<void> {
  const before = slot.closing;
  const work = closeSlot(path, slot, then);
  // Whoever waits for it to be free only wants to know when; whoever asked for it hears of its failure.
  slot.closing = Promise.all([before, work]).then(
    () => undefined,
    () => undefined,
  );
  await work;
}

async function closeSlot(path: string, slot: Slot, then?: () => Promise<void>): Promise<void> {
  try {
    // The indexes of its views are of use to nobody else.
    const views = [...slots].filter(([, { name }]) => name.startsWith(`${slot.name}-mrview-`));
    await Promise.all(views.map(([at, view]) => shut(at, view)));
    const database = await slot.database;
    if (!database.isClosed) await database.close();
    await then?.();
  } finally {
    if (slots.get(path) === slot) slots.delete(path);
  }
}

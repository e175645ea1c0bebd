import { lstat, readdir, rename, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { ClassicLevel } from 'classic-level';
import { exitCodes, StartError } from '../config/exit.js';
import { makeFolder, syncFolder } from '../config/files.js';
import * as layout from './layout.js';
import { folderOf, isDatabaseName, nameOf } from './names.js';
import { securityIn } from './opening.js';
import { parseRecord } from './record.js';

/** pouchdb-server's list of its databases: it is a database itself, and open as long as the server runs. */
const LIST = 'pouch__all_dbs__';
/** What an entry of the list is called: names may begin with an underscore, ids of documents may not. */
const ENTRY = 'db_';
/** Where that goes of which we have no use. */
const ASIDE = 'pouchdb-server';
/** Folders of ours that are needed while databases are moved. */
const OURS = new Set(['lock', 'databases']);
/** The index of a view is a database with this behind the name of its own. */
const VIEW_INDEX = /^(.+)-mrview-[0-9a-f]{32}$/;

/** A database of pouchdb-server, before it is taken over. */
export interface FormerDatabase {
  readonly name: string;
  /** Its security object as text; undefined where nobody set one, or it cannot be read. */
  readonly security: string | undefined;
  /** Why it cannot be opened. */
  readonly damage: unknown;
}

/** A folder that stays where it is. */
export interface LeftFolder {
  readonly folder: string;
  readonly reason: string;
}

/**
 * The databases of a data directory that pouchdb-server has made. They are in PouchDB's layout, which is ours: taking
 * them over is giving their folders new places. The list goes last, so that a take-over that was interrupted goes on
 * at the next start. Nothing is removed, and nothing is written over.
 */
export class FormerServer {
  private constructor(
    private readonly root: string,
    private readonly list: ClassicLevel,
    private readonly listed: readonly string[],
  ) {}

  /**
   * @returns undefined where the directory is none of pouchdb-server's, or was taken over before
   * @throws StartError where pouchdb-server still runs, did not use LevelDB, or has a database with a name of ours
   */
  static async open(root: string): Promise<FormerServer | undefined> {
    const folder = join(root, LIST);
    const found = await lstat(folder).catch(ifMissing);
    if (found === undefined) return undefined;
    if (!found.isDirectory()) throw notLevel(root);
    const list = new ClassicLevel(folder, { keyEncoding: 'utf8', valueEncoding: 'utf8' });
    await open(root, list);
    try {
      const listed = await readList(list);
      for (const name of listed) if (OURS.has(name)) throw nameIsOurs(root, name);
      return new FormerServer(root, list, listed);
    } catch (error) {
      await list.close();
      throw error;
    }
  }

  /** Looks into the databases that can be taken over. @throws StartError where another process uses one of them */
  async *databases(): AsyncGenerator<FormerDatabase> {
    for (const folder of this.listed) {
      const name = databaseOf(folder);
      if (name !== undefined && (await isLevel(join(this.root, folder))))
        yield { name, ...(await this.#look(join(this.root, folder))) };
    }
  }

  async #look(folder: string): Promise<Omit<FormerDatabase, 'name'>> {
    const level = new ClassicLevel(folder, { keyEncoding: 'utf8', valueEncoding: 'utf8' });
    try {
      await open(this.root, level);
      const local = await level.get(layout.locals.key(layout.POUCH_SECURITY));
      return { security: local === undefined ? undefined : securityIn(local), damage: undefined };
    } catch (error) {
      if (error instanceof StartError) throw error;
      return { security: undefined, damage: error };
    } finally {
      await level.close();
    }
  }

  /** Takes everything over. @returns what stays where it is */
  async takeOver(): Promise<readonly LeftFolder[]> {
    const databases = join(this.root, 'databases');
    await makeFolder(databases);
    const left: LeftFolder[] = [];
    for (const folder of this.listed) {
      const reason = await this.#move(folder, databases);
      if (reason !== undefined) left.push({ folder, reason });
    }
    await syncFolder(databases);
    await this.#putAside();
    return [...left, ...(await this.#unlisted())];
  }

  /** @returns why the folder stays */
  async #move(folder: string, databases: string): Promise<string | undefined> {
    const from = join(this.root, folder);
    const name = databaseOf(folder);
    if (name === undefined) return 'CouchDB allows no database of this name';
    const to = join(databases, folderOf(name));
    const isThere = (await lstat(to).catch(ifMissing)) !== undefined;
    if (await isLevel(from)) {
      if (isThere) return `there is a database ${name} already`;
      // Moved, it might name nothing.
      if ((await lstat(from)).isSymbolicLink()) return 'it is a symbolic link';
      await rename(from, to);
      return undefined;
    }
    return isThere ? undefined : 'pouchdb-server has it in its list, but there is no such database on disk';
  }

  /** Indexes of views, which only PouchDB can use; and when everything else is done and on disk, the list. */
  async #putAside(): Promise<void> {
    const aside = join(this.root, ASIDE);
    await makeFolder(aside);
    const known = new Set(this.listed);
    for (const { name } of await readdir(this.root, { withFileTypes: true })) {
      const [, database = ''] = VIEW_INDEX.exec(name) ?? [];
      if (known.has(database) && (await isLevel(join(this.root, name))))
        await rename(join(this.root, name), join(aside, name));
    }
    await syncFolder(this.root);
    await this.list.close();
    await rename(join(this.root, LIST), join(aside, LIST));
    await syncFolder(aside);
    await syncFolder(this.root);
  }

  /** Folders that look like databases and are none of pouchdb-server's. */
  async #unlisted(): Promise<LeftFolder[]> {
    const left: LeftFolder[] = [];
    for (const { name } of await readdir(this.root, { withFileTypes: true })) {
      if (name === 'lock' || this.listed.includes(name) || !(await isLevel(join(this.root, name)))) continue;
      left.push({ folder: name, reason: 'pouchdb-server does not have it in its list' });
    }
    return left;
  }

  async close(): Promise<void> {
    await this.list.close();
  }
}

/** A folder is called as its database; early versions had percent signs for what a file system does not take. */
function databaseOf(folder: string): string | undefined {
  return isDatabaseName(folder) ? folder : nameOf(folder);
}

/** The names in the list, of which each is a folder. */
async function readList(list: ClassicLevel): Promise<string[]> {
  const names: string[] = [];
  const { start, end } = layout.documents;
  for await (const text of list.values({ gte: start, lt: end })) {
    const { id, deleted } = parseRecord(text);
    if (!deleted && id.startsWith(ENTRY)) names.push(id.slice(ENTRY.length));
  }
  return names.filter((name) => !/^\.{0,2}$|[/\\\0]/.test(name));
}

async function open(root: string, level: ClassicLevel): Promise<void> {
  try {
    await level.open({ createIfMissing: false });
  } catch (error) {
    const { cause } = error as { cause?: { code?: string } };
    if (cause?.code !== 'LEVEL_LOCKED') throw error;
    throw new StartError(
      [`another process, perhaps pouchdb-server, uses databases in ${root}: it has to be stopped first`],
      exitCodes.locked,
      { cause: error },
    );
  }
}

const isLevel = async (folder: string): Promise<boolean> =>
  (await stat(join(folder, 'CURRENT')).catch(ifMissing)) !== undefined;

function ifMissing(error: unknown): undefined {
  const { code } = error as NodeJS.ErrnoException;
  if (code !== 'ENOENT' && code !== 'ENOTDIR') throw error;
}

const nameIsOurs = (root: string, name: string): StartError =>
  new StartError(
    [
      `${root} holds a database of pouchdb-server called ${name}, as Causeway calls a folder of its own:`,
      'it cannot be taken over before the database has another name, to which pouchdb-server can replicate it',
    ],
    exitCodes.dataFormat,
  );

const notLevel = (root: string): StartError =>
  new StartError(
    [
      `${root} holds databases that pouchdb-server keeps in SQLite, which cannot be taken over:`,
      'choose another data directory, run pouchdb-server beside it, and replicate them',
    ],
    exitCodes.dataFormat,
  );

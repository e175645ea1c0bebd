import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { realpath } from 'node:fs/promises';
import path from 'node:path';
import { ClassicLevel } from 'classic-level';
import { z } from 'zod';
import { exitCodes, StartError } from './exit.js';
import { isFolder, makeFolder, removeDrafts, replaceFile } from './files.js';

/** The form of the data directory that this version reads and writes. */
export const DATA_FORMAT = 1;

const serverFile = z.object({ format: z.int().min(1), uuid: z.string().optional() });
const uuidForm = /^[0-9a-f]{32}$/;

/** A data directory that this process alone uses, until it is closed or the process ends. */
export interface DataDirectory {
  /** Absolute. */
  readonly path: string;
  /** Names this server for as long as the directory exists; 32 hexadecimal digits. */
  readonly uuid: string;
  close(): Promise<void>;
}

/**
 * Opens the data directory, and makes it on the first start.
 * Throws a `StartError` when it is in use, of a newer format, damaged or not writable.
 */
export async function openDataDirectory(directory: string): Promise<DataDirectory> {
  const root = path.resolve(directory);
  // Before anything in it is touched: a newer version may keep its lock elsewhere.
  readServer(root);
  await makeWritable(root);
  const lock = await takeLock(root);
  try {
    await removeDrafts(root);
    const server = readServer(root) ?? (await writeServer(root));
    return { path: root, uuid: server.uuid, close: () => lock.close() };
  } catch (error) {
    await lock.close();
    throw error instanceof StartError ? error : cannotWrite(root, error);
  }
}

/** Throws a `StartError` where nothing in the directory may be read, because it is of a newer format or damaged. */
export function requireKnownFormat(directory: string): void {
  readServer(path.resolve(directory));
}

/**
 * Takes a data directory that exists for this process alone. Nothing in it is touched but its lock.
 * Throws a `StartError` when it is missing, in use, or of a newer format.
 */
export async function lockDataDirectory(directory: string): Promise<Omit<DataDirectory, 'uuid'>> {
  const root = path.resolve(directory);
  // One that has lost its server.json is one as long as it has databases; any other folder is somebody else's.
  const isThere =
    (await isFolder(root)) &&
    (serverFileState(root) !== 'missing' || (await isFolder(path.join(root, 'databases'))));
  if (!isThere) throw new StartError([`there is no data directory at ${root}`], exitCodes.noInput);
  const lock = await takeLock(root);
  return { path: root, close: () => lock.close() };
}

/** What server.json in a data directory is like. Throws a `StartError` when it is of a newer format. */
export function serverFileState(root: string): 'fine' | 'missing' | 'damaged' {
  try {
    return readServer(root) === undefined ? 'missing' : 'fine';
  } catch (error) {
    if (error instanceof DamagedFile) return 'damaged';
    throw error;
  }
}

async function makeWritable(root: string): Promise<void> {
  try {
    await makeFolder(root);
  } catch (error) {
    throw cannotWrite(root, error);
  }
}

/**
 * LevelDB locks its folder through the kernel, which releases the lock when the process ends in any way.
 * A LevelDB that holds nothing serves as the lock of the whole directory.
 */
async function takeLock(root: string): Promise<ClassicLevel> {
  // The kernel locks for a process. Within one LevelDB compares paths, which must not differ by a symbolic link.
  const folder = path.join(await realpath(root), 'lock');
  const lock = new ClassicLevel(folder);
  try {
    // LevelDB would say of a disk that takes no folder that the one above is missing.
    await makeFolder(folder);
    await lock.open();
    return lock;
  } catch (error) {
    const cause = (error as Error).cause as (Error & { code?: string }) | undefined;
    if (cause?.code !== 'LEVEL_LOCKED') throw cannotLock(root, cause ?? error);
    throw new StartError([`the data directory ${root} is in use by another process`], exitCodes.locked, {
      cause: error,
    });
  }
}

function readServer(root: string): { uuid: string } | undefined {
  const file = path.join(root, 'server.json');
  const text = readIfThere(file);
  if (text === undefined) return undefined;
  const { format, uuid } = parseServer(file, text);
  if (format > DATA_FORMAT) {
    const problem = `the data directory ${root} has format ${format}; this version reads up to ${DATA_FORMAT}`;
    throw new StartError([`${problem}: use a newer version of Causeway`], exitCodes.dataFormat);
  }
  if (uuid === undefined || !uuidForm.test(uuid)) throw damaged(file);
  return { uuid };
}

function parseServer(file: string, text: string): z.infer<typeof serverFile> {
  try {
    return serverFile.parse(JSON.parse(text));
  } catch (error) {
    throw damaged(file, error);
  }
}

function readIfThere(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    // Where a file stands in the way, making the directory fails with a better reason.
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined;
    throw cannotWrite(path.dirname(file), error);
  }
}

async function writeServer(root: string): Promise<{ uuid: string }> {
  const uuid = randomBytes(16).toString('hex');
  await replaceFile(path.join(root, 'server.json'), `${JSON.stringify({ format: DATA_FORMAT, uuid })}\n`);
  return { uuid };
}

/** Why nothing can be written to a data directory. */
export function cannotWrite(root: string, cause: unknown): StartError {
  return unusable(root, reasonOf(cause), cause);
}

/** The same, for those who may not know that reading needs it. */
function cannotLock(root: string, cause: unknown): StartError {
  const problem = 'its lock, which has to be written even for reading, cannot be taken';
  return unusable(root, `${problem}: ${reasonOf(cause)}`, cause);
}

function unusable(root: string, reason: string, cause: unknown): StartError {
  return new StartError([`the data directory ${root} cannot be used: ${reason}`], exitCodes.cannotWrite, {
    cause,
  });
}

const reasonOf = (cause: unknown): string => (cause instanceof Error ? cause.message : String(cause));

class DamagedFile extends StartError {}

function damaged(file: string, cause?: unknown): StartError {
  return new DamagedFile([`${file} is damaged: it has to hold "format" and "uuid"`], exitCodes.dataFormat, {
    cause,
  });
}

import { randomBytes } from 'node:crypto';
import { open, rename, stat, type FileHandle } from 'node:fs/promises';
import { dirname } from 'node:path';
import { syncFolder } from '../config/files.js';

/**
 * Tells whether a database is the copy that this server wrote last, or an older one that somebody put back.
 *
 * PouchDB's and CouchDB's replicators trust a checkpoint whose session stands on both sides, and go on from where the
 * *source* says: a target that was put back with its checkpoints would never be filled again. So each run that writes
 * leaves its name in the database and in a file beside it. The names differ when the database's folder was put back as
 * an earlier run had left it; what the file says of the folder, which no copy of it can have, when the copy was made
 * during the run that wrote last; and what it says of itself, when both were put back.
 */
interface Marker {
  /** The run that wrote last; before a run's first batch is on disk also the one that begins. */
  readonly runs: readonly string[];
  readonly file: string;
  readonly folder: string;
}

/** Where a database and its marker stand. */
export interface CopyPlace {
  readonly folder: string;
  readonly marker: string;
}

export const newRunName = (): string => randomBytes(8).toString('hex');

/** The runs that the marker file vouches for; none where it is missing, or where it or the folder is a copy. */
export async function vouchedRuns({ folder, marker: file }: CopyPlace): Promise<readonly string[]> {
  let handle;
  try {
    handle = await open(file, 'r');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
  try {
    const marker = parseMarker(await handle.readFile('utf8'));
    const isOwn = marker?.file === (await identityOf(handle)) && marker.folder === (await identityOf(folder));
    return isOwn ? marker.runs : [];
  } finally {
    await handle.close();
  }
}

/** Numbers of inodes are given out again: only with the time of birth nothing else can be called so. */
async function identityOf(place: FileHandle | string): Promise<string> {
  const { ino, birthtimeNs } = await (typeof place === 'string'
    ? stat(place, { bigint: true })
    : place.stat({ bigint: true }));
  return `${String(ino)}-${String(birthtimeNs)}`;
}

function parseMarker(text: string): Marker | undefined {
  try {
    const { runs, file, folder } = JSON.parse(text) as Partial<Marker>;
    const isWhole = Array.isArray(runs) && typeof file === 'string' && typeof folder === 'string';
    return isWhole ? { runs, file, folder } : undefined;
  } catch {
    // A marker that a crash cut short vouches for nothing.
    return undefined;
  }
}

/** Replaces the marker file, durably. */
export async function writeMarker(
  { folder, marker: file }: CopyPlace,
  runs: readonly string[],
): Promise<void> {
  const fresh = `${file}.new`;
  const handle = await open(fresh, 'w', 0o600);
  try {
    const marker: Marker = { runs, file: await identityOf(handle), folder: await identityOf(folder) };
    await handle.writeFile(JSON.stringify(marker));
    await handle.sync();
  } finally {
    await handle.close();
  }
  await rename(fresh, file);
  await syncFolder(dirname(file));
}

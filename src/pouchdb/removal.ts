import { randomBytes } from 'node:crypto';
import { readdir, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { ClassicLevel } from 'classic-level';
import { syncFolder } from '../config/files.js';

/** Files of a LevelDB, and our marker. */
const OWN = /^(CURRENT|LOCK|LOG|LOG\.old|MANIFEST-\d+|\d+\.(log|ldb|sst|dbtmp)|causeway-copy(\.new)?)$/;

/** Removes the database of a directory that is closed; files that are not the database's stay. */
export async function removeDatabase(path: string): Promise<void> {
  const names = await readdir(path);
  if (names.every((name) => OWN.test(name))) return removeFolder(path);
  await ClassicLevel.destroy(path);
  for (const name of await readdir(path)) {
    if (name.startsWith('causeway-copy')) await rm(join(path, name));
  }
}

/** In one step: half a LevelDB may open as a database that has lost something. */
async function removeFolder(path: string): Promise<void> {
  const gone = `${path}.deleted-${randomBytes(8).toString('hex')}`;
  await rename(path, gone);
  await syncFolder(dirname(path));
  await rm(gone, { recursive: true });
}

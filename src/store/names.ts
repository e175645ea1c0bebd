import { databaseNameTooLong, illegalDatabaseName } from '../errors.js';

/** Databases of CouchDB itself, the only names that may begin with an underscore. */
const SYSTEM_DATABASES = new Set(['_users', '_replicator', '_global_changes']);

/** As CouchDB has it for a path segment: what every file system takes, less room for what is put behind it. */
const MAX_FOLDER_LENGTH = 238;

/** Folders that begin so are nobody's, and are removed at the next start; no database name does. */
export const DELETED = '.deleted-';

const NAME = /^[a-z][a-z0-9_$()+/-]*$/;

/** Whether a database may have this name: CouchDB's rule, and short enough for a folder. */
export function isDatabaseName(name: string): boolean {
  if (!SYSTEM_DATABASES.has(name) && !NAME.test(name)) return false;
  return folderOf(name).length <= MAX_FOLDER_LENGTH;
}

/** @throws CouchError 400 for a name that no database may have; it says the name */
export function requireDatabaseName(name: string): void {
  if (!isDatabaseName(name)) throw NAME.test(name) ? databaseNameTooLong(name) : illegalDatabaseName(name);
}

/** The folder of a database below the data directory: the name, percent-encoded. */
export const folderOf = (name: string): string => encodeURIComponent(name);

/** The database that lives in a folder; undefined where the folder is none of ours. */
export function nameOf(folder: string): string | undefined {
  let name;
  try {
    name = decodeURIComponent(folder);
  } catch {
    return undefined;
  }
  return isDatabaseName(name) && folderOf(name) === folder ? name : undefined;
}

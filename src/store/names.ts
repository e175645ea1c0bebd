/** Databases of CouchDB itself, the only names that may begin with an underscore. */
const SYSTEM_DATABASES = new Set(['_users', '_replicator', '_global_changes']);

/** As CouchDB has it for a path segment: what every file system takes, less room for what is put behind it. */
const MAX_FOLDER_LENGTH = 238;

/** Folders that begin so are nobody's, and are removed at the next start; no database name does. */
export const DELETED = '.deleted-';

/** Whether a database may have this name: CouchDB's rule, and short enough for a folder. */
export function isDatabaseName(name: string): boolean {
  if (!SYSTEM_DATABASES.has(name) && !/^[a-z][a-z0-9_$()+/-]*$/.test(name)) return false;
  return folderOf(name).length <= MAX_FOLDER_LENGTH;
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

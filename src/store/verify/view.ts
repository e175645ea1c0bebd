import { randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import { copyFile, link, mkdir, readdir, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { ClassicLevel } from 'classic-level';
import { DELETED } from '../names.js';

/** Tables are never changed once they are written; LevelDB only removes them. */
const TABLE = /\.(ldb|sst)$/;

/** What LevelDB reads when it opens a folder. */
const NEEDED = /^(CURRENT|MANIFEST-[0-9]+|[0-9]+\.log)$/;

/** Of memory, for a database that is only read. */
const CACHE = 8 * 1024 * 1024;

/**
 * Lets `work` read a database as it is. LevelDB writes when it opens: it moves its log into a table, drops what does
 * not fit its checksum, and removes files that it does not know. So it gets a folder beside the database's own with
 * links to the same tables, which is gone afterwards, at the latest with the next start of the server.
 * @param beside where that folder is made: one in which a start removes what is left
 */
export async function withView<T>(
  folder: string,
  work: (level: ClassicLevel) => Promise<T>,
  beside = dirname(folder),
): Promise<T> {
  const view = join(beside, DELETED + randomBytes(8).toString('hex'));
  await mkdir(view, { mode: 0o700 });
  try {
    for (const file of await readdir(folder)) {
      if (TABLE.test(file)) await share(join(folder, file), join(view, file));
      else if (NEEDED.test(file)) await copyFile(join(folder, file), join(view, file));
    }
    const level = new ClassicLevel(view, { createIfMissing: false, cacheSize: CACHE });
    await level.open();
    try {
      return await work(level);
    } finally {
      await level.close();
    }
  } finally {
    await rm(view, { recursive: true, force: true });
  }
}

/** Some file systems have no links. */
async function share(from: string, to: string): Promise<void> {
  await link(from, to).catch(() => copyFile(from, to, constants.COPYFILE_FICLONE));
}

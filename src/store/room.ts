import { readdir, stat, statfs } from 'node:fs/promises';
import path from 'node:path';

/** Besides its logs, which become tables, an opening writes little. */
const BESIDE = 1024 * 1024;

/** Files that are made meanwhile, with some to spare. */
const FILES = 16;

/** Whether the disk has the room that LevelDB needs to open a database again. */
export async function hasRoom(folder: string): Promise<boolean> {
  const { bavail, bsize, files, ffree } = await statfs(folder);
  // Some file systems do not count files.
  if (files > 0 && ffree < FILES) return false;
  return bavail * bsize >= BESIDE + (await logBytes(folder));
}

async function logBytes(folder: string): Promise<number> {
  const logs = (await readdir(folder)).filter((name) => name.endsWith('.log'));
  const sizes = await Promise.all(logs.map(async (name) => (await stat(path.join(folder, name))).size));
  return sizes.reduce((sum, size) => sum + size, 0);
}

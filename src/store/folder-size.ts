import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';

/** Bytes of all files in a folder; those that LevelDB removes meanwhile count as none. */
export async function folderSize(folder: string): Promise<number> {
  const sizes = await Promise.all((await readdir(folder)).map((file) => fileSize(join(folder, file))));
  return sizes.reduce((sum, size) => sum + size, 0);
}

async function fileSize(file: string): Promise<number> {
  try {
    return (await stat(file)).size;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return 0;
    throw error;
  }
}

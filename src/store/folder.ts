import { readdir } from 'node:fs/promises';

/**
 * To be asked before LevelDB has anything to do with a folder: it takes one without the file CURRENT for a new
 * database, and removes all tables that it finds there.
 * @throws where there are some
 */
export async function requireCurrent(folder: string): Promise<void> {
  const files = await readdir(folder).catch(noFolder);
  const hasTables = files.some((file) => /\.(ldb|sst)$/.test(file));
  if (hasTables && !files.includes('CURRENT'))
    throw new Error(`the file CURRENT is missing in ${folder}; \`causeway verify\` tells more`);
}

function noFolder(error: NodeJS.ErrnoException): string[] {
  if (error.code === 'ENOENT') return [];
  throw error;
}

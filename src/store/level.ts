import { readdirSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ClassicLevel } from 'classic-level';

/** A view of a LevelDB as it was at one moment; must be closed. */
export type Snapshot = ReturnType<ClassicLevel['snapshot']>;

/** Makes the LevelDB of a folder, not opened yet; both numbers are bytes. */
export type NewLevel = (
  folder: string,
  options: { readonly cacheSize: number; readonly writeBufferSize: number },
) => ClassicLevel;

export const newLevel: NewLevel = (folder, options) =>
  new ClassicLevel(folder, { keyEncoding: 'utf8', valueEncoding: 'utf8', ...options });

/**
 * Opens the LevelDB of a folder, making it only where nothing was written yet. LevelDB itself takes a folder that has
 * lost its file CURRENT for an empty one, and removes every table in it.
 */
export async function openLevel(level: ClassicLevel): Promise<void> {
  // Without a pause: a new LevelDB opens by itself in the next turn.
  const createIfMissing = !filesIn(level.location).some((name) => /\.(ldb|sst|log)$/.test(name));
  await level.open({ createIfMissing });
}

/**
 * Whether LevelDB left out a part of its log when it was opened, because it did not fit its checksum. It goes on without
 * what stood there, and says so nowhere else. What a crash cut off at the end is not meant.
 */
export async function droppedPart({ location }: ClassicLevel): Promise<boolean> {
  // It begins this file anew each time, and does without where it cannot.
  const said = await readFile(join(location, 'LOG'), 'utf8').catch(() => '');
  return /: dropping [0-9]+ bytes; /.test(said);
}

function filesIn(folder: string): readonly string[] {
  try {
    return readdirSync(folder);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}

/**
 * Puts on the disk what was written without a sync. The sync of a later write is not enough: LevelDB begins a new log
 * now and then, and a power cut may take the end of the old one all the same.
 */
export const flush = (level: ClassicLevel): Promise<void> =>
  // It writes all that is in memory to tables first; there is nothing in this range.
  level.compactRange('', '');

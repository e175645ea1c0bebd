import { randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import { mkdir, open, readdir, rename, rm, stat } from 'node:fs/promises';
import path from 'node:path';

/** Makes a folder and those above it, each entry on the disk before this resolves. */
export async function makeFolder(folder: string, mode = 0o700): Promise<void> {
  const first = await makeMissing(folder, mode);
  if (first === undefined) return;
  for (let made = folder; made.length >= first.length; made = path.dirname(made)) {
    await syncFolder(path.dirname(made));
    if (made === first) return;
  }
}

/**
 * Makes a folder and those above it. Node's own way tries for ever, and ends at no signal, where a folder that is there
 * takes no new one and says that it is missing itself, as those do that are filled by an automounter.
 * @returns the first one that was made, undefined where all were there
 */
async function makeMissing(folder: string, mode: number): Promise<string | undefined> {
  try {
    return await makeOne(folder, mode);
  } catch (error) {
    const above = path.dirname(folder);
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT' || above === folder) throw error;
    const first = await makeMissing(above, mode);
    const own = await makeOne(folder, mode);
    return first ?? own;
  }
}

/** @returns undefined where it is there */
async function makeOne(folder: string, mode: number): Promise<string | undefined> {
  try {
    await mkdir(folder, mode);
    return folder;
  } catch (error) {
    if (await isFolder(folder)) return undefined;
    throw error;
  }
}

/** Whether there is a folder at a place; none is where it cannot be looked at. */
export async function isFolder(place: string): Promise<boolean> {
  const found = await stat(place).catch(() => undefined);
  return found?.isDirectory() === true;
}

/** Puts the entries of a folder (new, renamed or removed files) on the disk. */
export async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, constants.O_RDONLY);
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

const DRAFT = /\.[0-9a-f]{12}\.tmp$/;

/** Replaces a file in one step: after a crash there is the old content or the new one, on the disk. */
export async function replaceFile(file: string, content: string, mode = 0o600): Promise<void> {
  const draft = `${file}.${randomBytes(6).toString('hex')}.tmp`;
  try {
    const handle = await open(draft, 'wx', mode);
    try {
      await handle.writeFile(content);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(draft, file);
  } catch (error) {
    await rm(draft, { force: true });
    throw error;
  }
  await syncFolder(path.dirname(file));
}

/** Removes what a crash left of files that were about to be replaced: secrets may stand in it. */
export async function removeDrafts(folder: string): Promise<void> {
  const names = await readdir(folder);
  const drafts = names.filter((name) => DRAFT.test(name));
  for (const name of drafts) await rm(path.join(folder, name));
}

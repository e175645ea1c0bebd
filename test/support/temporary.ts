import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';

const NAME = 'causeway-tests-';

/** Nothing is left behind of what programs under test put into the system's folder: some never remove it. */
export async function setup(): Promise<(() => Promise<void>) | undefined> {
  // It is called for each project, and paths of sockets may not be long.
  if (path.basename(tmpdir()).startsWith(NAME)) return undefined;
  const folder = await mkdtemp(path.join(tmpdir(), NAME));
  process.env.TMPDIR = folder;
  return async () => {
    await rm(folder, { recursive: true, force: true });
  };
}

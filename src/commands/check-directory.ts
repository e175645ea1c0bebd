import { readdir, stat } from 'node:fs/promises';
import path from 'node:path';
import { serverFileState } from '../config/datadir.js';
import { StartError } from '../config/exit.js';
import { readRuntime } from '../config/runtime.js';
import { verifyRejections } from '../rejections/verify.js';
import { DELETED, folderOf, nameOf } from '../store/names.js';
import type { Report } from '../store/verify/findings.js';
import { verifyValues } from '../store/verify/values.js';

/** Everything that stands in a data directory. */
const KNOWN = new Set([
  'server.json',
  'databases',
  'copies',
  'rejections',
  'mirrors',
  'mirror-rejections',
  'upstream-accounts',
  'runtime.json',
  'secret',
  'admin-password',
  'lock',
]);

/** What it keeps beside databases, in a LevelDB each. */
const KEPT: readonly (readonly [folder: string, verify: Verify])[] = [
  ['rejections', verifyRejections],
  ['mirror-rejections', verifyRejections],
  ['mirrors', (...where) => verifyValues('mirrors_damaged', ...where)],
  ['upstream-accounts', (...where) => verifyValues('accounts_damaged', ...where)],
];

type Verify = (folder: string, beside: string, report: Report) => Promise<void>;

/** What others than the owner may not read. */
const PRIVATE = [
  ...['databases', 'copies', 'runtime.json', 'secret', 'admin-password'],
  ...KEPT.map(([folder]) => folder),
];

/** Checks what stands in a data directory beside its databases. @returns the names of these, sorted */
export async function checkDirectory(root: string, report: Report): Promise<readonly string[]> {
  const entries = await readdir(root);
  const state = serverFileState(root);
  if (state !== 'fine') report({ code: 'directory_server', problem: `server.json is ${state}` });
  checkRuntime(root, report);
  for (const name of entries.sort()) {
    if (!KNOWN.has(name)) report({ code: 'directory_stray', problem: `${name} is not the server's` });
  }
  for (const name of PRIVATE) if (entries.includes(name)) await checkMode(path.join(root, name), report);
  const names = entries.includes('databases') ? await checkFolders(root, report) : [];
  for (const [folder, verify] of KEPT)
    if (entries.includes(folder)) await verify(path.join(root, folder), path.join(root, 'databases'), report);
  if (entries.includes('copies')) await checkMarkers(root, new Set(names.map(folderOf)), report);
  return names;
}

function checkRuntime(root: string, report: Report): void {
  try {
    readRuntime(root);
  } catch (error) {
    if (!(error instanceof StartError)) throw error;
    report({ code: 'directory_runtime', problem: 'runtime.json cannot be read as what the server wrote' });
  }
}

async function checkMode(file: string, report: Report): Promise<void> {
  const { mode } = await stat(file);
  if (process.platform === 'win32' || (mode & 0o077) === 0) return;
  report({
    code: 'directory_open',
    problem: `${path.basename(file)} is open to other users of this machine`,
  });
}

async function checkFolders(root: string, report: Report): Promise<readonly string[]> {
  const names: string[] = [];
  for (const entry of await readdir(path.join(root, 'databases'), { withFileTypes: true })) {
    const name = entry.isDirectory() ? nameOf(entry.name) : undefined;
    if (name !== undefined) names.push(name);
    // Left by a crash; the next start removes it.
    else if (!entry.name.startsWith(DELETED))
      report({ code: 'directory_stray', problem: `databases/${entry.name} is no database` });
  }
  return names.sort();
}

async function checkMarkers(root: string, folders: ReadonlySet<string>, report: Report): Promise<void> {
  for (const marker of await readdir(path.join(root, 'copies'))) {
    if (!folders.has(marker))
      report({ code: 'directory_marker', problem: `copies/${marker} is of no database` });
  }
}

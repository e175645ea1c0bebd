import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Report } from './findings.js';
import { checkLog } from './leveldb/log-file.js';
import { tablesIn } from './leveldb/manifest.js';
import { checkTable } from './leveldb/table-file.js';

/** Checks LevelDB's files by their checksums, which it does not do itself. */
export async function checkFiles(folder: string, report: Report): Promise<void> {
  const files = await readdir(folder);
  const manifest = await currentManifest(folder, files, report);
  const tables = manifest === undefined ? undefined : await knownTables(join(folder, manifest));
  for (const file of files.sort()) {
    if (/\.(ldb|sst)$/.test(file)) {
      if (tables?.has(Number.parseInt(file, 10)) === false) continue;
      const problem = await checkTable(join(folder, file));
      if (problem !== undefined)
        report({ code: 'files_damaged', problem: `the table ${file} is damaged: ${problem}` });
    } else if (/^[0-9]+\.log$/.test(file) || file === manifest) {
      await reportLog(folder, file, report);
    }
  }
}

/** The name of the file that says which tables count. */
async function currentManifest(
  folder: string,
  files: readonly string[],
  report: Report,
): Promise<string | undefined> {
  if (!files.includes('CURRENT')) {
    // A crash may come between the making of a folder and that of its files.
    if (files.length > 0) report({ code: 'files_missing', problem: 'the file CURRENT is missing' });
    return undefined;
  }
  const manifest = (await readFile(join(folder, 'CURRENT'), 'latin1')).trimEnd();
  if (!/^MANIFEST-[0-9]+$/.test(manifest))
    report({ code: 'files_damaged', problem: 'the file CURRENT is damaged' });
  else if (files.includes(manifest)) return manifest;
  else report({ code: 'files_missing', problem: `the file ${manifest} is missing` });
  return undefined;
}

/** The numbers of the tables that count; undefined where nobody can tell: then all do. */
async function knownTables(manifest: string): Promise<ReadonlySet<number> | undefined> {
  const checked = await checkLog(manifest);
  return typeof checked === 'string' ? tablesIn(manifest) : undefined;
}

async function reportLog(folder: string, file: string, report: Report): Promise<void> {
  const checked = await checkLog(join(folder, file));
  if (checked === 'whole') return;
  if (checked === 'cut') report({ code: 'files_cut', problem: `the end of ${file} is cut off` });
  else {
    const where = `${file} does not fit its checksum at ${String(checked.damagedAt)}`;
    report({ code: 'files_damaged', problem: `${where}: what was written then is lost` });
  }
}

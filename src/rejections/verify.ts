import path from 'node:path';
import type { ClassicLevel } from 'classic-level';
import { checkFiles } from '../store/verify/files.js';
import { kindOf, type Report } from '../store/verify/findings.js';
import { isLevelError, reasonOf } from '../store/verify/level-errors.js';
import { withView } from '../store/verify/view.js';
import { entryKey, listKey } from './level.js';
import type { ListInfo, Rejection } from './rejection.js';

/**
 * Checks the lists of rejections of a server that does not run, without writing to them.
 * @param beside a folder in which the next start of the server removes what is left of this
 */
export async function verifyRejections(folder: string, beside: string, report: Report): Promise<void> {
  const problems: string[] = [];
  const damaged = (problem: string, document?: string): void => {
    problems.push(problem);
    report({ code: 'rejections_damaged', problem, ...(document !== undefined && { document }) });
  };
  await checkFiles(folder, (finding) => {
    const problem = `${path.basename(folder)}: ${finding.problem}`;
    if (kindOf(finding.code).level === 'problem') damaged(problem);
    else report({ ...finding, problem });
  });
  try {
    await withView(folder, (level) => checkLists(level, damaged), beside);
  } catch (error) {
    if (!isLevelError(error)) throw error;
    // What keeps LevelDB from reading the files was told already.
    if (problems.length === 0) damaged(`LevelDB cannot read the rejections: ${reasonOf(error)}`);
  }
}

type Damaged = (problem: string, document?: string) => void;

async function checkLists(level: ClassicLevel, damaged: Damaged): Promise<void> {
  /** Key of a list → how many rejections are on it. Of all of them: the entries come first. */
  const counts = new Map<string, number>();
  for await (const [key, text] of level.iterator()) {
    if (key.startsWith('e')) checkEntry(key, text, counts, damaged);
    else if (key.startsWith('l')) checkInfo(key, text, counts, damaged);
    else damaged(`${JSON.stringify(key)} is no list of rejections`);
  }
  for (const key of counts.keys()) damaged(`the list ${key.slice(1)} is missing, and what is on it is there`);
}

function checkEntry(key: string, text: string, counts: Map<string, number>, damaged: Damaged): void {
  const place = parsed(key.slice(1));
  if (!Array.isArray(place) || place.length !== 4) {
    damaged(`${key.slice(1)} is no place of a rejection`);
    return;
  }
  const [owner, name, id, rev] = place as readonly string[];
  const list = { owner: owner ?? null, name: name ?? '' };
  const ownKey = listKey(list);
  counts.set(ownKey, (counts.get(ownKey) ?? 0) + 1);
  const entry = parsed(text);
  const isWhole =
    isRejection(entry) && entry.id === id && entry.rev === rev && key === entryKey(list, id, rev);
  if (!isWhole) damaged(`the rejection of its revision ${String(rev)} cannot be read`, id);
}

function isRejection(value: unknown): value is Rejection {
  if (typeof value !== 'object' || value === null) return false;
  const { status, first, last, attempts } = value as Partial<Rejection>;
  return [status, first, last, attempts].every(Number.isSafeInteger);
}

function checkInfo(key: string, text: string, counts: Map<string, number>, damaged: Damaged): void {
  const info = parsed(text) as ListInfo | null | undefined;
  const count = counts.get(key) ?? 0;
  counts.delete(key);
  if (typeof info !== 'object' || info === null || listKey(info) !== key)
    damaged(`what is known of the list ${key.slice(1)} cannot be read`);
  else if (info.count !== count)
    damaged(`the list ${key.slice(1)} holds ${String(count)} rejections and says ${String(info.count)}`);
}

/** Undefined for what is no JSON. */
function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

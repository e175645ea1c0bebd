import type { ClassicLevel } from 'classic-level';
import type { CopyPlace } from '../copy.js';
import * as layout from '../layout.js';
import { wasPouchHere } from '../opening.js';
import { countsConflicts, parseState, STATE } from '../state.js';
import { checkForms, checkUploads } from './attachment-bytes.js';
import { AttachmentChecks } from './attachments.js';
import { checkBases } from './bases.js';
import { checkBodies } from './bodies.js';
import { checkConflicts } from './conflicts.js';
import type { Context, Progress } from './context.js';
import { checkFiles } from './files.js';
import { type FindingCode, kindOf, type Report } from './findings.js';
import { isLevelError, reasonOf } from './level-errors.js';
import { checkJournal } from './journal.js';
import { readMarks } from './marks.js';
import { checkRecords } from './records.js';
import { checkCounters, Recount } from './recount.js';
import { checkSizes, newSizes } from './sizes.js';
import { checkLocals, checkParts, checkPurges, checkSettings } from './settings.js';
import { checkUnsent } from './unsent.js';
import { withView } from './view.js';

export interface VerifyOptions {
  readonly report: Report;
  readonly progress: Progress;
}

/**
 * Checks a database that nobody has open, without writing to it. Memory does not grow with its size.
 * @returns what was counted, as far as it got
 */
export async function verifyDatabase(
  place: CopyPlace,
  { report, progress }: VerifyOptions,
): Promise<Recount> {
  const recount = new Recount();
  const damages: FindingCode[] = [];
  await checkFiles(place.folder, (finding) => {
    if (kindOf(finding.code).level === 'problem') damages.push(finding.code);
    report(finding);
  });
  try {
    await withView(place.folder, (level) => verifyLevel(level, place, { report, progress, recount }));
  } catch (error) {
    if (!isLevelError(error)) throw error;
    // What keeps LevelDB from reading the files was told already, unless a table is missing, which it alone notices.
    if (damages.length === 0)
      report({ code: 'files_missing', problem: `LevelDB cannot read the files: ${reasonOf(error)}` });
  }
  return recount;
}

async function verifyLevel(
  level: ClassicLevel,
  place: CopyPlace,
  { report, progress, recount }: VerifyOptions & { readonly recount: Recount },
): Promise<void> {
  const text = await level.get(layout.meta.key(STATE));
  const state = parseState(text);
  const indexed = state !== undefined && countsConflicts(text) && !(await wasPouchHere(level, state));
  if (state === undefined)
    report({ code: 'counters_missing', problem: 'there are no counters that can be read' });
  else if (!countsConflicts(text))
    report({ code: 'counters_missing', problem: 'conflicts were never counted' });
  else if (!indexed)
    report({ code: 'foreign_writes', problem: 'PouchDB wrote or compacted since the last start' });
  const found = new Set<FindingCode>();
  const context: Context = {
    level,
    report: (finding) => {
      found.add(finding.code);
      report(finding);
    },
    progress,
    recount,
    sizes: newSizes(level),
    state,
    indexed,
  };
  await checkParts(context);
  const { epochs, revsLimit } = await checkSettings(context, place);
  const attachments = new AttachmentChecks(context, await checkForms(context));
  const oddBodies = await checkBodies(context, attachments);
  await checkRecords(context, { epochs, revsLimit, oddBodies });
  for (const odd of oddBodies.values()) context.report(odd);
  await checkJournal(context, attachments);
  await checkBases(context);
  const marks = await readMarks(level);
  await attachments.finish(marks);
  await checkUploads(context, marks);
  await checkLocals(context);
  await checkPurges(context);
  await checkConflicts(context);
  await checkUnsent(context);
  await checkCounters(context);
  await checkSizes(context, found);
}

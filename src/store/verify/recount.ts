import { BLOCK, ChangeCounts } from '../change-counts.js';
import * as layout from '../layout.js';
import { pagesOf } from '../pages.js';
import { pouchUpdateSeq, type State } from '../state.js';
import { type Context, READING } from './context.js';

/** What is counted while a database is read: the counters have to say the same. */
export class Recount {
  docCount = 0;
  deletedCount = 0;
  /** Bodies, and their bytes. */
  bodies = 0;
  bodyBytes = 0;
  /** Attachments that are stored, compressed forms among them, and their bytes. */
  attachments = 0;
  attachmentBytes = 0;
  chunked = 0;
  conflicts = 0;
  notedConflicts = 0;
  /** The highest that is used. */
  updateSeq = 0;
  /** Number of the last purge. */
  purgeSeq = 0;
  /** Whether a database of long ago does not say who has some attachment: its bytes stay whatever happens. */
  hasUnknownOwners = false;
  readonly changes = new ChangeCounts();
  /** Whether every record could be read; where one could not, nothing can be told of the counters. */
  isWhole = true;
}

/** Compares what was counted with the counters that are kept. */
export async function checkCounters(context: Context): Promise<void> {
  const { state, indexed, recount } = context;
  if (state === undefined || !indexed || !recount.isWhole) return;
  checkState(state, context);
  await checkPouchCounters(state, context);
  await checkChangeCounts(context);
}

const COUNTED = ['docCount', 'deletedCount', 'chunked', 'conflicts', 'notedConflicts'] as const;

/** All but the sizes. */
function checkState(state: State, { recount, report }: Context): void {
  for (const name of COUNTED) {
    if (state[name] === recount[name]) continue;
    const problem = `the counter ${name} says ${String(state[name])}, there are ${String(recount[name])}`;
    report({ code: 'counters_wrong', problem });
  }
  for (const name of ['updateSeq', 'purgeSeq'] as const) {
    if (state[name] >= recount[name]) continue;
    const problem = `the counter ${name} says ${String(state[name])}, but ${String(recount[name])} is in use`;
    report({ code: 'counters_wrong', problem });
  }
}

async function checkPouchCounters(state: State, { level, recount, report }: Context): Promise<void> {
  const wanted = [
    [layout.POUCH_UPDATE_SEQ, pouchUpdateSeq(state)],
    [layout.POUCH_DOC_COUNT, String(recount.docCount)],
  ] as const;
  for (const [key, value] of wanted) {
    const stored = await level.get(layout.pouchMeta.key(key));
    if (stored === value) continue;
    // A new database has none.
    if (stored === undefined && state.updateSeq === 0) continue;
    const problem = `PouchDB would read ${stored ?? 'nothing'} as ${key}, it has to be ${value}`;
    report({ code: 'pouchdb_counters', problem });
  }
  const uuid = await level.get(layout.pouchMeta.key(layout.POUCH_UUID));
  if (uuid === undefined) report({ code: 'pouchdb_counters', problem: `${layout.POUCH_UUID} is missing` });
}

async function checkChangeCounts({ level, recount, report }: Context): Promise<void> {
  const stored = new ChangeCounts();
  let blocks = 0;
  const entries = level.iterator({
    ...READING,
    gte: layout.changeCounts.start,
    lt: layout.changeCounts.end,
  });
  for await (const page of pagesOf(entries, 1000)) {
    for (const [key, count] of page) {
      const block = layout.parseSeqKey(layout.changeCounts.strip(key)) / BLOCK;
      if (Number.isSafeInteger(block) && block <= recount.updateSeq) {
        stored.add(block, Number(count));
        blocks = Math.max(blocks, block + 1);
      } else report({ code: 'changes_counts', problem: `a count of changes stands at ${key}` });
    }
  }
  for (let block = 0; block < Math.max(blocks, recount.changes.size); block++) {
    if (stored.get(block) === recount.changes.get(block)) continue;
    const range = `${String(block * BLOCK)} to ${String(block * BLOCK + BLOCK - 1)}`;
    const counts = `${String(stored.get(block))} changes are counted, there are ${String(recount.changes.get(block))}`;
    report({ code: 'changes_counts', problem: `of sequences ${range} ${counts}` });
  }
}

import type { ClassicLevel } from 'classic-level';
import type { ChangeCounts } from './change-counts.js';
import * as layout from './layout.js';
import { pagesOf } from './pages.js';
import { rowsAfter } from './pending.js';
import { countRows, entryRange, ofRow, parseEntry, writeEntry } from './unsent-entries.js';
import { allUnsent, readUnsent, UNSENT_KEY, type UnsentState } from './unsent-state.js';

/** Rows read at a time. */
const PAGE = 1000;

/** A database whose changes index was just made anew. */
interface Recounted {
  readonly updateSeq: number;
  readonly docCount: number;
  readonly deletedCount: number;
  readonly counts: ChangeCounts;
  /** Up to here sequences are our own; 0 where nobody can tell. */
  readonly ours: number;
}

/**
 * Puts right what waits for the upstream, where an account is kept: what another program wrote waits. To be done again
 * where a crash comes before the counters are stored.
 */
export async function recountUnsent(level: ClassicLevel, database: Recounted): Promise<void> {
  const known = readUnsent(await level.get(UNSENT_KEY), database);
  if (known === undefined) return;
  await level.put(UNSENT_KEY, JSON.stringify(await recounted(level, known, database)));
}

async function recounted(level: ClassicLevel, known: UnsentState, database: Recounted): Promise<UnsentState> {
  if (database.ours > 0)
    return { ...known, count: (await below(level, known, database)) + (await index(level, known, database)) };
  await level.clear({ gte: layout.unsent.start, lt: layout.unsent.end });
  const { updateSeq, docCount, deletedCount } = database;
  return allUnsent(updateSeq, docCount + deletedCount, Date.now());
}

/** How many rows wait up to the floor. */
async function below(
  level: ClassicLevel,
  { sent, floor }: UnsentState,
  { counts, updateSeq }: Recounted,
): Promise<number> {
  if (sent >= floor) return 0;
  return (
    (await rowsAfter(level, counts, sent, updateSeq)) - (await rowsAfter(level, counts, floor, updateSeq))
  );
}

/** Adds what is new to the index, and takes away what has another place since. @returns how many rows wait in it */
async function index(
  level: ClassicLevel,
  { sent, floor }: UnsentState,
  { ours, updateSeq }: Recounted,
): Promise<number> {
  const fresh = { gt: layout.changes.key(layout.seqKey(ours)), lt: layout.changes.end };
  const since = { time: Date.now(), seq: 0 };
  for await (const page of pagesOf(level.keys(fresh), PAGE)) {
    const batch = level.batch();
    for (const key of page) writeEntry(batch, ofRow(layout.parseSeqKey(layout.changes.strip(key)), since));
    await batch.write();
  }
  const after = Math.max(sent, floor);
  let count = 0;
  for await (const page of pagesOf(level.iterator(entryRange(after, updateSeq)), PAGE)) {
    const entries = page.map(([key, text]) => parseEntry(key, text));
    const counts = await countRows(level, entries, after);
    const batch = level.batch();
    for (const [at, entry] of entries.entries()) {
      const rows = counts[at] ?? 0;
      if (rows !== entry.rows) writeEntry(batch, { ...entry, rows });
      count += rows;
    }
    await batch.write();
  }
  return count;
}

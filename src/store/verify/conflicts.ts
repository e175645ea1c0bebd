import { conflictingLeaves, conflictKey, parseConflict } from '../conflicts/rows.js';
import type { ConflictRow } from '../conflicts/types.js';
import * as layout from '../layout.js';
import { pagesOf } from '../pages.js';
import type { StoredDocument } from '../record.js';
import { type Context, READING, readableRecord } from './context.js';

/** Rows read at a time. */
const PAGE = 1000;

/** Every document in conflict has to have its row. */
export async function checkConflictRows(
  { level, report, recount, indexed }: Context,
  records: readonly StoredDocument[],
): Promise<void> {
  const conflicting = records.filter((record) => conflictingLeaves(record) > 0);
  recount.conflicts += conflicting.length;
  if (!indexed || conflicting.length === 0) return;
  const rows = await level.getMany(conflicting.map(({ seq }) => conflictKey(seq)));
  for (const [at, record] of conflicting.entries()) {
    const row = readRow(record.seq, rows[at]);
    if (row?.id === record.id && row.leaves === conflictingLeaves(record)) {
      if (row.state !== undefined) recount.notedConflicts++;
      continue;
    }
    const problem = `the index of conflicts has no good row at sequence ${String(record.seq)}`;
    report({ code: 'conflicts_index', problem, document: record.id });
  }
}

/** Rows of no document in conflict: there are some only where there are more rows than such documents. */
export async function checkConflicts({ level, report, recount, indexed }: Context): Promise<void> {
  if (!indexed || !recount.isWhole) return;
  const range = { gte: layout.conflicts.start, lt: layout.conflicts.end };
  let rows = 0;
  for await (const page of pagesOf(level.keys({ ...READING, ...range }), PAGE)) rows += page.length;
  if (rows === recount.conflicts) return;
  for await (const page of pagesOf(level.iterator({ ...READING, ...range }), PAGE)) {
    for (const [key, text] of page) {
      const at = layout.conflicts.strip(key);
      const row = readRow(layout.parseSeqKey(at), text);
      const stored = row && readableRecord(await level.get(layout.documents.key(row.id)));
      if (row !== undefined && stored?.seq === row.seq && conflictingLeaves(stored) > 0) continue;
      const problem = `the row of the index of conflicts at sequence ${at} is of no document in conflict`;
      report({ code: 'conflicts_index', problem, document: row?.id });
    }
  }
}

function readRow(seq: number, text: string | undefined): ConflictRow | undefined {
  try {
    return text === undefined ? undefined : parseConflict(seq, text);
  } catch {
    return undefined;
  }
}

import { badRequest, conflict, noEntry } from '../errors.js';
import { inTurns } from '../json/turns.js';
import { readEdit } from '../store/document.js';
import { bodySeq } from '../store/record.js';
import type { Database } from '../store/types/database.js';
import type { AttachmentEdit, DocumentEdit } from '../store/types/edits.js';
import type { DocumentRecord } from '../store/types/records.js';
import { areSame, entryOf } from './by-hand.js';
import { hashOf } from './edits.js';
import { type MergeEntry, parseEntry, type UndoEntry } from './entries.js';
import { livingLeaves } from './loaded.js';
import { undoneRev } from './revisions.js';

/** What was written. */
export interface Undone {
  /** The leaves that are back. */
  readonly revs: readonly string[];
  /** Number of the entry in the journal. */
  readonly entry: number;
}

/**
 * Undoes a merge: its leaves come back as they were, with what they had attached, as new revisions that replicate. No rule
 * merges those until one of them is edited. Documents that leaves became are deleted, where they were not edited.
 * @param number of the entry in the journal
 * @param by name of who undoes it
 * @param db as they may write to it
 * @throws CouchError 400 where the entry tells of no merge, 403 where it may not be written, 404 where there is no such
 * entry, 409 where the document has changed since
 */
export async function undo(db: Database, number: number, by: string | null): Promise<Undone> {
  const found = db.journal.get(number);
  if (found === undefined) throw noEntry();
  const entry = parseEntry(found.text);
  if (entry.kind !== 'merge') throw badRequest(NO_MERGE[entry.kind]);
  const record = db.get(found.id);
  const ifLeaves = entry.deleted ? [] : [entry.merged];
  if (record === undefined || !isAsMerged(record, entry, ifLeaves))
    throw conflict(record && isPurged(record, entry) ? PURGED : undefined);
  const back = await leavesBack(db, record, entry, number);
  // It may be trimmed or purged meanwhile.
  if (back.length < entry.leaves.length) throw conflict(GONE);
  const revs = back.map(revOfEdit);
  const done: UndoEntry = { kind: 'undo', by, entry: number, merged: entry.merged, revs };
  const edits = [...back, ...documentsGone(db, entry)];
  const { merged: rev } = entry;
  const [text] = await db.readMany([{ record, rev }]);
  const journal = { text: JSON.stringify(done), keeps: [{ rev, seq: bodySeq(record, rev), text }] };
  const resolved = await db.resolve({ id: found.id, ifLeaves, edits }, { journal });
  return { revs, entry: entryOf(resolved) };
}

/** Whether the document is still as the merge left it. */
function isAsMerged(
  record: DocumentRecord,
  { merged, tombstones }: MergeEntry,
  ifLeaves: readonly string[],
): boolean {
  const all = new Set(record.leaves().map(({ rev }) => rev));
  return (
    areSame(livingLeaves(record), ifLeaves) && all.has(merged) && tombstones.every(({ rev }) => all.has(rev))
  );
}

/** What is said of other entries. */
const NO_MERGE = {
  tidy: 'The entry tells of leaves that added nothing to others: there is nothing to bring back.',
  undo: 'The entry tells of an undo. What it brought back is merged again once one of its leaves is edited, or by hand.',
} as const;

const PURGED = 'What went into the merge was purged since.';
const GONE = 'What went into the merge is not here any more.';

/** Whether leaves that went in are not known here any more. */
const isPurged = (record: DocumentRecord, { tombstones }: MergeEntry): boolean =>
  tombstones.some(({ rev, leaf }) => !record.has(rev) && !record.has(leaf));

/** Each leaf stands below what it became: its tombstone, or the merged revision. */
async function leavesBack(
  db: Database,
  record: DocumentRecord,
  { merged, tombstones }: MergeEntry,
  number: number,
): Promise<DocumentEdit[]> {
  const edits: DocumentEdit[] = [];
  for await (const { rev, text } of db.journal.leaves(number)) {
    const below = tombstones.find(({ leaf }) => leaf === rev)?.rev ?? merged;
    const { start, ids } = record.revisions(below) ?? { start: 0, ids: [] };
    const generation = start + 1;
    const undone = undoneRev(generation, rev, merged);
    const { deleted, body, attachments } = await inTurns(readEdit(text, 'shared'));
    edits.push({
      id: record.id,
      revisions: { start: generation, ids: [hashOf(undone), ...ids] },
      deleted,
      body,
      ...(attachments !== undefined && { attachments: newAt(generation, attachments) }),
    });
  }
  return edits;
}

/** Whoever has the revision below has not got its attachments. */
const newAt = (
  revpos: number,
  attachments: ReadonlyMap<string, AttachmentEdit>,
): ReadonlyMap<string, AttachmentEdit> =>
  new Map(
    Array.from(attachments, ([name, edit]) => [
      name,
      edit.kind === 'shared' ? { ...edit, attachment: { ...edit.attachment, revpos } } : edit,
    ]),
  );

function documentsGone(db: Database, { merged, documents }: MergeEntry): DocumentEdit[] {
  const same = documents.filter(({ id, rev }) => {
    const record = db.get(id);
    return record !== undefined && areSame(livingLeaves(record), [rev]);
  });
  return same.map(({ id, rev }) => {
    const generation = Number.parseInt(rev, 10) + 1;
    const ids = [hashOf(undoneRev(generation, rev, merged)), hashOf(rev)];
    return { id, revisions: { start: generation, ids }, deleted: true, body: '' };
  });
}

const revOfEdit = ({ revisions: { start, ids } }: DocumentEdit): string => `${String(start)}-${ids[0] ?? ''}`;

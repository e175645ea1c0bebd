import type { ClassicLevel } from 'classic-level';
import { withoutBodies } from '../revtree/compact.js';
import * as layout from './layout.js';
import { parseRecord, StoredDocument } from './record.js';

/** Records looked at, and documents compacted, at a time. */
const PAGE = 200;

/** Sequences whose bodies LevelDB tidies at a time: a database that is to be closed waits no longer than for one. */
const RANGE = 100_000;

/** Whether a body is kept of a revision that is no leaf. */
function hasOldBodies(record: StoredDocument): boolean {
  const leaves = new Set(record.leaves().map(({ rev }) => rev));
  return [...record.bodySeqs.keys()].some((rev) => !leaves.has(rev));
}

/** A record without the bodies of revisions that are no leaves; undefined where there are none to drop. */
export function compactRecord(
  record: StoredDocument,
): { readonly record: StoredDocument; readonly dropped: readonly number[] } | undefined {
  const leaves = new Set(record.leaves().map(({ rev }) => rev));
  const bodySeqs = new Map(record.bodySeqs);
  const gone = new Set<string>();
  const dropped: number[] = [];
  for (const [rev, seq] of record.bodySeqs) {
    // PouchDB's feed finds a document by the body at its last change, whichever revision that was of.
    if (leaves.has(rev) || seq === record.seq) continue;
    gone.add(rev);
    dropped.push(seq);
    bodySeqs.delete(rev);
  }
  if (dropped.length === 0) return undefined;
  return {
    record: new StoredDocument(record.id, record.seq, withoutBodies(record.tree, gone), bodySeqs),
    dropped,
  };
}

/**
 * Drops the bodies of all revisions that are no leaves, and gives their space back.
 * @param compactAll does so for the documents with these ids, in one commit
 */
export async function compactDatabase(
  level: ClassicLevel,
  compactAll: (ids: readonly string[]) => Promise<void>,
  updateSeq: number,
  signal: AbortSignal,
): Promise<void> {
  const texts = level.values({
    gte: layout.documents.start,
    lt: layout.documents.end,
    highWaterMarkBytes: 1 << 20,
  });
  try {
    for (let page = await texts.nextv(PAGE); page.length > 0; page = await texts.nextv(PAGE)) {
      const due = page.map(parseRecord).filter(hasOldBodies);
      if (due.length > 0) await compactAll(due.map(({ id }) => id));
      if (signal.aborted) return;
    }
  } finally {
    await texts.close();
  }
  for (let seq = 0; seq <= updateSeq && !signal.aborted; seq += RANGE) {
    await level.compactRange(
      layout.bodies.key(layout.seqKey(seq)),
      layout.bodies.key(layout.seqKey(seq + RANGE)),
    );
  }
}

import type { ClassicLevel } from 'classic-level';
import { countChunked } from './attachments/chunks.js';
import { completeStubs, dropStrays } from './attachments/mend.js';
import { factsOf } from './body-facts.js';
import { BodyRoles } from './body-roles.js';
import { BLOCK, blockOf, ChangeCounts } from './change-counts.js';
import { recountBases } from './conflicts/base-recount.js';
import { recountJournal } from './conflicts/journal-recount.js';
import { conflictingLeaves, conflictKey, conflictText } from './conflicts/rows.js';
import type { Epochs } from './epochs.js';
import { LARGE, largeBodyKey } from './large-bodies.js';
import * as layout from './layout.js';
import { flush } from './level.js';
import { pagesOf } from './pages.js';
import { parseRecord } from './record.js';
import { BytesCount, type CountedBody } from './recount.js';
import { EPOCHS, POUCH_COMPACTION, pouchUpdateSeq, STATE, type State } from './state.js';
import { recountUnsent } from './unsent-recount.js';

/** Documents, or bodies, read at a time. */
const PAGE = 1000;

/** What is gathered while everything is read. */
interface Gathered {
  docCount: number;
  deletedCount: number;
  conflicts: number;
  readonly counts: ChangeCounts;
  readonly roles: BodyRoles;
  readonly bytes: BytesCount;
}

/**
 * Makes the changes index, that of conflicts and the counters from the documents alone: for a database that PouchDB made, wrote to since,
 * or compacted. Nothing says that the index is good before its last batch, so a crash only means doing it again.
 * @param known what was our own
 */
export async function rebuildIndex(
  level: ClassicLevel,
  epochs: Epochs,
  updateSeq: number,
  known: Pick<State, 'updateSeq' | 'purgeSeq' | 'droppedBytes'>,
): Promise<State> {
  for (const { start, end } of [layout.changes, layout.changeCounts, layout.conflicts, layout.attachmentUses])
    await level.clear({ gte: start, lt: end });
  const gathered: Gathered = {
    docCount: 0,
    deletedCount: 0,
    conflicts: 0,
    counts: new ChangeCounts(),
    roles: new BodyRoles(),
    bytes: new BytesCount(level, layout.attachmentUses),
  };
  await readDocuments(level, epochs, gathered);
  await recountUnsent(level, { ...gathered, updateSeq, ours: known.updateSeq });
  await recountBases(level, gathered.roles);
  await readBodies(level, known.updateSeq, gathered);
  await recountJournal(level, gathered.bytes);
  // Before it was ours nothing was stored compressed.
  if (known.updateSeq > 0) await dropStrays(level);
  const { docCount, deletedCount, conflicts, counts, bytes } = gathered;
  const state = {
    updateSeq,
    docCount,
    deletedCount,
    ...(await bytes.finish()),
    droppedBytes: known.droppedBytes,
    chunked: await countChunked(level),
    conflicts,
    // What was noted is noted anew.
    notedConflicts: 0,
    purgeSeq: Math.max(known.purgeSeq, await layout.lastNumber(level, layout.purges)),
  };
  // A new database has nothing that could be lost.
  if (updateSeq > 0) await flush(level);
  const compaction = await level.get(layout.locals.key(layout.POUCH_COMPACTION));
  await level.batch(lastPuts(state, epochs, counts, compaction), { sync: true });
  return state;
}

/** Writes the rows of the changes index, and those of conflicts. */
async function readDocuments(level: ClassicLevel, epochs: Epochs, gathered: Gathered): Promise<void> {
  const { counts, roles, bytes } = gathered;
  const { start: gte, end: lt } = layout.documents;
  for await (const page of pagesOf(level.values({ gte, lt, highWaterMarkBytes: 1 << 20 }), PAGE)) {
    const batch = level.batch();
    for (const text of page) {
      const record = parseRecord(text);
      if (record.deleted) gathered.deletedCount++;
      else gathered.docCount++;
      counts.add(blockOf(record.seq), 1);
      roles.note(record);
      bytes.addRecord(text);
      batch.put(layout.changes.key(layout.seqKey(record.seq)), record.changeRow(epochs.token(record.seq)));
      const leaves = conflictingLeaves(record);
      if (leaves === 0) continue;
      batch.put(conflictKey(record.seq), conflictText({ id: record.id, leaves }));
      gathered.conflicts++;
    }
    await batch.write({ sync: false });
  }
}

/** Puts right what another program wrote after a sequence, and counts. */
async function readBodies(level: ClassicLevel, after: number, { roles, bytes }: Gathered): Promise<void> {
  const { start: gte, end: lt } = layout.bodies;
  for await (const page of pagesOf(level.iterator({ gte, lt, highWaterMarkBytes: 1 << 20 }), PAGE)) {
    const batch = level.batch();
    const counted: CountedBody[] = [];
    for (const [key, stored] of page) {
      const seq = layout.parseSeqKey(layout.bodies.strip(key));
      const completed = seq > after ? await completeStubs(level, stored) : undefined;
      const text = completed ?? stored;
      if (completed !== undefined) batch.put(key, completed);
      if (seq > after && text.length > LARGE) batch.put(largeBodyKey(seq), String(text.length));
      const role = roles.of(seq);
      if (role !== undefined) counted.push({ ...role, facts: factsOf(text) });
    }
    await bytes.addBodies(counted);
    await batch.write({ sync: false });
  }
}

function lastPuts(
  state: State,
  epochs: Epochs,
  counts: ChangeCounts,
  compaction = '',
): { type: 'put'; key: string; value: string }[] {
  const puts: { type: 'put'; key: string; value: string }[] = [];
  const put = (key: string, value: string): void => {
    puts.push({ type: 'put', key, value });
  };
  for (let block = 0; block <= blockOf(state.updateSeq); block++) {
    if (counts.get(block) > 0)
      put(layout.changeCounts.key(layout.seqKey(block * BLOCK)), String(counts.get(block)));
  }
  put(layout.meta.key(STATE), JSON.stringify(state));
  put(layout.meta.key(EPOCHS), JSON.stringify(epochs));
  put(layout.meta.key(POUCH_COMPACTION), compaction);
  put(layout.pouchMeta.key(layout.POUCH_UPDATE_SEQ), pouchUpdateSeq(state));
  put(layout.pouchMeta.key(layout.POUCH_DOC_COUNT), String(state.docCount));
  return puts;
}

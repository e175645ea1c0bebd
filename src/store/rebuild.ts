import type { ClassicLevel } from 'classic-level';
import { countChunked } from './attachments/chunks.js';
import { completeStubs, dropStrays } from './attachments/mend.js';
import { BLOCK, blockOf, ChangeCounts } from './change-counts.js';
import type { Epochs } from './epochs.js';
import { listLargeBodies } from './large-bodies.js';
import * as layout from './layout.js';
import { flush } from './level.js';
import { pagesOf } from './pages.js';
import { parseRecord } from './record.js';
import { countBytes } from './recount.js';
import { EPOCHS, POUCH_COMPACTION, pouchUpdateSeq, STATE, type State } from './state.js';

/** Documents read, and rows written, at a time. */
const PAGE = 1000;

/**
 * Makes the changes index and the counters from the documents alone: for a database that PouchDB made, wrote to since,
 * or compacted. Nothing says that the index is good before its last batch, so a crash only means doing it again.
 * @param known what was our own
 */
export async function rebuildIndex(
  level: ClassicLevel,
  epochs: Epochs,
  updateSeq: number,
  known: Pick<State, 'updateSeq' | 'purgeSeq' | 'droppedBytes'>,
): Promise<State> {
  await level.clear({ gte: layout.changes.start, lt: layout.changes.end });
  await level.clear({ gte: layout.changeCounts.start, lt: layout.changeCounts.end });
  const counts = new ChangeCounts();
  let docCount = 0;
  let deletedCount = 0;
  const texts = level.values({
    gte: layout.documents.start,
    lt: layout.documents.end,
    highWaterMarkBytes: 1 << 20,
  });
  for await (const page of pagesOf(texts, PAGE)) {
    const batch = level.batch();
    for (const text of page) {
      const record = parseRecord(text);
      if (record.deleted) deletedCount++;
      else docCount++;
      counts.add(blockOf(record.seq), 1);
      batch.put(layout.changes.key(layout.seqKey(record.seq)), record.changeRow(epochs.token(record.seq)));
    }
    await batch.write({ sync: false });
  }
  await completeStubs(level, known.updateSeq);
  await listLargeBodies(level, known.updateSeq);
  // Before it was ours nothing was stored compressed.
  if (known.updateSeq > 0) await dropStrays(level);
  const state = {
    updateSeq,
    docCount,
    deletedCount,
    ...(await countBytes(level)),
    droppedBytes: known.droppedBytes,
    chunked: await countChunked(level),
    purgeSeq: Math.max(known.purgeSeq, await layout.lastNumber(level, layout.purges)),
  };
  // A new database has nothing that could be lost.
  if (updateSeq > 0) await flush(level);
  const compaction = await level.get(layout.locals.key(layout.POUCH_COMPACTION));
  await level.batch(lastPuts(state, epochs, counts, compaction), { sync: true });
  return state;
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

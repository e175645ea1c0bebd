import type { ClassicLevel } from 'classic-level';
import { BLOCK, blockOf, ChangeCounts } from './change-counts.js';
import type { Epochs } from './epochs.js';
import { listLargeBodies } from './large-bodies.js';
import * as layout from './layout.js';
import { pagesOf } from './pages.js';
import { parseRecord } from './record.js';
import { STATE, type State } from './state.js';

/** Documents read, and rows written, at a time. */
const PAGE = 1000;

/**
 * Makes the changes index and the counters from the documents alone: for a database that PouchDB made, or wrote to
 * since. Nothing says that the index is good before its last batch, so a crash only means doing it again.
 * @param knownSeq the last sequence that was our own
 */
export async function rebuildIndex(
  level: ClassicLevel,
  epochs: Epochs,
  updateSeq: number,
  knownSeq: number,
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
  await listLargeBodies(level, knownSeq);
  const state = { updateSeq, docCount, deletedCount, bodyBytes: await bodyBytes(level) };
  await level.batch(lastPuts(state, counts), { sync: true });
  return state;
}

function lastPuts(state: State, counts: ChangeCounts): { type: 'put'; key: string; value: string }[] {
  const puts: { type: 'put'; key: string; value: string }[] = [];
  const put = (key: string, value: string): void => {
    puts.push({ type: 'put', key, value });
  };
  for (let block = 0; block <= blockOf(state.updateSeq); block++) {
    if (counts.get(block) > 0)
      put(layout.changeCounts.key(layout.seqKey(block * BLOCK)), String(counts.get(block)));
  }
  put(layout.meta.key(STATE), JSON.stringify(state));
  put(layout.pouchMeta.key(layout.POUCH_UPDATE_SEQ), String(state.updateSeq));
  put(layout.pouchMeta.key(layout.POUCH_DOC_COUNT), String(state.docCount));
  return puts;
}

/** LevelDB's own estimate; reading every body to count its bytes would take minutes. */
async function bodyBytes(level: ClassicLevel): Promise<number> {
  return level.approximateSize(layout.bodies.start, layout.bodies.end);
}

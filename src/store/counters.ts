import { BLOCK, type ChangeCounts } from './change-counts.js';
import * as layout from './layout.js';
import { pouchUpdateSeq, STATE, type State } from './state.js';

/** Puts the counters of a database into a commit, ours and PouchDB's. @param blocks by how much counts of rows change */
export function putCounters(
  batch: { put(key: string, value: string): void },
  state: State,
  blocks: ReadonlyMap<number, number>,
  counts: ChangeCounts,
): void {
  for (const [block, delta] of blocks) {
    batch.put(layout.changeCounts.key(layout.seqKey(block * BLOCK)), String(counts.get(block) + delta));
  }
  batch.put(layout.meta.key(STATE), JSON.stringify(state));
  batch.put(layout.pouchMeta.key(layout.POUCH_UPDATE_SEQ), pouchUpdateSeq(state));
  batch.put(layout.pouchMeta.key(layout.POUCH_DOC_COUNT), String(state.docCount));
}

export function addTo(counts: Map<number, number>, block: number, by: number): void {
  counts.set(block, (counts.get(block) ?? 0) + by);
}

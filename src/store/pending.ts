import type { ClassicLevel } from 'classic-level';
import { BLOCK, blockOf, type ChangeCounts } from './change-counts.js';
import * as layout from './layout.js';

/**
 * How many rows of the changes index come after a sequence: those of whole blocks are counted already, and of the block
 * that it falls into at most half are counted now.
 */
export async function rowsAfter(
  level: ClassicLevel,
  counts: ChangeCounts,
  since: number,
  updateSeq: number,
): Promise<number> {
  const block = blockOf(since + 1);
  const later = counts.after(block);
  const inBlock = counts.get(block);
  const first = Math.max(1, block * BLOCK);
  const last = Math.min((block + 1) * BLOCK - 1, updateSeq);
  const [before, after] = [since + 1 - first, Math.max(0, last - since)];
  // Each of its sequences has a row.
  if (inBlock === before + after) return later + after;
  return before < after
    ? later + inBlock - (await countRows(level, first, since))
    : later + (await countRows(level, since + 1, last));
}

async function countRows(level: ClassicLevel, first: number, last: number): Promise<number> {
  const range = {
    gte: layout.changes.key(layout.seqKey(first)),
    lte: layout.changes.key(layout.seqKey(last)),
  };
  const keys = level.keys({ ...range, highWaterMarkBytes: 1 << 20 });
  try {
    return (await keys.nextv(BLOCK)).length;
  } finally {
    await keys.close();
  }
}

import { open } from 'node:fs/promises';
import { storedChecksum } from './crc32c.js';

/** A log is cut into blocks of this many bytes, and records into pieces that do not cross their borders. */
const BLOCK = 32 * 1024;

/** Before each piece: checksum (4 bytes), length (2), type (1). */
const HEADER = 7;

/** Types of pieces; 0 stands in space that was set aside and never used. */
export const PieceType = { UNUSED: 0, FULL: 1, FIRST: 2, MIDDLE: 3, LAST: 4 } as const;
const { UNUSED, FULL, FIRST, MIDDLE, LAST } = PieceType;

/** The pieces of a log that was found to be whole, or cut off. */
export function* piecesOf(
  log: Buffer,
): Generator<{ readonly type: number; readonly data: Buffer }, undefined> {
  for (let start = 0; start < log.length; start += BLOCK) {
    const block = log.subarray(start, start + BLOCK);
    for (let at = 0; at + HEADER <= block.length;) {
      const type = block[at + 6] ?? UNUSED;
      const end = at + HEADER + block.readUInt16LE(at + 4);
      if (type === UNUSED || end > block.length) break;
      yield { type, data: block.subarray(at + HEADER, end) };
      at = end;
    }
  }
}

/**
 * Checks a log or a manifest of LevelDB.
 * @returns `cut` where the last record is not complete, as a crash leaves it; the offset of the first piece that does
 * not fit its checksum
 */
export async function checkLog(file: string): Promise<'whole' | 'cut' | { readonly damagedAt: number }> {
  const handle = await open(file, 'r');
  try {
    const block = Buffer.alloc(BLOCK);
    let inRecord = false;
    for (let start = 0; ; start += BLOCK) {
      const { bytesRead } = await handle.read(block, 0, BLOCK, start);
      const checked = checkBlock(block.subarray(0, bytesRead), inRecord);
      if (typeof checked === 'number') return { damagedAt: start + checked };
      if (checked === 'cut') return 'cut';
      inRecord = checked === 'open';
      if (bytesRead < BLOCK) return inRecord ? 'cut' : 'whole';
    }
  } finally {
    await handle.close();
  }
}

/** @returns whether a record goes on in the next block, or where it is damaged. @param inRecord goes on in this one */
function checkBlock(block: Buffer, inRecord: boolean): 'closed' | 'open' | 'cut' | number {
  const isLast = block.length < BLOCK;
  let goesOn = inRecord;
  let at = 0;
  while (at + HEADER <= block.length) {
    const length = block.readUInt16LE(at + 4);
    const type = block[at + 6] ?? UNUSED;
    if (type === UNUSED && length === 0) break;
    const end = at + HEADER + length;
    if (end > block.length) return isLast ? 'cut' : at;
    if (storedChecksum(block.subarray(at + 6, end)) !== block.readUInt32LE(at)) return at;
    const begins = type === FULL || type === FIRST;
    if (begins === goesOn || (!begins && type !== MIDDLE && type !== LAST)) return at;
    goesOn = type === FIRST || type === MIDDLE;
    at = end;
  }
  if (isLast && at < block.length && at + HEADER > block.length) return 'cut';
  return goesOn ? 'open' : 'closed';
}

import { readFile } from 'node:fs/promises';
import { storedChecksum } from './crc32c.js';
import { readVarint, unpack } from './snappy.js';

const FOOTER = 48;
const MAGIC = 0xdb4775248b80fb57n;

/** Behind each block: how it is compressed (1 byte), checksum (4). */
const TRAILER = 5;

/** Where a block is in its file. */
interface Handle {
  readonly offset: number;
  readonly size: number;
}

/**
 * Checks a table of LevelDB, which does not look at the checksums when it reads one.
 * @returns in words what is wrong with it
 */
export async function checkTable(file: string): Promise<string | undefined> {
  // LevelDB makes tables of about 2 MB; only a large attachment makes a larger one.
  const bytes = await readFile(file);
  try {
    const { metaindex, index } = readFooter(bytes);
    const parts = [metaindex, index].flatMap((handle) => handlesIn(readBlock(bytes, handle)));
    for (const handle of parts) checkBlock(bytes, handle);
    return undefined;
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    return error.message;
  }
}

function readFooter(bytes: Buffer): { metaindex: Handle; index: Handle } {
  const footer = bytes.subarray(Math.max(0, bytes.length - FOOTER));
  if (footer.length < FOOTER || footer.readBigUInt64LE(FOOTER - 8) !== MAGIC)
    throw new RangeError('its end is missing');
  const { handle: metaindex, end } = readHandle(footer, 0);
  return { metaindex, index: readHandle(footer, end).handle };
}

function readHandle(bytes: Buffer, start: number): { handle: Handle; end: number } {
  const offset = readVarint(bytes, start);
  const size = readVarint(bytes, offset.end);
  return { handle: { offset: offset.value, size: size.value }, end: size.end };
}

function checkBlock(bytes: Buffer, { offset, size }: Handle): Buffer {
  const end = offset + size + TRAILER;
  if (end > bytes.length - FOOTER) throw new RangeError('a block lies outside of it');
  const checksum = storedChecksum(bytes.subarray(offset, end - 4));
  if (checksum !== bytes.readUInt32LE(end - 4))
    throw new RangeError(`the block at ${String(offset)} does not fit its checksum`);
  return bytes.subarray(offset, offset + size);
}

function readBlock(bytes: Buffer, handle: Handle): Buffer {
  const block = checkBlock(bytes, handle);
  return bytes[handle.offset + handle.size] === 0 ? block : unpack(block);
}

/** The blocks that an index names: its entries are keys, shortened by what they share with the one before, and handles. */
function handlesIn(block: Buffer): Handle[] {
  const restarts = block.readUInt32LE(block.length - 4);
  const end = block.length - 4 - 4 * restarts;
  const handles: Handle[] = [];
  for (let at = 0; at < end;) {
    const shared = readVarint(block, at);
    const added = readVarint(block, shared.end);
    const length = readVarint(block, added.end);
    const value = length.end + added.value;
    handles.push(readHandle(block, value).handle);
    at = value + length.value;
  }
  return handles;
}

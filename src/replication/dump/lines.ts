import type { FileHandle } from 'node:fs/promises';
import { damaged } from './errors.js';

/** Bytes read at a time. */
const BLOCK = 1 << 20;
/** Bytes of a line: as many as a document in a text can have at the very most. */
const LONGEST = 512 << 20;
export const NEWLINE = 0x0a;

/** A whole line, and where it stands. */
export interface Line {
  readonly start: number;
  /** Without its end. */
  readonly bytes: Buffer;
  /** Where the next one begins. */
  readonly end: number;
}

/** Reads the lines of a file from a place on, some at a time. What no end of a line follows is none. */
export async function* readLines(file: FileHandle, from: number): AsyncGenerator<readonly Line[]> {
  let start = from;
  let before: Buffer[] = [];
  for (let at = from; ;) {
    const block = await readBytes(file, at, BLOCK);
    if (block.length === 0) return;
    at += block.length;
    const lines: Line[] = [];
    let open = 0;
    for (let end = block.indexOf(NEWLINE); end >= 0; end = block.indexOf(NEWLINE, open)) {
      const last = block.subarray(open, end);
      const bytes = before.length === 0 ? last : Buffer.concat([...before, last]);
      lines.push({ start, bytes, end: start + bytes.length + 1 });
      start += bytes.length + 1;
      before = [];
      open = end + 1;
    }
    before.push(block.subarray(open));
    if (at - start > LONGEST) throw damaged(start, 'a line is too long');
    if (lines.length > 0) yield lines;
  }
}

/** The bytes at a place: as many as there are, up to a number. */
export async function readBytes(file: FileHandle, at: number, most: number): Promise<Buffer> {
  const buffer = Buffer.allocUnsafe(most);
  let length = 0;
  while (length < most) {
    const { bytesRead } = await file.read(buffer, length, most - length, at + length);
    if (bytesRead === 0) break;
    length += bytesRead;
  }
  return buffer.subarray(0, length);
}

import type { FileHandle } from 'node:fs/promises';
import type { JsonObject } from '../peer.js';
import { readEntries } from './entries.js';
import { DumpError } from './errors.js';
import { type DumpFile, endsComplete } from './file.js';
import { CHECKPOINT } from './format.js';
import { readBytes } from './lines.js';

/** What a dump ends with. */
export interface Tail {
  /** The last checkpoint, with the id of its document. */
  readonly checkpoint: { readonly id: string; readonly log: JsonObject } | undefined;
  /** Revisions that were written after it, by `revisionKey`. */
  readonly written: ReadonlySet<string>;
  /** What stands behind this byte was broken off. */
  readonly end: number;
  /** Whether the last line says that everything was written. */
  readonly isComplete: boolean;
}

export const revisionKey = (id: string, rev: string): string => `${rev} ${id}`;

/** Finds out where a dump has to be gone on with. Of a large one only the end is read. */
export async function readTail({ file, start, length }: DumpFile): Promise<Tail> {
  let end = await lastCheckpoint(file, start, length);
  let checkpoint: Tail['checkpoint'];
  const written = new Set<string>();
  try {
    for await (const entries of readEntries(file, end)) {
      for (const entry of entries) {
        end = entry.end;
        if (entry.kind === 'checkpoint') checkpoint = entry;
        if (entry.kind === 'revision') written.add(revisionKey(entry.document.id, entry.document.rev));
      }
    }
  } catch (error) {
    // Everything up to the checkpoint was synced before it was written; what a machine lost when it fell was after it.
    if (!(error instanceof DumpError)) throw error;
  }
  return { checkpoint, written, end, isComplete: await endsComplete(file) };
}

/** Bytes looked through at a time. */
const BLOCK = 1 << 20;
/** No text of JSON has an end of a line in it. */
const MARK = Buffer.from(`\n${CHECKPOINT}`);

/** Where the last whole checkpoint begins; where there is none, the first entry. */
async function lastCheckpoint(file: FileHandle, start: number, length: number): Promise<number> {
  for (let from = length; from > start - 1;) {
    const to = from + MARK.length - 1;
    from = Math.max(start - 1, from - BLOCK);
    const block = await readBytes(file, from, to - from);
    for (let at = block.lastIndexOf(MARK); at >= 0; at = at === 0 ? -1 : block.lastIndexOf(MARK, at - 1)) {
      if (await isWhole(file, from + at + 1)) return from + at + 1;
    }
  }
  return start;
}

/** Whether a line comes to its end. */
async function isWhole(file: FileHandle, from: number): Promise<boolean> {
  for (let at = from; ; at += BLOCK) {
    const block = await readBytes(file, at, BLOCK);
    if (block.includes('\n')) return true;
    if (block.length < BLOCK) return false;
  }
}

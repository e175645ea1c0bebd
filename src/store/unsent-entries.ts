import type { ClassicLevel } from 'classic-level';
import * as layout from './layout.js';

/** Since when a document waits: it may have been changed again. */
export interface Waiting {
  /** Milliseconds since 1970. */
  readonly time: number;
  /** The sequence that its first change had which waits, or an earlier one; 0 where nobody knows. */
  readonly seq: number;
}

/**
 * One entry of the index of what waits: of one row, or of all rows in a block of sequences. A block has one where its
 * rows were written together and wait since one moment, so that many documents at once cost next to nothing. Being of
 * one size, blocks are found by any sequence in them without a search.
 */
export interface Entry extends Waiting {
  readonly first: number;
  /** The last sequence; the entry stands there. */
  readonly last: number;
  /** How many of its rows are still there: all of them wait. */
  readonly rows: number;
}

/** Sequences of a block. */
const BLOCK = 16;

/** The last sequence of the block that a sequence is in. */
export const blockEnd = (seq: number): number => seq - (seq % BLOCK) + BLOCK - 1;

export const ofRow = (seq: number, since: Waiting): Entry => ({
  first: seq,
  last: seq,
  rows: 1,
  time: since.time,
  seq: since.seq,
});

export const ofBlock = (last: number, rows: number, { time, seq }: Waiting): Entry => ({
  first: last - BLOCK + 1,
  last,
  rows,
  time,
  seq,
});

/** The entry that a row is in. @param read those that there are, by their last sequences */
export function entryOf(seq: number, read: (last: number) => Entry | undefined): Entry | undefined {
  const block = read(blockEnd(seq));
  return block !== undefined && block.first <= seq ? block : read(seq);
}

/** Since when the document waits whose row in an entry has this sequence. */
export const sinceOf = (entry: Entry, seq: number): Waiting => ({
  time: entry.time,
  // Nothing in it waited at another place before.
  seq: entry.seq >= entry.first ? seq : entry.seq,
});

const entryKey = (last: number): string => layout.unsent.key(layout.seqKey(last));

/** As the index has it. */
const textOf = ({ first, last, rows, time, seq }: Entry): string =>
  first === last ? `${time},${seq}` : `${time},${seq},${rows}`;

/** Puts and deletes that are written together. */
interface Batch {
  put(key: string, value: string): unknown;
  del(key: string): unknown;
}

/** Puts an entry as it is now; one that has no rows goes. */
export function writeEntry(batch: Batch, entry: Entry): void {
  const key = entryKey(entry.last);
  if (entry.rows === 0) batch.del(key);
  else batch.put(key, textOf(entry));
}

/** Entries that end at some sequences, as far as there are any. */
export async function readEntries(level: ClassicLevel, ends: readonly number[]): Promise<Entry[]> {
  const keys = ends.map(entryKey);
  // A few are read without waking a thread for them.
  const texts = keys.length <= FEW ? keys.map((key) => level.getSync(key)) : await level.getMany(keys);
  return keys.flatMap((key, at) => {
    const text = texts[at];
    return text === undefined ? [] : [parseEntry(key, text)];
  });
}

const FEW = 4;

const TEXT = /^[0-9]+,[0-9]+(,[0-9]+)?$/;

/** Whether the index can hold this. */
export const isEntry = (key: string, text: string): boolean => {
  const last = lastOf(key);
  return TEXT.test(text) && (text.split(',').length < 3 || blockEnd(last) === last);
};

export function parseEntry(key: string, text: string): Entry {
  const last = lastOf(key);
  const [time = NaN, seq = NaN, rows] = text.split(',').map(Number);
  return rows === undefined ? ofRow(last, { time, seq }) : ofBlock(last, rows, { time, seq });
}

const lastOf = (key: string): number => layout.parseSeqKey(layout.unsent.strip(key));

/** The range of the index whose entries may have sequences after one, up to another one. */
export const entryRange = (after: number, until: number): { readonly gt: string; readonly lte: string } => ({
  gt: entryKey(after),
  lte: entryKey(blockEnd(until)),
});

/** The sequences of entries after one, up to another one. */
export function sequencesOf(entries: readonly Entry[], after: number, until: number): number[] {
  const sequences: number[] = [];
  for (const { first, last } of entries)
    for (let seq = Math.max(first, after + 1); seq <= Math.min(last, until); seq++) sequences.push(seq);
  return sequences;
}

/** How many rows each of some entries has after a sequence. */
export async function countRows(
  level: ClassicLevel,
  entries: readonly Entry[],
  after: number,
): Promise<number[]> {
  const sequences = sequencesOf(entries, after, Infinity);
  const found = await level.hasMany(sequences.map((seq) => layout.changes.key(layout.seqKey(seq))));
  const there = sequences.filter((_, at) => found[at]);
  const counts: number[] = [];
  let at = 0;
  for (const { last } of entries) {
    const before = at;
    while ((there[at] ?? Infinity) <= last) at++;
    counts.push(at - before);
  }
  return counts;
}

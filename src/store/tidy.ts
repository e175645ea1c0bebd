import type { ClassicLevel } from 'classic-level';
import * as layout from './layout.js';

/** A part of a database with more bytes is tidied in slices: one that is to be closed waits for no more than one slice. */
const SLICED_ABOVE = 256 * 1024 * 1024;

/** Sequences of one slice. */
const SEQS = 100_000;

/** Documents of one slice. */
const DOCUMENTS = 100_000;

/** Where a database's documents can be cut into slices; found while somebody goes through them all anyway. */
export class DocumentCuts {
  readonly keys: string[] = [];
  #count = 0;

  add(ids: readonly string[]): void {
    for (const id of ids) if (++this.#count % DOCUMENTS === 0) this.keys.push(layout.documents.key(id));
  }
}

interface Range {
  readonly start: string;
  readonly end: string;
}

/**
 * Makes LevelDB give back the space of everything that was deleted or written anew, which it would else do only when
 * it happens to merge the tables that this is in.
 * @param onRange is told how many parts are done, and of how many
 */
export async function tidy(
  level: ClassicLevel,
  updateSeq: number,
  documents: DocumentCuts,
  signal: AbortSignal,
  onRange: (done: number, total: number) => void,
): Promise<void> {
  const ranges = await rangesOf(level, updateSeq, documents);
  for (const [at, { start, end }] of ranges.entries()) {
    if (signal.aborted) return;
    onRange(at, ranges.length);
    await inTurn(async () => {
      if (!signal.aborted) await level.compactRange(start, end);
    });
  }
}

let last: Promise<void> = Promise.resolve();

/**
 * A range takes one of the few threads in which Node reads and writes files, for seconds: of all databases together
 * one at a time is tidied.
 */
function inTurn(work: () => Promise<void>): Promise<void> {
  const done = last.then(work);
  last = done.catch(() => undefined);
  return done;
}

async function rangesOf(level: ClassicLevel, updateSeq: number, documents: DocumentCuts): Promise<Range[]> {
  const seqs = Array.from({ length: Math.floor(updateSeq / SEQS) }, (_, at) =>
    layout.seqKey((at + 1) * SEQS),
  );
  const cuts = new Map([
    [layout.bodies, seqs.map((seq) => layout.bodies.key(seq))],
    [layout.changes, seqs.map((seq) => layout.changes.key(seq))],
    [layout.documents, documents.keys],
    [layout.binaries, BASE64.map((digit) => layout.binaries.key(`md5-${digit}`))],
    [layout.chunks, HEX.map((digits) => layout.chunks.key(digits))],
  ]);
  const ranges: Range[] = [];
  for (const part of layout.ALL) {
    const isLarge = (await level.approximateSize(part.start, part.end)) > SLICED_ABOVE;
    const edges = [part.start, ...(isLarge ? (cuts.get(part) ?? []) : []), part.end];
    for (let at = 1; at < edges.length; at++) {
      ranges.push({ start: edges[at - 1] ?? part.start, end: edges[at] ?? part.end });
    }
  }
  return ranges;
}

/** In the order of their codes. */
const BASE64 = Array.from('+/0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz');

/** How the names of uploads begin. */
const HEX = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, '0'));

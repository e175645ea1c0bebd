/** A string without escapes, and what follows the hash of each revision down to its children. */
const STRING = String.raw`"[^"\\]*"`;
const ABOVE = String.raw`,\{"status":"(?:available|missing)"(?:,"deleted":true)?\},\[`;

/** PouchDB puts a `rev` into the records that it makes. */
const LINE = new RegExp(
  String.raw`^\{"id":"([^"\\]*)","rev_tree":\[\{"pos":([0-9]+),"ids":((?:\[${STRING}${ABOVE})*)` +
    String.raw`\["([^"\\]*)",\{"status":"available"(,"deleted":true)?\},\[(\]+)\}\],(?:"rev":${STRING},)?` +
    String.raw`"rev_map":\{((?:${STRING}:[0-9]+,)*${STRING}:[0-9]+)\},` +
    String.raw`"winningRev":${STRING},"deleted":(?:true|false),"seq":([0-9]+)\}$`,
);

/** An ancestor in the text of a tree. */
const ANCESTOR = new RegExp(String.raw`\["([^"]*)"${ABOVE}`, 'g');

/** A stored record whose revisions are one line with a body at its end, as nearly all are. */
export interface RecordLine {
  readonly id: string;
  readonly seq: number;
  /** Of the leaf. */
  readonly generation: number;
  readonly hash: string;
  readonly deleted: boolean;
  /** The other revisions as the tree has them, the oldest first; empty where there are none. */
  readonly ancestors: string;
  /** The members of `rev_map`. */
  readonly bodySeqs: string;
}

/** Reads a record that is one line, in a fraction of the time that JSON takes; undefined where it is none. */
export function readLine(text: string): RecordLine | undefined {
  const [whole, id = '', oldest, ancestors = '', hash = '', deleted, brackets = '', bodySeqs = '', seq] =
    LINE.exec(text) ?? [];
  if (whole === undefined) return undefined;
  // Two brackets close each revision.
  const generation = Number(oldest) + brackets.length / 2 - 1;
  return { id, seq: Number(seq), generation, hash, deleted: deleted !== undefined, ancestors, bodySeqs };
}

/** The hashes of the ancestors, the oldest first. */
export function ancestorsOf({ ancestors }: RecordLine): string[] {
  const hashes: string[] = [];
  // In half the time of `matchAll`.
  ANCESTOR.lastIndex = 0;
  for (let next = ANCESTOR.exec(ancestors); next !== null; next = ANCESTOR.exec(ancestors)) {
    hashes.push(next[1] ?? '');
  }
  return hashes;
}

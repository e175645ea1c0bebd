import { quote } from '../json/quote.js';
import { serialiseTree } from '../revtree/serialise.js';
import {
  find,
  generationOf,
  latestOf,
  leavesInTree,
  leavesOf,
  pathTo,
  revAt,
  revsOf,
  type RevNode,
  type RevPosition,
  type RevTree,
} from '../revtree/tree.js';
import { readLine, type RecordLine } from './record-line.js';
import type { DocumentRecord, Leaf, RevStatus, Revisions } from './types/records.js';

/** A document's metadata as PouchDB stores it (JSON in `document-store`). */
export interface StoredMetadata {
  id: string;
  rev_tree: RevTree;
  /** Revision → sequence of its body, for every body that is kept. */
  rev_map: Record<string, number>;
  /** Cached by PouchDB since 7.0; older ones are worked out. */
  winningRev?: string;
  deleted?: boolean;
  seq: number;
}

/** Reads a stored record. Its maps have no prototype: a revision may be called `__proto__`. */
export function parseRecord(text: string): StoredDocument {
  const line = readLine(text);
  return (line && singleRevision(line)) ?? parseBranches(text);
}

/** What stands around the tree in our own texts; other ones are JSON like any. */
const BEGINNING = /^\{"id":"([^"\\]*)","rev_tree":/;
const REV_MAP = ',"rev_map":{';
const AFTER_TREE =
  /,"rev_map":\{((?:"[^"\\,]*":[0-9]+,)*"[^"\\,]*":[0-9]+)\},"winningRev":"[^"\\]*","deleted":(?:true|false),"seq":([0-9]+)\}$/y;

/**
 * Reads a record that is no line. JSON is asked for the tree alone: to make an object with a name for each revision takes as
 * long again.
 */
export function parseBranches(text: string): StoredDocument {
  const [before = '', id] = BEGINNING.exec(text) ?? [];
  // Within a string the quotes would be escaped.
  const end = text.indexOf(REV_MAP);
  AFTER_TREE.lastIndex = end;
  const [, bodySeqs, seq] = AFTER_TREE.exec(text) ?? [];
  const tree = text.slice(before.length, end);
  // Another program may have put something between them.
  if (id === undefined || bodySeqs === undefined || !tree.endsWith(']]}]')) return parseJson(text);
  return new StoredDocument(id, Number(seq), JSON.parse(tree) as RevTree, seqsOf(bodySeqs));
}

/** @param members of `rev_map` */
function seqsOf(members: string): ReadonlyMap<string, number> {
  const seqs = new Map<string, number>();
  for (const member of members.split(',')) {
    const colon = member.lastIndexOf(':');
    seqs.set(member.slice(1, colon - 1), Number(member.slice(colon + 1)));
  }
  return seqs;
}

function parseJson(text: string): StoredDocument {
  const stored = JSON.parse(text) as StoredMetadata;
  return new StoredDocument(stored.id, stored.seq, stored.rev_tree, new Map(Object.entries(stored.rev_map)));
}

/** Most documents have a single revision, and its body. */
function singleRevision({
  id,
  seq,
  generation,
  hash,
  deleted,
  ancestors,
  bodySeqs,
}: RecordLine): StoredDocument | undefined {
  const rev = `${String(generation)}-${hash}`;
  const name = `"${rev}":`;
  if (ancestors !== '' || !bodySeqs.startsWith(name)) return undefined;
  const bodySeq = Number(bodySeqs.slice(name.length));
  // There is another body.
  if (Number.isNaN(bodySeq)) return undefined;
  const tree: RevTree = [{ pos: generation, ids: [hash, stateOf(deleted), []] }];
  return new StoredDocument(id, seq, tree, new Map([[rev, bodySeq]]));
}

const stateOf = (deleted: boolean): RevNode[1] =>
  deleted ? { status: 'available', deleted: true } : { status: 'available' };

/** Our own serialisation ends so. */
const ENDING = /"deleted":(true|false),"seq":[0-9]+\}$/;

/** Whether the document of a stored record is alive, mostly without parsing it. */
export function isLivingText(text: string): boolean {
  const deleted = ENDING.exec(text)?.[1];
  return deleted === undefined ? !parseRecord(text).deleted : deleted === 'false';
}

/** So many questions about one record are answered by walking its tree; for more, its revisions are listed. */
export const FEW_QUESTIONS = 4;

/** What is known of a document, with where its bodies are. */
export interface StoredRecord extends DocumentRecord {
  /** Revision → sequence of its body. */
  readonly bodySeqs: ReadonlyMap<string, number>;
  /** The sequence of one body, where it is kept. */
  bodySeq(rev: string): number | undefined;
  /** The leaves in winner order. */
  leafRevs(): readonly string[];
}

/** The sequence of one body, where it is kept. @throws TypeError for a record that this store did not give */
export function bodySeq(record: DocumentRecord, rev: string): number | undefined {
  if (!('bodySeq' in record)) throw new TypeError('a record of another store');
  return (record as StoredRecord).bodySeq(rev);
}

export class StoredDocument implements StoredRecord {
  #leaves: RevPosition[] | undefined;
  #leafRevs: readonly string[] | undefined;
  #revs: ReadonlySet<string> | undefined;
  #questions = 0;

  constructor(
    readonly id: string,
    readonly seq: number,
    readonly tree: RevTree,
    readonly bodySeqs: ReadonlyMap<string, number>,
  ) {}

  bodySeq(rev: string): number | undefined {
    return this.bodySeqs.get(rev);
  }

  #sorted(): RevPosition[] {
    return (this.#leaves ??= leavesOf(this.tree));
  }

  #winner(): RevPosition {
    const [winner] = this.#sorted();
    if (winner === undefined)
      throw new Error(`document ${JSON.stringify(this.id)} has an empty revision tree`);
    return winner;
  }

  get winner(): string {
    return this.leafRevs()[0] ?? revAt(this.#winner());
  }

  get deleted(): boolean {
    return this.#winner().node[1].deleted === true;
  }

  /** How many leaves are not deleted. */
  get livingLeaves(): number {
    const deleted = this.#sorted().findIndex((leaf) => leaf.node[1].deleted === true);
    return deleted < 0 ? this.#sorted().length : deleted;
  }

  leafRevs(): readonly string[] {
    return (this.#leafRevs ??= this.#sorted().map(revAt));
  }

  leaves(): readonly Leaf[] {
    return this.#sorted().map((leaf) => ({ rev: revAt(leaf), deleted: leaf.node[1].deleted === true }));
  }

  leavesInTree(): readonly string[] {
    return leavesInTree(this.tree).map(revAt);
  }

  has(rev: string): boolean {
    if (++this.#questions <= FEW_QUESTIONS) return find(this.tree, rev) !== undefined;
    this.#revs ??= new Set(revsOf(this.tree));
    return this.#revs.has(rev);
  }

  isDeleted(rev: string): boolean {
    return find(this.tree, rev)?.node[1].deleted === true;
  }

  revisions(rev: string, limit = Infinity): Revisions | undefined {
    const path = pathTo(this.tree, rev);
    if (path === undefined) return undefined;
    const ids = path.map(({ node }) => node[0]).reverse();
    return { start: generationOf(rev), ids: ids.slice(0, limit) };
  }

  revsInfo(rev: string): readonly { readonly rev: string; readonly status: RevStatus }[] {
    return (pathTo(this.tree, rev) ?? []).reverse().map((position) => {
      const at = revAt(position);
      const deleted = position.node[1].deleted === true;
      return { rev: at, status: !this.bodySeqs.has(at) ? 'missing' : deleted ? 'deleted' : 'available' };
    });
  }

  latest(rev: string): readonly string[] {
    return latestOf(this.tree, rev).map(revAt);
  }

  possibleAncestors(generation: number): readonly string[] {
    return this.#sorted()
      .filter((leaf) => leaf.generation < generation)
      .map(revAt);
  }

  /** The text that PouchDB would store. */
  serialise(): string {
    let map = '';
    for (const [rev, seq] of this.bodySeqs) {
      map += `${map === '' ? '' : ','}${quote(rev)}:${String(seq)}`;
    }
    return (
      `{"id":${quote(this.id)},"rev_tree":${serialiseTree(this.tree)},"rev_map":{${map}},` +
      `"winningRev":${quote(this.winner)},"deleted":${String(this.deleted)},"seq":${String(this.seq)}}`
    );
  }

  /** The document's row in the changes index, with every leaf. */
  changeRow(token: string): string {
    const changes = this.leafRevs()
      .map((rev) => `{"rev":${quote(rev)}}`)
      .join(',');
    const deleted = this.deleted ? ',"deleted":true' : '';
    return `{"seq":"${token}","id":${quote(this.id)},"changes":[${changes}]${deleted}}`;
  }
}

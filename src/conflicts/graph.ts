import { sorted } from '../json/sort.js';
import { leavesOf, type RevNode, revOf, type RevTree } from '../revtree/tree.js';
import { type Kind, kindOf } from './revisions.js';

/** A revision, with what it was made from. */
export interface Revision {
  readonly rev: string;
  readonly generation: number;
  readonly hash: string;
  readonly kind: Kind;
  /** Whether its body is said to be kept. */
  readonly available: boolean;
  /** Of a leaf, whether it is a deletion. Of others the tree need not know. */
  readonly deleted: boolean;
  /** In the tree. */
  parent: Revision | undefined;
  /** In the tree. */
  readonly children: Revision[];
  /**
   * What it was made from: all that they say is in it, or was taken out on purpose. The parent in the tree is among them, but
   * for revisions that bring a leaf back, which were made from that leaf alone.
   */
  readonly made: Revision[];
  /** Leaves with the same content, of which this is the one that stayed. */
  readonly equals: Revision[];
  /** Of a merged revision: whether all that went into it is known. */
  explained: boolean;
  /** Of a revision that brings a leaf back: what it takes that leaf out of, where that is known. */
  undoes: Revision | undefined;
}

/** The revisions of a document as a graph: a tree in which leaves that were merged meet again. */
export interface Graph {
  /** Oldest generation first. */
  readonly revisions: readonly Revision[];
  /** In CouchDB's order, deleted ones last. */
  readonly leaves: readonly Revision[];
}

/** The graph as far as the tree has it; `explain` adds the rest. */
export function readTree(tree: RevTree): Graph {
  const known = new Map<string, Revision>();
  const stack: { node: RevNode; generation: number; parent: Revision | undefined }[] = tree.map(
    ({ pos, ids }) => ({ node: ids, generation: pos, parent: undefined }),
  );
  for (let next = stack.pop(); next !== undefined; next = stack.pop()) {
    const { node, generation, parent } = next;
    const revision = revisionOf(known, node, generation);
    if (parent !== undefined && revision.parent === undefined) {
      revision.parent = parent;
      parent.children.push(revision);
      if (revision.kind !== 'undone') revision.made.push(parent);
    }
    for (const child of node[2]) stack.push({ node: child, generation: generation + 1, parent: revision });
  }
  const revisions = sorted([...known.values()], (a, b) => a.generation - b.generation || byHash(a, b));
  const leaves = leavesOf(tree).flatMap(
    ({ generation, node }) => known.get(revOf(generation, node[0])) ?? [],
  );
  return { revisions, leaves };
}

/** PouchDB's stemming leaves a revision in several branches. */
function revisionOf(known: Map<string, Revision>, node: RevNode, generation: number): Revision {
  const [hash, { status, deleted = false }, children] = node;
  const rev = revOf(generation, hash);
  const before = known.get(rev);
  if (before !== undefined) return before;
  const isLive = children.length === 0 && !deleted;
  const marked = kindOf(hash);
  const revision: Revision = {
    rev,
    generation,
    hash,
    // A tombstone is never alive.
    kind: marked === 'tombstone' && isLive ? 'edit' : marked,
    available: status === 'available',
    deleted,
    parent: undefined,
    children: [],
    made: [],
    equals: [],
    explained: false,
    undoes: undefined,
  };
  known.set(rev, revision);
  return revision;
}

const byHash = (a: Revision, b: Revision): number => (a.hash < b.hash ? -1 : a.hash > b.hash ? 1 : 0);

/** Leaves that are not deleted, in CouchDB's order. */
export const liveLeaves = ({ leaves }: Graph): Revision[] => leaves.filter(({ deleted }) => !deleted);

/** Everything that went into a revision, and itself. */
export interface History {
  readonly revisions: ReadonlySet<Revision>;
  /**
   * How many of them say something: merged revisions and tombstones do not, they only bring together what others say.
   */
  readonly edits: number;
}

/** @param equals whether leaves that had the same content count as if they had gone in */
export function historyOf(revision: Revision, equals: boolean): History {
  const revisions = new Set([revision]);
  // A set goes on with what is added to it.
  for (const { made, equals: same } of revisions) {
    for (const parent of made) revisions.add(parent);
    if (equals) for (const parent of same) revisions.add(parent);
  }
  return { revisions, edits: countEdits(revisions) };
}

/** Histories of leaves, without `equals`: each is found when somebody asks for it, which mostly nobody does. */
export class Histories {
  readonly #known = new Map<Revision, History>();

  of(leaf: Revision): History {
    const known = this.#known.get(leaf);
    if (known !== undefined) return known;
    const history = historyOf(leaf, false);
    this.#known.set(leaf, history);
    return history;
  }
}

export function countEdits(revisions: ReadonlySet<Revision>): number {
  let count = 0;
  for (const revision of revisions) if (isEdit(revision)) count++;
  return count;
}

/** Whether a revision says something of its own: a client wrote it, or somebody wanted it back. */
export const isEdit = ({ kind }: Revision): boolean => kind === 'edit' || kind === 'undone';

/** Whether a revision was made from something that is not known here: the rest was stemmed. */
export const isCut = (revision: Revision): boolean =>
  revision.made.length === 0
    ? revision.generation > 1
    : revision.kind !== 'undone' && revision.parent === undefined && revision.generation > 1;

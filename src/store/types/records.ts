/** What is known of documents and their revisions. */
import type { RevTree } from '../../revtree/tree.js';

/** A revision's ancestry as `_revisions` has it: `ids[0]` is generation `start`, `ids[1]` its parent, and so on. */
export interface Revisions {
  readonly start: number;
  readonly ids: readonly string[];
}

export type RevStatus = 'available' | 'missing' | 'deleted';

export interface Leaf {
  readonly rev: string;
  readonly deleted: boolean;
}

/** What is known of a document without its bodies. */
export interface DocumentRecord {
  readonly id: string;
  /** Number of the document's last change. */
  readonly seq: number;
  /** The winner: not deleted before deleted, then the longest, then the highest hash. */
  readonly winner: string;
  /** Whether the winner is a deletion. */
  readonly deleted: boolean;
  readonly tree: RevTree;
  /** All leaves in winner order, the winner first. */
  leaves(): readonly Leaf[];
  /** All leaves in the order in which CouchDB's `_bulk_get` has them. */
  leavesInTree(): readonly string[];
  /** Whether the revision stands in the tree, with a body or without. */
  has(rev: string): boolean;
  /** Whether the revision itself is a deletion. */
  isDeleted(rev: string): boolean;
  /** The revision with its known ancestors, `limit` together at most; undefined where it is not in the tree. */
  revisions(rev: string, limit?: number): Revisions | undefined;
  /** The revision and its ancestors, newest first, with whether each body is kept, as `_revs_info`. */
  revsInfo(rev: string): readonly { readonly rev: string; readonly status: RevStatus }[];
  /** The leaves that descend from the revision (itself if it is one), in winner order; empty where it is not in the tree. */
  latest(rev: string): readonly string[];
  /** Revisions that could be ancestors of missing ones of at most this generation, as in `_revs_diff`. */
  possibleAncestors(generation: number): readonly string[];
}

/** A revision whose body may be read. */
export interface StoredRevision {
  readonly record: DocumentRecord;
  readonly rev: string;
}

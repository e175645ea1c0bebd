/**
 * The tree in which the rows of a view stand: a B+tree whose nodes are values in LevelDB. LevelDB orders keys by their
 * bytes, and Unicode's collation has no bytes in Node, so the order is in the nodes. Each inner node keeps for each of
 * its children how many rows are below it and what they reduce to: counts, offsets and reductions of ranges need a
 * path or two, not the rows.
 *
 * A node never changes: whatever is changed gets a new number, and the old one goes in the same batch. So a node may be
 * kept in memory for as long as its number is known, and a reader of a snapshot finds all of its own.
 */

import type { Inner, Leaf } from './node.js';

/** Where a row stands. No two rows of a tree stand at the same place. */
export interface Place {
  /** JSON text. */
  readonly key: string;
  /** The document that emitted it. */
  readonly id: string;
  /** Which of the document's rows with an equal key, in the order of their values. */
  readonly nth: number;
}

export interface Row extends Place {
  /** JSON text. */
  readonly value: string;
}

/** A row that is put in its place, or, without a value, taken from it. */
export interface Change extends Place {
  readonly value: string | undefined;
}

/** A node as whatever points to it knows it. */
export interface Ref {
  readonly node: number;
  /** Rows below it. */
  readonly rows: number;
  /** Characters of their keys, ids and values. */
  readonly size: number;
  /** Where its last row stands. */
  readonly last: Place;
  /** What each reducer made of its rows, as JSON text. */
  readonly reductions: readonly string[];
}

/** A whole tree; undefined where it has no rows. */
export type Root = Ref | undefined;

/** Where nodes are kept. */
export interface NodeReader {
  /** Nodes, in order. @throws where one is not there: the index is damaged */
  read(nodes: readonly number[]): Promise<readonly (Leaf | Inner)[]>;
}

export interface NodeWriter extends NodeReader {
  /** A number that no node has or had. */
  next(): number;
  put(node: number, text: string): void;
  delete(node: number): void;
}

/** Works out one of the reductions of a view. Everything is JSON text. */
export interface Reducer {
  /** Of each run of rows, which are never empty. */
  reduce(runs: readonly (readonly Row[])[]): Promise<readonly string[]>;
  /** Of each run of what earlier calls gave. */
  rereduce(runs: readonly (readonly string[])[]): Promise<readonly string[]>;
}

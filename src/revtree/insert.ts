import { sorted } from '../json/sort.js';
import { branchOff, grow, type Inserted, type Path } from './grow.js';
import { byBeginning, byHash, revOf, type RevNode, type RevTree } from './tree.js';

/** One revision while a tree is taken apart. */
interface Part {
  readonly generation: number;
  readonly hash: string;
  state: RevNode[1];
  /** Undefined at the beginning of what is known. */
  parent: Part | undefined;
}

/** Revision → what is known of it. A revision stands here once, wherever branches meet. */
type Parts = Map<string, Part>;

/**
 * Adds a revision with its known ancestors, newest first. Then revisions go that are `limit` or more steps away from
 * every leaf, as in CouchDB. The tree that went in stays as it was.
 *
 * The result is the union of what is known: the same paths give the same tree in any order. (`merge` of pouchdb-merge
 * leaves a leaf twice where a path joins two branches.)
 */
export function insert(
  tree: RevTree,
  start: number,
  hashes: readonly string[],
  deleted: boolean,
  limit: number,
): Inserted {
  if (hashes.length === 0) throw new RangeError('a path needs at least one revision');
  const state: RevNode[1] = deleted ? { status: 'available', deleted: true } : { status: 'available' };
  const path = { start, hashes, state, limit };
  const grown = grow(tree, path) ?? branchOff(tree, path);
  if (grown !== undefined) return grown;
  const parts = takeApart(tree);
  const outgrown = addPath(parts, path);
  const stemmed = parts.size > limit ? stem(parts, limit, outgrown) : [];
  return { tree: putTogether(parts), stemmed };
}

/** Removes the revisions that are `limit` or more steps away from every leaf. The tree that went in stays as it was. */
export function stemTree(tree: RevTree, limit: number): Inserted {
  const parts = takeApart(tree);
  const stemmed = parts.size > limit ? stem(parts, limit, new Map()) : [];
  return stemmed.length === 0 ? { tree, stemmed } : { tree: putTogether(parts), stemmed };
}

function takeApart(tree: RevTree): Parts {
  const parts: Parts = new Map();
  const stack = tree.map(({ pos, ids }) => ({
    generation: pos,
    node: ids,
    parent: undefined as Part | undefined,
  }));
  for (let next = stack.pop(); next !== undefined; next = stack.pop()) {
    const { generation, node, parent } = next;
    const part = partOf(parts, generation, node[0], node[1]);
    // PouchDB's stemming leaves a revision in several branches.
    part.parent ??= parent;
    if (node[1].status === 'available') part.state = node[1];
    for (const child of node[2]) stack.push({ generation: generation + 1, node: child, parent: part });
  }
  return parts;
}

function partOf(parts: Parts, generation: number, hash: string, state: RevNode[1]): Part {
  const rev = revOf(generation, hash);
  let part = parts.get(rev);
  if (part === undefined) {
    part = { generation, hash, state, parent: undefined };
    parts.set(rev, part);
  }
  return part;
}

/**
 * A path may be millions of revisions long. Only those are looked at that can stay: the first ones, and those around
 * revisions that are known; what lies between is too far from every leaf.
 * @returns known revisions that got descendants which were left out, with how many
 */
function addPath(parts: Parts, path: Path): ReadonlyMap<Part, number> {
  const { start, hashes, state, limit } = path;
  const outgrown = new Map<Part, number>();
  let child: Part | undefined;
  let at = 0;
  for (const met of [0, ...meetings(parts, path)]) {
    if (met > at) {
      at = met;
      child = undefined;
    }
    for (const end = Math.min(met + limit, hashes.length); at < end; at++) {
      const part = partOf(parts, start - at, hashes[at] ?? '', { status: 'missing' });
      if (at === 0) part.state = state;
      else if (child === undefined) outgrown.set(part, at);
      else child.parent = part;
      // Two histories of one revision cannot both be true: the one that came first stays.
      if (part.parent !== undefined && part.parent.hash !== hashes[at + 1]) return outgrown;
      child = part;
    }
  }
  return outgrown;
}

/** Where on the path known revisions stand that are not among its first ones, the newest first. */
function meetings(parts: Parts, { start, hashes, limit }: Path): number[] {
  if (hashes.length <= limit) return [];
  const found: number[] = [];
  for (const { generation, hash } of parts.values()) {
    if (hashes[start - generation] === hash) found.push(start - generation);
  }
  return found.sort((a, b) => a - b);
}

/**
 * Removes what is too far from every leaf.
 * @param outgrown no leaves, though no child of theirs is here
 * @returns the revisions that went
 */
function stem(parts: Parts, limit: number, outgrown: ReadonlyMap<Part, number>): string[] {
  // Steps to the nearest leaf; children have their number before their parents are looked at.
  const distances = new Map(outgrown);
  const newestFirst = [...parts].sort(([, a], [, b]) => b.generation - a.generation);
  const stemmed: string[] = [];
  for (const [rev, part] of newestFirst) {
    const distance = distances.get(part) ?? 0;
    if (distance >= limit) stemmed.push(rev);
    if (part.parent !== undefined) {
      distances.set(part.parent, Math.min(distances.get(part.parent) ?? Infinity, distance + 1));
    }
  }
  for (const rev of stemmed) parts.delete(rev);
  return stemmed;
}

function putTogether(parts: Parts): RevTree {
  const nodes = new Map<Part, RevNode>();
  for (const part of parts.values()) nodes.set(part, [part.hash, part.state, []]);
  const tree: RevTree = [];
  const branching = new Set<RevNode>();
  for (const [part, node] of nodes) {
    const parent = part.parent === undefined ? undefined : nodes.get(part.parent);
    if (parent === undefined) tree.push({ pos: part.generation, ids: node });
    else if (parent[2].push(node) > 1) branching.add(parent);
  }
  for (const parent of branching) parent[2] = sorted(parent[2], byHash);
  return tree.sort(byBeginning);
}

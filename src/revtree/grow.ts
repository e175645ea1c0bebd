import { sorted } from '../json/sort.js';
import { byBeginning, byHash, type RevBranch, revOf, type RevNode, type RevTree } from './tree.js';

/** What an insertion or stemming did. */
export interface Inserted {
  readonly tree: RevTree;
  /** Revisions that fell off because a branch was longer than the limit. */
  readonly stemmed: readonly string[];
}

/** A revision with its known ancestors, newest first, as it is put into a tree. */
export interface Path {
  readonly start: number;
  readonly hashes: readonly string[];
  readonly state: RevNode[1];
  readonly limit: number;
}

/**
 * The same where a history begins, or one without branches goes on at its end: nearly every write. Undefined where it
 * is something else.
 */
export function grow(tree: RevTree, path: Path): Inserted | undefined {
  const { start, hashes, state, limit } = path;
  const ancestors = tree.length === 0 ? unknownLine(path) : lineBelow(tree, path);
  if (ancestors === undefined) return undefined;
  const stemmed: string[] = [];
  let line: RevNode = [hashes[0] ?? '', state, []];
  for (const [at, [hash, its]] of ancestors.entries()) {
    if (at + 1 >= limit) stemmed.push(revOf(start - 1 - at, hash));
    else line = [hash, its, [line]];
  }
  return { tree: [{ pos: start - ancestors.length + stemmed.length, ids: line }], stemmed };
}

/** The ancestors that come with the first revision of a document, newest first. */
function unknownLine({ hashes, limit }: Path): readonly RevNode[] | undefined {
  if (hashes.length > limit) return undefined;
  return hashes.slice(1).map((hash) => [hash, { status: 'missing' }, []]);
}

/** The whole history, newest first, where it has no branches, and a path goes on from its end and brings no more of it. */
function lineBelow(tree: RevTree, { start, hashes }: Path): readonly RevNode[] | undefined {
  const [branch] = tree;
  if (branch === undefined || tree.length > 1 || hashes.length === 1) return undefined;
  const line: RevNode[] = [];
  for (let node: RevNode | undefined = branch.ids; node !== undefined; node = node[2][0]) {
    if (node[2].length > 1) return undefined;
    line.push(node);
  }
  line.reverse();
  if (branch.pos + line.length !== start || hashes.length > line.length + 1) return undefined;
  return hashes.every((hash, at) => at === 0 || line[at - 1]?.[0] === hash) ? line : undefined;
}

/** A revision on the way through a tree. */
interface Step {
  readonly generation: number;
  readonly node: RevNode;
  readonly parent: Step | undefined;
}

/**
 * The same where a path leaves a history at a revision that is known, or has nothing in common with any, and nothing becomes
 * too old: only the revisions on the way there are made anew. Undefined where it is something else. A document may have a
 * thousand branches, each of which came by itself: to take the tree apart for each of them takes a second for five hundred.
 */
export function branchOff(tree: RevTree, path: Path): Inserted | undefined {
  const { start, limit } = path;
  const isBeginning = beginningsOf(tree);
  if (isBeginning === undefined) return undefined;
  let left: { readonly branch: RevBranch; readonly met: Step } | undefined;
  for (const branch of tree) {
    const root = { generation: branch.pos, node: branch.ids, parent: undefined };
    const { met, newest, isJoined } = newestKnown(root, path, isBeginning);
    if (newest - branch.pos >= limit || isJoined) return undefined;
    if (met === undefined) continue;
    // The path may join the two.
    if (left !== undefined) return undefined;
    left = { branch, met };
  }
  if (left === undefined) return begin(tree, path);
  const { branch, met } = left;
  if (met.generation === start || start - branch.pos >= limit || bringsOlder(met, path)) return undefined;
  const ids = grownAt(met, path);
  return { tree: tree.map((one) => (one === branch ? { pos: one.pos, ids } : one)), stemmed: [] };
}

/** Puts a history beside those that it has nothing in common with. */
function begin(tree: RevTree, path: Path): Inserted | undefined {
  const { start, hashes, limit } = path;
  if (hashes.length > limit) return undefined;
  const oldest = hashes.length - 1;
  const branch = { pos: start - oldest, ids: lineOf(path, oldest) };
  return { tree: sorted([...tree, branch], byBeginning), stemmed: [] };
}

/** The revisions of a path from its newest one down to another. */
function lineOf({ hashes, state }: Path, oldest: number): RevNode {
  let line: RevNode = [hashes[0] ?? '', state, []];
  for (let at = 1; at <= oldest; at++) line = [hashes[at] ?? '', { status: 'missing' }, [line]];
  return line;
}

/** The beginning of a history that goes on differently at a revision. */
function grownAt(met: Step, path: Path): RevNode {
  const line = lineOf(path, path.start - met.generation - 1);
  let made: RevNode = [met.node[0], met.node[1], sorted([...met.node[2], line], byHash)];
  for (let step: Step = met; step.parent !== undefined; step = step.parent) {
    const { node } = step;
    const [hash, state, children] = step.parent.node;
    made = [hash, state, children.map((child) => (child === node ? made : child))];
  }
  return made;
}

type IsBeginning = (revision: Pick<Step, 'generation' | 'node'>) => boolean;

/** Tells the revisions with which histories begin; undefined where two begin with the same. */
function beginningsOf(tree: RevTree): IsBeginning | undefined {
  if (tree.length === 1) return () => false;
  const hashes = new Map<number, Set<string>>();
  for (const { pos, ids } of tree) {
    const known = hashes.get(pos) ?? new Set();
    if (known.has(ids[0])) return undefined;
    hashes.set(pos, known.add(ids[0]));
  }
  return ({ generation, node }) => hashes.get(generation)?.has(node[0]) === true;
}

interface Known {
  /** The newest revision of the path. */
  readonly met: Step | undefined;
  /** The newest generation that there is. */
  readonly newest: number;
  /** Whether another history begins in the middle of it: PouchDB's stemming leaves a revision in several branches. */
  readonly isJoined: boolean;
}

/** What a history has of a path. */
function newestKnown(root: Step, { start, hashes }: Path, isBeginning: IsBeginning): Known {
  let met: Step | undefined;
  let newest = root.generation;
  let isJoined = false;
  const stack = [root];
  for (let step = stack.pop(); step !== undefined; step = stack.pop()) {
    const { generation, node } = step;
    if (generation > newest) newest = generation;
    if (step !== root && isBeginning(step)) isJoined = true;
    if (hashes[start - generation] === node[0] && generation > (met?.generation ?? 0)) met = step;
    for (const child of node[2]) stack.push({ generation: generation + 1, node: child, parent: step });
  }
  return { met, newest, isJoined };
}

/** Whether a path has ancestors of the oldest revision that is known. Others than those that are known stay out. */
function bringsOlder(met: Step, { start, hashes }: Path): boolean {
  let step = met;
  for (let at = start - met.generation + 1; at < hashes.length; at++) {
    if (step.parent === undefined) return true;
    step = step.parent;
    if (step.node[0] !== hashes[at]) return false;
  }
  return false;
}

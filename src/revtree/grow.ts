import { sorted } from '../json/sort.js';
import { byHash, revOf, type RevNode, type RevTree } from './tree.js';

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
 * The same where a path leaves a history at a revision that is known, and nothing becomes too old: only the revisions on
 * the way there are made anew. Undefined where it is something else. A document may have a thousand branches, each of which
 * came by itself: to take the tree apart for each of them takes a second for five hundred.
 */
export function branchOff(tree: RevTree, path: Path): Inserted | undefined {
  const [branch] = tree;
  if (branch === undefined || tree.length > 1) return undefined;
  const { start, hashes, limit } = path;
  const { met, newest } = newestKnown({ generation: branch.pos, node: branch.ids, parent: undefined }, path);
  if (met === undefined || met.generation === start) return undefined;
  if (Math.max(newest, start) - branch.pos >= limit || bringsOlder(met, path)) return undefined;
  let line: RevNode = [hashes[0] ?? '', path.state, []];
  for (let at = 1; at < start - met.generation; at++)
    line = [hashes[at] ?? '', { status: 'missing' }, [line]];
  let made: RevNode = [met.node[0], met.node[1], sorted([...met.node[2], line], byHash)];
  for (let step: Step = met; step.parent !== undefined; step = step.parent) {
    const { node } = step;
    const [hash, state, children] = step.parent.node;
    made = [hash, state, children.map((child) => (child === node ? made : child))];
  }
  return { tree: [{ pos: branch.pos, ids: made }], stemmed: [] };
}

/** The newest revision of a path that a history has, and the newest generation that there is. */
function newestKnown(root: Step, { start, hashes }: Path): { met: Step | undefined; newest: number } {
  let met: Step | undefined;
  let newest = root.generation;
  const stack = [root];
  for (let step = stack.pop(); step !== undefined; step = stack.pop()) {
    const { generation, node } = step;
    if (generation > newest) newest = generation;
    if (hashes[start - generation] === node[0] && generation > (met?.generation ?? 0)) met = step;
    for (const child of node[2]) stack.push({ generation: generation + 1, node: child, parent: step });
  }
  return { met, newest };
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

import { sorted } from '../json/sort.js';

/** A revision in PouchDB's form: its hash, whether its body is kept and whether it is a deletion, its children. */
export type RevNode = [
  hash: string,
  state: { status: 'available' | 'missing'; deleted?: boolean },
  children: RevNode[],
];

/** A stretch of history whose older end is unknown or the beginning; `pos` is the generation of its root. */
export interface RevBranch {
  pos: number;
  ids: RevNode;
}

/** All that is known of a document's revisions; several branches where common ancestors are not known. */
export type RevTree = RevBranch[];

/** One revision as it stands in a tree. */
export interface RevPosition {
  readonly generation: number;
  readonly node: RevNode;
}

export const revOf = (generation: number, hash: string): string => `${String(generation)}-${hash}`;

export const revAt = (position: RevPosition): string => revOf(position.generation, position.node[0]);

/** The generation of a revision such as `3-abc`. */
export const generationOf = (rev: string): number => Number.parseInt(rev, 10);

/** Calls `visit` for each revision, parents before children, until it returns false. */
function walk(tree: RevTree, visit: (position: RevPosition) => boolean): void {
  const stack: RevPosition[] = tree.map(({ pos, ids }) => ({ generation: pos, node: ids })).reverse();
  for (let next = stack.pop(); next !== undefined; next = stack.pop()) {
    if (!visit(next)) return;
    for (const child of next.node[2]) stack.push({ generation: next.generation + 1, node: child });
  }
}

/** The leaves below a node, itself if it is one. */
function leavesBelow(start: RevPosition): RevPosition[] {
  const found: RevPosition[] = [];
  walk([{ pos: start.generation, ids: start.node }], (position) => {
    if (position.node[2].length === 0) found.push(position);
    return true;
  });
  return found.sort(winnerOrder);
}

/** CouchDB's order of leaves: living before deleted, then the longer history, then the higher hash. */
export function winnerOrder(a: RevPosition, b: RevPosition): number {
  const aDeleted = a.node[1].deleted === true;
  if (aDeleted !== (b.node[1].deleted === true)) return aDeleted ? 1 : -1;
  if (a.generation !== b.generation) return b.generation - a.generation;
  return a.node[0] === b.node[0] ? 0 : a.node[0] < b.node[0] ? 1 : -1;
}

/** All leaves in winner order: the first is the winner. */
export function leavesOf(tree: RevTree): RevPosition[] {
  const only = onlyLeaf(tree);
  if (only !== undefined) return [only];
  const found: RevPosition[] = [];
  walk(tree, (position) => {
    if (position.node[2].length === 0) found.push(position);
    return true;
  });
  return sorted(found, winnerOrder);
}

/** The leaf of a history without branches, which nearly all are. */
function onlyLeaf(tree: RevTree): RevPosition | undefined {
  const [branch] = tree;
  if (branch === undefined || tree.length > 1) return undefined;
  let { pos: generation, ids: node } = branch;
  for (let [child] = node[2]; child !== undefined; [child] = node[2]) {
    if (node[2].length > 1) return undefined;
    node = child;
    generation++;
  }
  return { generation, node };
}

/**
 * All leaves depth first, siblings by their hashes, the branch with the highest root first: the order in which CouchDB
 * finds them.
 */
export function leavesInTree(tree: RevTree): RevPosition[] {
  const branches = tree
    .map(({ pos, ids }): RevPosition => ({ generation: pos, node: ids }))
    .sort((a, b) => b.generation - a.generation || byHash(b.node, a.node));
  const found: RevPosition[] = [];
  for (let next = branches.shift(); next !== undefined; next = branches.shift()) {
    const { generation, node } = next;
    if (node[2].length === 0) found.push(next);
    const children = node[2].toSorted(byHash).map((child) => ({ generation: generation + 1, node: child }));
    branches.unshift(...children);
  }
  return found;
}

/** The order of siblings. */
export const byHash = (a: RevNode, b: RevNode): number => (a[0] === b[0] ? 0 : a[0] < b[0] ? -1 : 1);

/** The order of histories that have no common beginning. */
export const byBeginning = (a: RevBranch, b: RevBranch): number => a.pos - b.pos || byHash(a.ids, b.ids);

/** The path from the oldest known ancestor to a revision, both included; undefined where it is not in the tree. */
export function pathTo(tree: RevTree, rev: string): RevPosition[] | undefined {
  const generation = generationOf(rev);
  const hash = rev.slice(rev.indexOf('-') + 1);
  for (const { pos, ids } of tree) {
    if (pos > generation) continue;
    // Depth first with the path as the stack; `next` counts the children that were tried at each level.
    const path: { position: RevPosition; next: number }[] = [
      { position: { generation: pos, node: ids }, next: 0 },
    ];
    for (let top = path.at(-1); top !== undefined; top = path.at(-1)) {
      if (top.position.generation === generation && top.position.node[0] === hash) {
        return path.map((step) => step.position);
      }
      const child = top.position.generation < generation ? top.position.node[2][top.next++] : undefined;
      if (child === undefined) path.pop();
      else path.push({ position: { generation: top.position.generation + 1, node: child }, next: 0 });
    }
  }
  return undefined;
}

/** Where a revision stands. */
export function find(tree: RevTree, rev: string): RevPosition | undefined {
  const generation = generationOf(rev);
  const hash = rev.slice(rev.indexOf('-') + 1);
  let found: RevPosition | undefined;
  walk(tree, (position) => {
    if (position.generation === generation && position.node[0] === hash) found = position;
    return found === undefined;
  });
  return found;
}

/** The leaves that descend from a revision, in winner order. */
export function latestOf(tree: RevTree, rev: string): RevPosition[] {
  const position = find(tree, rev);
  return position === undefined ? [] : leavesBelow(position);
}

/** Every revision in the tree. */
export function revsOf(tree: RevTree): string[] {
  const found: string[] = [];
  walk(tree, (position) => found.push(revAt(position)) > 0);
  return found;
}

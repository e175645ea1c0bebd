import type { RevNode, RevTree } from './tree.js';

/** The tree with these revisions marked as having no body. */
export function withoutBodies(tree: RevTree, revs: ReadonlySet<string>): RevTree {
  return tree.map(({ pos, ids }) => ({ pos, ids: copyNode(ids, pos, revs) }));
}

/** Copies without recursion: a history may be deeper than the stack. */
function copyNode(root: RevNode, generation: number, revs: ReadonlySet<string>): RevNode {
  const copies: RevNode[] = [];
  const stack = [{ node: root, generation, into: copies }];
  for (let next = stack.pop(); next !== undefined; next = stack.pop()) {
    const [hash, state, children] = next.node;
    const gone = revs.has(`${String(next.generation)}-${hash}`);
    const copy: RevNode = [hash, gone ? { ...state, status: 'missing' } : state, []];
    next.into.push(copy);
    for (const child of children.toReversed()) {
      stack.push({ node: child, generation: next.generation + 1, into: copy[2] });
    }
  }
  return copies[0] ?? root;
}

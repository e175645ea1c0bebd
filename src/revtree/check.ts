import { revOf } from './tree.js';

/** What a tree says of one revision, wherever it stands in it. */
export interface CheckedRevision {
  /** Whether its body is said to be kept. */
  available: boolean;
  isLeaf: boolean;
}

export interface CheckedTree {
  readonly revs: ReadonlyMap<string, CheckedRevision>;
  /** The most steps that a revision is away from the nearest leaf. */
  readonly farthest: number;
}

/** A place in what may be a tree. */
interface Place {
  readonly node: unknown;
  readonly generation: number;
  readonly parent: Step | undefined;
}

/** A place that was looked at. */
interface Step {
  readonly parent: Step | undefined;
  /** To the nearest leaf. */
  distance: number;
}

/**
 * Looks at what was read as a revision tree.
 * The order of branches means nothing, and PouchDB's stemming leaves ancestors in several branches; leaves stand once.
 * @returns the tree's revisions, or in words what keeps it from being a tree
 */
export function checkTree(tree: unknown): CheckedTree | string {
  if (!Array.isArray(tree) || tree.length === 0) return 'the revision tree is empty';
  const revs = new Map<string, CheckedRevision>();
  const steps: Step[] = [];
  const stack: Place[] = [];
  for (const branch of tree as unknown[]) {
    const { pos, ids } = (branch ?? {}) as { pos?: unknown; ids?: unknown };
    if (!Number.isSafeInteger(pos) || (pos as number) < 0)
      return 'a branch of the revision tree has no generation';
    stack.push({ node: ids, generation: pos as number, parent: undefined });
  }
  for (let place = stack.pop(); place !== undefined; place = stack.pop()) {
    const { generation, parent } = place;
    const node = readNode(place.node);
    if (node === undefined) return `the revision tree is malformed at generation ${String(generation)}`;
    const rev = revOf(generation, node.hash);
    const isLeaf = node.children.length === 0;
    const known = revs.get(rev);
    if (known !== undefined && (isLeaf || known.isLeaf))
      return `the leaf ${rev} stands in the revision tree twice`;
    if (known === undefined) revs.set(rev, { available: node.available, isLeaf });
    else known.available ||= node.available;
    const step: Step = { parent, distance: isLeaf ? 0 : Infinity };
    steps.push(step);
    for (const child of node.children) stack.push({ node: child, generation: generation + 1, parent: step });
  }
  return { revs, farthest: farthestOf(steps) };
}

/** @param steps parents before their children */
function farthestOf(steps: readonly Step[]): number {
  let farthest = 0;
  for (let at = steps.length - 1; at >= 0; at--) {
    const { parent, distance = 0 } = steps[at] ?? {};
    farthest = Math.max(farthest, distance);
    if (parent !== undefined) parent.distance = Math.min(parent.distance, distance + 1);
  }
  return farthest;
}

function readNode(
  node: unknown,
): { hash: string; available: boolean; children: readonly unknown[] } | undefined {
  if (!Array.isArray(node) || node.length !== 3) return undefined;
  const [hash, state, children] = node as readonly unknown[];
  if (typeof hash !== 'string' || !Array.isArray(children)) return undefined;
  const { status, deleted = false } = (state ?? {}) as { status?: unknown; deleted?: unknown };
  if ((status !== 'available' && status !== 'missing') || typeof deleted !== 'boolean') return undefined;
  return { hash, available: status === 'available', children: children as readonly unknown[] };
}

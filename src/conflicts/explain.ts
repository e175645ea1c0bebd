import { liveLeaves, type Graph, type Revision } from './graph.js';
import { isMergeOf, namedBy, nameOf, tombstoneKind, undoneRev } from './revisions.js';

/** So many small hashes one document may take in the search for what went into merged revisions. */
const MOST_GUESSES = 2048;
/** Revisions that a tombstone may name are looked for among so many, the newest. */
const NEWEST = 4096;

/**
 * Where merged revisions came from: adds to a graph what no tree shows, each of it proven by digits of the revisions.
 *
 * A tombstone proves what it names. A merged revision may come without its tombstones, so its digits are also compared
 * with what the leaves that went in would make of them. Where neither leads to all of them, it stays unexplained.
 */
export function explain(graph: Graph): void {
  if (graph.revisions.every(({ kind }) => kind === 'edit')) return;
  const tombstones = readTombstones(graph);
  const live = liveLeaves(graph);
  const trunk = trunkOf(live);
  const candidates = candidatesOf(graph, tombstones);
  const budget = { left: MOST_GUESSES };
  for (const merged of graph.revisions) {
    if (merged.kind !== 'merged') continue;
    const proven = tombstones
      .filter(({ into, kind }) => into === merged && kind === 'input')
      .map(({ leaf }) => leaf);
    // What all leaves descend from parts none of them: only tombstones are looked at there.
    const others = trunk.has(merged) ? proven : inputsOf(merged, proven, candidates, budget);
    merged.explained = others !== undefined && proves(merged, others);
    merged.made.push(...(others ?? proven));
  }
  for (const { into, kind, leaf } of tombstones) if (kind === 'equal') into?.equals.push(leaf);
  for (const revision of graph.revisions) if (revision.kind === 'undone') explainUndone(revision, tombstones);
}

/** A tombstone, its leaf, and what it says the leaf went into. */
interface Read {
  readonly tombstone: Revision;
  readonly leaf: Revision;
  readonly into: Revision | undefined;
  readonly kind: ReturnType<typeof tombstoneKind>;
}

function readTombstones({ revisions }: Graph): Read[] {
  const all = revisions.filter(({ kind, parent }) => kind === 'tombstone' && parent !== undefined);
  if (all.length === 0) return [];
  const byName = new Map<string, Revision[]>();
  for (const revision of revisions.slice(-NEWEST)) {
    if (revision.kind === 'tombstone') continue;
    const name = nameOf(revision.rev);
    const same = byName.get(name);
    if (same === undefined) byName.set(name, [revision]);
    else same.push(revision);
  }
  return all.flatMap((tombstone) => {
    const leaf = tombstone.parent;
    if (leaf === undefined) return [];
    const kindFor = (into: Revision): ReturnType<typeof tombstoneKind> =>
      tombstoneKind(tombstone.rev, leaf.rev, into.rev);
    const into = byName.get(namedBy(tombstone.hash))?.find((one) => kindFor(one) !== undefined);
    return { tombstone, leaf, into, kind: into && kindFor(into) };
  });
}

/** What all of these leaves descend from, in the tree. */
function trunkOf(leaves: readonly Revision[]): ReadonlySet<Revision> {
  const [first, ...others] = leaves;
  const trunk = lineOf(first);
  for (const leaf of others) {
    const line = lineOf(leaf);
    for (const revision of trunk) if (!line.has(revision)) trunk.delete(revision);
  }
  return trunk;
}

function lineOf(leaf: Revision | undefined): Set<Revision> {
  const line = new Set<Revision>();
  for (let at = leaf; at !== undefined; at = at.parent) line.add(at);
  return line;
}

/** Leaves that may have gone into a merged revision, the likeliest first. */
function candidatesOf(graph: Graph, tombstones: readonly Read[]): Revision[] {
  const replaced = new Set(tombstones.map(({ leaf }) => leaf));
  const deleted = new Set(graph.leaves.filter((leaf) => leaf.deleted).map(({ parent }) => parent));
  const rank = (revision: Revision): number => {
    if (revision.children.length === 0) return 0;
    return replaced.has(revision) ? 1 : deleted.has(revision) ? 2 : 3;
  };
  return graph.revisions
    .filter((one) => one.kind !== 'tombstone' && !(one.deleted && one.children.length === 0))
    .sort((a, b) => rank(a) - rank(b) || b.generation - a.generation);
}

/** How many leaves are taken at a time, and from how many of the likeliest: some hundred sets in all. */
const SEARCH = [[1, 64], [2, 24], [3, 12], ...[4, 5, 6, 7, 8].map((size) => [size, 8] as const)] as const;

/**
 * The leaves besides its parent that went into a merged revision.
 * @param proven those that tombstones say went in
 * @returns undefined where not all of them can be found
 */
function inputsOf(
  merged: Revision,
  proven: readonly Revision[],
  candidates: readonly Revision[],
  budget: { left: number },
): readonly Revision[] | undefined {
  if (proves(merged, proven)) return proven;
  const line = lineOf(merged);
  // They were leaves when the highest of them became the parent.
  const possible = candidates.filter(
    (one) => one.generation < merged.generation && !line.has(one) && !proven.includes(one),
  );
  for (const [size, among] of SEARCH) {
    for (const chosen of subsets(possible.slice(0, among), size)) {
      if (budget.left-- <= 0) return undefined;
      const others = [...proven, ...chosen];
      if (proves(merged, others)) return others;
    }
  }
  return undefined;
}

const proves = ({ hash }: Revision, others: readonly Revision[]): boolean =>
  isMergeOf(
    hash,
    others.map(({ rev }) => rev),
  );

function* subsets<T>(items: readonly T[], size: number): Generator<readonly T[]> {
  if (size === 0) {
    yield [];
    return;
  }
  for (const [at, item] of items.entries()) {
    for (const rest of subsets(items.slice(at + 1), size - 1)) yield [item, ...rest];
  }
}

/** What brings a leaf back stands below the leaf's tombstone, or below the merged revision itself. */
function explainUndone(undone: Revision, tombstones: readonly Read[]): void {
  const below = undone.parent;
  if (below === undefined) return;
  const read = tombstones.find(({ tombstone }) => tombstone === below);
  const leaf = below.kind === 'merged' ? below.parent : read?.leaf;
  const merged = below.kind === 'merged' ? below : read?.into;
  if (leaf === undefined || merged === undefined) return;
  if (undone.rev !== undoneRev(undone.generation, leaf.rev, merged.rev)) return;
  undone.made.push(leaf);
  undone.undoes = merged;
}

import { basesOf } from './bases.js';
import type { Graph, Revision } from './graph.js';
import type { ConflictText, KnownDocument, LeafText, TreeRevision, VersionText } from './types.js';

/**
 * What a merge function is to know of a conflict; undefined where the body of a leaf is not at hand. Our tombstones are not in
 * it: which of them are here depends on what came when.
 */
export function conflictText(
  known: KnownDocument,
  graph: Graph,
  live: readonly Revision[],
): ConflictText | undefined {
  const versions = live.map((leaf) => versionOf(known, leaf));
  if (versions.includes(undefined)) return undefined;
  const { all, own } = basesOf(graph, live);
  const leaves = versions.flatMap((version, at): LeafText[] =>
    version === undefined ? [] : [{ ...version, ...withBase(known, own[at]) }],
  );
  return {
    id: known.id,
    leaves,
    deleted: graph.leaves.filter((leaf) => leaf.deleted && leaf.kind !== 'tombstone').map(({ rev }) => rev),
    ...withBase(known, all),
    tree: graph.revisions.filter(({ kind }) => kind !== 'tombstone').map(shown),
  };
}

function versionOf({ content }: KnownDocument, { rev }: Revision): VersionText | undefined {
  const its = content(rev);
  return its === undefined ? undefined : { rev, content: its };
}

/** Nothing older takes the place of a base whose body is not at hand: what the base has already would count twice. */
function withBase(known: KnownDocument, base: Revision | undefined): { base?: VersionText } {
  const version = base === undefined ? undefined : versionOf(known, base);
  return version === undefined ? {} : { base: version };
}

function shown(revision: Revision): TreeRevision {
  const { rev, available, deleted, children, made } = revision;
  const parent = parentOf(revision);
  const state = available ? 'available' : 'missing';
  return {
    rev,
    state: children.length > 0 ? state : deleted ? 'deleted' : 'leaf',
    ...(parent === undefined ? {} : { parent: parent.rev }),
    absorbed: made.filter((one) => one !== parent && one.kind !== 'tombstone').map((one) => one.rev),
  };
}

/** In the tree without tombstones. */
function parentOf({ kind, made, parent }: Revision): Revision | undefined {
  if (kind === 'undone') return made[0];
  return parent?.kind === 'tombstone' ? parent.parent : parent;
}

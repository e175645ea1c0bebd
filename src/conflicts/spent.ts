import { contentDigest } from './digest.js';
import { areDifferent } from './glance.js';
import { type Graph, type Histories, type History, isCut, isEdit, type Revision } from './graph.js';
import { tombstoneRev, type TombstoneKind } from './revisions.js';
import type { Content, KnownDocument, Tombstone } from './types.js';

// Leaves that add nothing to others.

/** Those that went into a merged revision: it may be here before their tombstones are. */
export function absorbed(graph: Graph, live: readonly Revision[]): Tombstone[] {
  const merged = graph.revisions.filter(({ kind, explained }) => kind === 'merged' && explained).reverse();
  return live.flatMap((leaf) => {
    const into = merged.find(({ made }) => made.includes(leaf));
    return into === undefined ? [] : tombstone('input', leaf, into);
  });
}

/**
 * Merged revisions of which all that went in is in another leaf too. Where both have the same edits in them, the lower one
 * goes; but two that were made of the same leaves show that gateways have different rules, and neither goes.
 */
export function covered(leaves: readonly Revision[], histories: Histories): Tombstone[] {
  const others = leaves.filter(({ kind }) => kind !== 'tombstone');
  return others.flatMap((leaf, place) => {
    if (leaf.kind !== 'merged' || leaf.deleted) return [];
    const own = histories.of(leaf);
    const into = others.find((other, at) => {
      const its = histories.of(other);
      if (other === leaf || its.edits < own.edits) return false;
      if (!isWithin(own, its) || !isWhole(own, its) || !isWhole(its, own)) return false;
      return its.edits > own.edits || (!other.deleted && at < place && !isOfSame(leaf, other));
    });
    return into === undefined ? [] : tombstone('covered', leaf, into);
  });
}

function isWithin({ revisions }: History, other: History): boolean {
  for (const revision of revisions) if (isEdit(revision) && !other.revisions.has(revision)) return false;
  return true;
}

/** Whether all of a history is known that the other one may not have. */
function isWhole({ revisions }: History, other: History): boolean {
  for (const revision of revisions) {
    if (other.revisions.has(revision)) continue;
    if (isCut(revision) || (revision.kind === 'merged' && !revision.explained)) return false;
  }
  return true;
}

/** Whether two merged revisions were made of the same leaves. */
export const isOfSame = (a: Revision, b: Revision): boolean =>
  a.made.length === b.made.length && a.made.every((leaf) => b.made.includes(leaf));

/**
 * Edits with the same content as a higher one. Merged revisions are left to merge functions: they go by what is in them, and
 * two orders at a time could have each of some leaves go into another one of them.
 */
export function equal({ content }: KnownDocument, live: readonly Revision[]): Tombstone[] {
  const highest = new Map<string, Revision>();
  const edits = live.filter(isEdit).flatMap((leaf) => {
    const its = content(leaf.rev);
    return its === undefined ? [] : { leaf, content: its };
  });
  return alike(edits).flatMap(({ leaf, content: its }) => {
    const digest = contentDigest(its);
    const into = highest.get(digest);
    if (into === undefined) highest.set(digest, leaf);
    return into === undefined ? [] : tombstone('equal', leaf, into);
  });
}

/** So many contents are compared with each other, … */
const FEW = 8;

/** … so that digests are only taken of those that may be another's equal, which mostly are none. */
function alike<T extends { readonly content: Content }>(all: readonly T[]): readonly T[] {
  if (all.length > FEW) return all;
  const found = new Set<T>();
  for (const [at, one] of all.entries()) {
    for (const other of all.slice(at + 1))
      if (!areDifferent(one.content.body, other.content.body)) found.add(one).add(other);
  }
  return all.filter((one) => found.has(one));
}

const tombstone = (kind: TombstoneKind, leaf: Revision, into: Revision): Tombstone => ({
  rev: tombstoneRev(kind, leaf.rev, into.rev),
  leaf: leaf.rev,
  into: into.rev,
});

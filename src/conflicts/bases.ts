import { sorted } from '../json/sort.js';
import { countEdits, type Graph, type History, historyOf, isCut, isEdit, type Revision } from './graph.js';

/** So many revisions are tried as the base of a leaf. */
const MOST_TRIED = 32;

/**
 * Which revision has exactly the edits in it that all of some histories have in common. What one side has beyond it was
 * said on that side alone, so that each edit is taken in once.
 *
 * Mostly that is the nearest common ancestor. Where branches cross there are several, and none of them has all that the
 * sides have in common; a merge of them may, and then that is the base, even where one side does not descend from it. With
 * an ancestor instead, a counter would count twice what the other one says.
 *
 * There is none where a side has an end at which revisions were stemmed that may be the other's too.
 */
export function baseOf(graph: Graph, sides: readonly History[]): Revision | undefined {
  const [first, ...others] = sides;
  if (first === undefined) return undefined;
  const common = new Set(first.revisions);
  for (const { revisions } of others) {
    for (const revision of common) if (!revisions.has(revision)) common.delete(revision);
  }
  if (common.size === 0 || sides.some((side) => hasOtherEnd(side, common))) return undefined;
  const edits = countEdits(common);
  return candidates(graph, common, first).find((one) => {
    const history = historyOf(one, true);
    return history.edits === edits && !hasOtherEnd(history, common) && isWithin(history, common);
  });
}

/** The base of all of some leaves, and for each of them but the first that of it and all before it. */
export function basesOf(
  graph: Graph,
  leaves: readonly Revision[],
): { readonly all: Revision | undefined; readonly own: readonly (Revision | undefined)[] } {
  const histories = leaves.map((leaf) => historyOf(leaf, true));
  const own = histories.map((history, at) =>
    at === 0 ? undefined : baseOf(graph, [history, together(histories.slice(0, at))]),
  );
  return { all: baseOf(graph, histories), own };
}

/** Whether something of a history is not known where the common part does not reach. */
function hasOtherEnd({ revisions }: History, common: ReadonlySet<Revision>): boolean {
  for (const revision of revisions) {
    if (common.has(revision)) continue;
    if (isCut(revision) || (revision.kind === 'merged' && !revision.explained)) return true;
  }
  return false;
}

/** Whether all that a history says is in the common part. */
function isWithin({ revisions }: History, common: ReadonlySet<Revision>): boolean {
  for (const revision of revisions) if (isEdit(revision) && !common.has(revision)) return false;
  return true;
}

/** Common ancestors first, then merged revisions of the leaf's own history, then others; the newest of each first. */
function candidates(graph: Graph, common: ReadonlySet<Revision>, own: History): Revision[] {
  let newest = 0;
  for (const { generation, kind } of common) if (kind !== 'merged') newest = Math.max(newest, generation);
  const rank = (one: Revision): number => (common.has(one) ? 0 : own.revisions.has(one) ? 1 : 2);
  const all = graph.revisions
    .filter(
      (one) => one.generation >= newest && (common.has(one) || (one.kind === 'merged' && one.explained)),
    )
    .reverse();
  return sorted(all, (a, b) => rank(a) - rank(b)).slice(0, MOST_TRIED);
}

/** The histories of several revisions together. */
function together(histories: readonly History[]): History {
  const revisions = new Set<Revision>();
  for (const history of histories) for (const revision of history.revisions) revisions.add(revision);
  return { revisions, edits: countEdits(revisions) };
}

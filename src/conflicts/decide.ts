import { conflictText } from './conflict.js';
import { explain } from './explain.js';
import { type Graph, Histories, liveLeaves, readTree, type Revision } from './graph.js';
import { absorbed, covered, equal, isOfSame } from './spent.js';
import type { Decision, KnownDocument } from './types.js';

/** More leaves are not merged by themselves: each of them is compared with all others. */
const MOST_LEAVES = 100;
/** So many revisions may be looked at for all leaves together, which takes a twentieth of a second. */
const MOST_LOOKED_AT = 1 << 17;

/** Why the leaves of a document are not compared: it would take long at one go. Undefined where they are. */
export function tooLarge({ revisions }: Graph, live: readonly Revision[]): string | undefined {
  if (live.length > MOST_LEAVES) return `there are more than ${String(MOST_LEAVES)} leaves`;
  if (live.length * revisions.length <= MOST_LOOKED_AT) return undefined;
  return 'there are too many revisions for so many leaves';
}

export interface DecideOptions {
  /**
   * Whether one of several leaves with the same content stands for all of them; default true. False where functions add up
   * what leaves say: two clients that each count one more may write the same.
   */
  readonly equalIsSame?: boolean;
}

/**
 * What is to be done about a document: the same wherever the same is known of it, in whatever order it came.
 *
 * Leaves go where all they say is elsewhere; only then is a function asked about those that are left. So each merged revision
 * has more edits in it than any leaf that went in, and merging comes to an end. README.md says why no rule may be left out.
 */
export function decide(known: KnownDocument, { equalIsSame = true }: DecideOptions = {}): Decision {
  const graph = readTree(known.tree);
  const live = liveLeaves(graph);
  if (live.length === 0) return NONE;
  const large = tooLarge(graph, live);
  if (large !== undefined) return defer(large);
  explain(graph);
  const histories = new Histories();
  const spent = firstOf(
    () => absorbed(graph, live),
    () => covered(graph.leaves, histories),
  );
  if (spent.length > 0) return { kind: 'tidy', tombstones: spent };
  if (live.length === 1) return NONE;
  if (live.some((leaf) => isWantedBack(graph, leaf))) return { kind: 'undone' };
  const same = equalIsSame ? equal(known, live) : [];
  if (same.length > 0) return { kind: 'tidy', tombstones: same };
  const unclear = unexplained(graph, live, histories);
  if (unclear !== undefined) return wait(`it is not known yet what was merged into ${unclear.rev}`);
  if (rulesDiffer(live)) return defer('rules differ');
  if (goesOn(graph, live, histories)) return defer('it was merged again and again');
  const conflict = conflictText(known, graph, live);
  return conflict === undefined ? wait('the body of a leaf is not here') : { kind: 'merge', conflict };
}

const NONE: Decision = { kind: 'none' };
const defer = (reason: string): Decision => ({ kind: 'defer', reason });
const wait = (reason: string): Decision => ({ kind: 'wait', reason });

/** The first list with something in it. */
function firstOf<T>(...lists: readonly (() => readonly T[])[]): readonly T[] {
  for (const list of lists) {
    const found = list();
    if (found.length > 0) return found;
  }
  return [];
}

/**
 * Whether a leaf is there because somebody undid a merge. That stays, whatever else comes; until one of the leaves that came
 * back is edited: whoever did that saw them, and they are leaves like any others from then on.
 */
function isWantedBack({ revisions }: Graph, leaf: Revision): boolean {
  if (leaf.kind !== 'undone') return false;
  const { undoes } = leaf;
  if (undoes === undefined) return true;
  return !revisions.some((one) => one.undoes === undoes && one.children.length > 0);
}

/**
 * A merged revision that may have had one side's edits in it already, so that they would be taken in twice. One that all
 * leaves come from parts none of them.
 */
function unexplained(
  { revisions }: Graph,
  live: readonly Revision[],
  histories: Histories,
): Revision | undefined {
  return revisions.find((one) => {
    if (one.kind !== 'merged' || one.explained) return false;
    const having = live.filter((leaf) => histories.of(leaf).revisions.has(one)).length;
    return having > 0 && having < live.length;
  });
}

/** Whether two gateways made different things of the same leaves: they would go on to do so. */
function rulesDiffer(live: readonly Revision[]): boolean {
  const merged = live.filter(({ kind, explained }) => kind === 'merged' && explained);
  return merged.some((one, at) => merged.slice(at + 1).some((other) => isOfSame(one, other)));
}

/** So many of a document's newest revisions are looked at, … */
const NEWEST = 64;
/** … once so many are known. */
const ENOUGH = 16;
/** The most of them that may be merged revisions. */
const MOST_MERGED = 7 / 8;

/**
 * Whether nearly all that was written lately was written by gateways. Clients that always write at the same time make one
 * merged revision for each edit or less, however long they do so: only merges of merges come to more, and by the rules
 * above those end. Where they do not (after stemming, or with gateways that follow other rules), this ends them.
 */
function goesOn({ revisions: known }: Graph, live: readonly Revision[], histories: Histories): boolean {
  if (known.length < ENOUGH) return false;
  const all = new Set(live.flatMap((leaf) => [...histories.of(leaf).revisions]));
  if (all.size < ENOUGH) return false;
  const newest = [...all].sort((a, b) => b.generation - a.generation).slice(0, NEWEST);
  const merged = newest.filter(({ kind }) => kind === 'merged').length;
  return merged >= newest.length * MOST_MERGED;
}

import { revOf, type RevNode, type RevTree } from './tree.js';

/** What is left of a tree, and what went. */
export interface Purged {
  readonly tree: RevTree;
  /** Those of the leaves that were named, the oldest generation first. */
  readonly leaves: readonly string[];
  /** They and their ancestors that led to nothing else. */
  readonly gone: readonly string[];
}

/** A revision on the way through a tree; parents come before their children. */
interface Step {
  readonly generation: number;
  readonly node: RevNode;
  readonly parent: Step | undefined;
  /** Of the tree that is left; undefined where nothing leads there any more. */
  copy: RevNode | undefined;
}

/** Takes leaves out of a tree, with their branches up to the next fork; revisions that are no leaves stay. */
export function purge(tree: RevTree, revs: ReadonlySet<string>): Purged {
  const steps = stepsOf(tree);
  const leaves: string[] = [];
  for (const step of steps) {
    if (step.node[2].length > 0) continue;
    const rev = revOf(step.generation, step.node[0]);
    if (revs.has(rev)) leaves.push(rev);
    else keep(step);
  }
  const gone = steps
    .filter(({ copy }) => copy === undefined)
    .map(({ generation, node }) => revOf(generation, node[0]));
  const left: RevTree = [];
  for (const { copy, parent, generation } of steps) {
    if (copy === undefined) continue;
    if (parent?.copy === undefined) left.push({ pos: generation, ids: copy });
    else parent.copy[2].push(copy);
  }
  leaves.sort((a, b) => Number.parseInt(a, 10) - Number.parseInt(b, 10) || (a < b ? -1 : 1));
  return { tree: left, leaves, gone };
}

/** A leaf stays, and so does what it descends from. */
function keep(leaf: Step): void {
  for (let step: Step | undefined = leaf; step?.copy === undefined; step = step.parent) {
    if (step === undefined) return;
    step.copy = [step.node[0], step.node[1], []];
  }
}

/** Without recursion: a history may be deeper than the stack. */
function stepsOf(tree: RevTree): Step[] {
  const steps: Step[] = [];
  const stack: Step[] = tree
    .map(({ pos, ids }) => ({ generation: pos, node: ids, parent: undefined, copy: undefined }))
    .reverse();
  for (let step = stack.pop(); step !== undefined; step = stack.pop()) {
    steps.push(step);
    for (const child of step.node[2].toReversed()) {
      stack.push({ generation: step.generation + 1, node: child, parent: step, copy: undefined });
    }
  }
  return steps;
}

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { AttachmentSummary, Content } from '../../src/conflicts/types.js';
import { leavesOf, revAt, revsOf } from '../../src/revtree/tree.js';
import { serialiseTree } from '../../src/revtree/serialise.js';
import {
  addUp,
  addUpOrDefer,
  contentOf,
  countersOf,
  liveOf,
  type Merge,
  sum,
  World,
} from './support/world.js';

const RUNS = Number(process.env.CONFLICT_RUNS ?? 60);

const KINDS = [
  'edit',
  'edit',
  'edit',
  'step',
  'step',
  'step',
  'send',
  'send',
  'send',
  'all',
  'delete',
  'compact',
  'undo',
] as const;

interface Step {
  readonly kind: (typeof KINDS)[number];
  readonly at: number;
  readonly other: number;
  readonly salt: number;
}

const steps = fc.array(
  fc.record({
    kind: fc.constantFrom(...KINDS),
    at: fc.nat(4),
    other: fc.nat(20),
    salt: fc.nat(1000),
  }),
  { minLength: 1, maxLength: 60, size: 'max' },
);

interface Ways {
  readonly deletes?: boolean;
  readonly undoes?: boolean;
  readonly compacts?: boolean;
  readonly content: (before: Content, salt: number, count: number) => Content;
}

/** Lets things happen, in an order that nobody would choose. */
function live(world: World, happenings: readonly Step[], ways: Ways): void {
  let count = 0;
  world.edit(0, ways.content(contentOf({}), 0, count++));
  if (happenings.length % 2 === 0) for (let to = 1; to < world.replicas.length; to++) world.deliver(0, to);
  for (const { kind, at, other, salt } of happenings) {
    const replica = world.replica(at);
    const leaves = liveOf(replica);
    const leaf = leaves[other % Math.max(leaves.length, 1)];
    const before = (leaf === undefined ? undefined : replica.bodies.get(leaf)) ?? contentOf({});
    if (kind === 'edit') world.edit(at, ways.content(before, salt, count++), { leaf: other, salt });
    else if (kind === 'step') world.step(at);
    else if (kind === 'send') world.deliver(at, other, salt);
    else if (kind === 'all') world.deliver(at, other);
    else if (kind === 'delete' && ways.deletes && leaf !== undefined)
      world.edit(at, contentOf({}), { leaf: other, salt, deleted: true });
    else if (kind === 'compact' && ways.compacts) world.compact(at);
    else if (kind === 'undo' && ways.undoes) world.undo(at);
  }
}

/** @param isStemmed whether revisions went from trees: replication takes a leaf that one has forgotten for a new one */
function expectConverged(world: World, isStemmed = false): void {
  expect(world.settle(80), 'it comes to an end').toBe(true);
  const trees = world.replicas.map(({ tree }) => serialiseTree(tree));
  if (!isStemmed) expect(new Set(world.replicas.map(({ tree }) => revsOf(tree).sort().join())).size).toBe(1);
  for (let at = 0; at < trees.length; at++) world.deliver(at, at + 1);
  expect(world.replicas.map(({ tree }) => serialiseTree(tree))).toEqual(trees);
}

/** Whatever was said is in a leaf, or a client deleted it. */
function expectNothingLost(world: World): void {
  const kept = new Set<string>();
  for (const leaf of leavesOf(world.replica(0).tree).map(revAt)) {
    const fact = world.facts.get(leaf);
    const isTombstone = fact?.deleted === true && !fact.isEdit && fact.from.length === 1;
    if (!isTombstone) for (const edit of world.editsIn(leaf)) kept.add(edit);
  }
  for (const [rev, { isEdit }] of world.facts) if (isEdit) expect(kept).toContain(rev);
}

/** Each edit counts once in each merged revision whose leaves had bases. */
function expectExact(world: World): void {
  const deltas = new Map<string, Record<string, number>>();
  for (const [rev, { isEdit, content, from }] of world.facts) {
    if (!isEdit) continue;
    let [before] = from;
    const fact = before === undefined ? undefined : world.facts.get(before);
    if (fact?.deleted === true && !fact.isEdit && fact.from.length === 1) before = fact.from[0];
    const its = before === undefined ? undefined : world.facts.get(before)?.content;
    deltas.set(rev, sum(countersOf(content), its === undefined ? {} : countersOf(its), -1));
  }
  for (const [rev, { isEdit, content, exact, from }] of world.facts) {
    if (isEdit || !exact || from.length < 2) continue;
    let expected = {};
    for (const edit of world.editsIn(rev)) expected = sum(expected, deltas.get(edit) ?? {});
    expect(countersOf(content), rev).toEqual(countersOf(contentOf(expected)));
  }
}

const counting: Ways['content'] = (before, salt, count) => {
  const attachment: AttachmentSummary = { contentType: 'a/b', digest: `md5-${String(salt)}`, length: salt };
  const attachments = new Map(
    salt % 5 === 0 ? [...before.attachments, [`a${String(salt)}`, attachment]] : before.attachments,
  );
  return contentOf(sum(countersOf(before), { [`e${String(count)}`]: 1 }), attachments);
};

const some = (count: number, merge: Merge, merging = count): (Merge | undefined)[] =>
  Array.from({ length: count }, (_, at) => (at < merging ? merge : undefined));

describe('gateways that add up what leaves say', () => {
  test('end with the same single leaf, in which each edit counts once', () => {
    fc.assert(
      fc.property(steps, fc.integer({ min: 2, max: 5 }), fc.nat(3), (happenings, count, readers) => {
        const functions = some(count, addUpOrDefer, Math.max(1, count - readers));
        const world = new World({ limits: functions.map(() => 1000), functions, equalIsSame: false });
        live(world, happenings, { deletes: happenings.length % 3 === 0, content: counting });
        expectConverged(world);
        for (const replica of world.replicas) {
          // What could not be merged is waiting for somebody who has a base.
          if (liveOf(replica).length > 1) expect(world.decision(replica).kind).toBe('merge');
        }
        expectExact(world);
        expectNothingLost(world);
      }),
      { numRuns: RUNS },
    );
  });

  test('do so where bodies of ancestors are gone, leaves are brought back and histories are short', () => {
    fc.assert(
      fc.property(
        steps,
        fc.array(fc.constantFrom(2, 3, 4, 6, 10, 1000), { minLength: 2, maxLength: 4 }),
        (happenings, limits) => {
          const world = new World({ limits, functions: some(limits.length, addUp), equalIsSame: false });
          live(world, happenings, { deletes: true, undoes: true, compacts: true, content: counting });
          expectConverged(world, true);
          expectExact(world);
          expectNothingLost(world);
        },
      ),
      { numRuns: RUNS },
    );
  });
});

describe('gateways that pick', () => {
  const FEW = ['a', 'b', 'c'];
  const lowest: Merge = ({ leaves }) => {
    const [best] = leaves.toSorted((a, b) => (a.content.body < b.content.body ? -1 : 1));
    return { resolution: { kind: 'pick', rev: best?.rev ?? '' }, exact: false };
  };
  const odd: Merge = (conflict) => {
    const digit = Number.parseInt(conflict.leaves.at(-1)?.rev.slice(-1) ?? '', 16);
    if (digit === 0) return { resolution: { kind: 'defer', reason: 'it is zero' }, exact: false };
    return digit < 3 ? { resolution: { kind: 'delete' }, exact: false } : lowest(conflict);
  };
  const content: Ways['content'] = (_before, salt) => contentOf({ [FEW[salt % 3] ?? '']: 1 });

  test.each([
    ['the same leaf', lowest],
    ['one that depends on nothing that anybody could foresee', odd],
  ])('%s end with the same leaves, also where leaves are equal', (_name, merge) => {
    fc.assert(
      fc.property(steps, fc.integer({ min: 2, max: 5 }), fc.boolean(), (happenings, count, undoes) => {
        const world = new World({
          limits: some(count, merge).map(() => 1000),
          functions: some(count, merge),
          equalIsSame: true,
        });
        live(world, happenings, { deletes: happenings.length % 3 === 0, undoes, content });
        expectConverged(world);
        expectNothingLost(world);
      }),
      { numRuns: RUNS },
    );
  });

  test('different ones end with the same leaves', () => {
    fc.assert(
      fc.property(steps, fc.integer({ min: 2, max: 5 }), (happenings, count) => {
        const functions = Array.from({ length: count }, (_, at) => [lowest, addUp, odd][at % 3]);
        const world = new World({ limits: functions.map(() => 1000), functions, equalIsSame: true });
        live(world, happenings, { deletes: happenings.length % 3 === 0, content });
        expectConverged(world);
        expectNothingLost(world);
      }),
      { numRuns: RUNS },
    );
  });
});

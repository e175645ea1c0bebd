import { describe, expect, test } from 'vitest';
import { decide } from '../../src/conflicts/decide.js';
import { insert } from '../../src/revtree/insert.js';
import { leavesOf, pathTo, revAt, type RevTree } from '../../src/revtree/tree.js';
import {
  addUpOrDefer,
  contentOf,
  countersOf,
  liveOf,
  type Merge,
  type Replica,
  World,
} from './support/world.js';

const pick =
  (order: number): Merge =>
  ({ leaves }) => ({ resolution: { kind: 'pick', rev: leaves.at(order)?.rev ?? '' }, exact: false });

const worldOf = (functions: (Merge | undefined)[], { limit = 1000, equalIsSame = false } = {}): World =>
  new World({ limits: functions.map(() => limit), functions, equalIsSame });

/** A document of generation 1 that all replicas have, and that each of some replicas edits then. */
function forked(world: World, editors: readonly number[], before = 0): string[] {
  world.edit(0, contentOf({ n: before }));
  for (let at = 1; at < world.replicas.length; at++) world.deliver(0, at);
  return editors.map((at) => world.edit(at, contentOf({ n: before + 10 ** at })));
}

/** Sends one leaf. */
function send(world: World, from: number, to: number, rev: string): void {
  world.deliver(from, to, leavesOf(world.replica(from).tree).map(revAt).indexOf(rev));
}

const only = (replica: Replica): number | undefined => {
  const live = liveOf(replica);
  expect(live).toHaveLength(1);
  return countersOf(replica.bodies.get(live[0] ?? '') ?? contentOf({})).n;
};

describe('a document with two leaves', () => {
  test('has its merged revision taken for what it is before its tombstones come', () => {
    const world = worldOf([addUpOrDefer, undefined, addUpOrDefer]);
    forked(world, [0, 1]);
    world.deliver(1, 0);
    world.deliver(1, 2);
    world.step(0);
    const [merged = ''] = liveOf(world.replica(0));
    send(world, 0, 2, merged);
    const decision = world.step(2);
    expect(decision?.kind).toBe('tidy');
    expect(liveOf(world.replica(2))).toEqual([merged]);
    expect(leavesOf(world.replica(2).tree).map(revAt)).toEqual(leavesOf(world.replica(0).tree).map(revAt));
  });

  test('counts each edit once where a tombstone comes before its merged revision', () => {
    const world = worldOf([addUpOrDefer, addUpOrDefer, addUpOrDefer]);
    forked(world, [0, 1, 2]);
    world.deliver(1, 0);
    world.step(0);
    const [merged = ''] = liveOf(world.replica(0));
    const tombstone = leavesOf(world.replica(0).tree)
      .map(revAt)
      .find((rev) => rev !== merged);
    send(world, 0, 2, tombstone ?? '');
    world.deliver(1, 2);
    world.step(2);
    expect(world.settle(10)).toBe(true);
    expect(only(world.replica(2))).toBe(111);
  });

  test('counts each edit once where clients edit the leaf that was merged and the winner meanwhile', () => {
    const world = worldOf([addUpOrDefer, undefined, undefined]);
    forked(world, [0, 1]);
    world.deliver(1, 0);
    world.deliver(0, 1);
    world.step(0);
    const replica = world.replica(1);
    for (const leaf of [0, 1]) {
      // The other leaf is not the first one any more once one was edited.
      const rev = liveOf(replica)[leaf] ?? '';
      const { n = 0 } = countersOf(replica.bodies.get(rev) ?? contentOf({}));
      world.edit(1, contentOf({ n: n + 100 }), { leaf });
    }
    expect(world.settle(10)).toBe(true);
    expect(only(world.replica(2))).toBe(211);
  });

  test('keeps the winner where both are equal, and asks nobody', () => {
    const world = worldOf([pick(0), undefined], { equalIsSame: true });
    forked(world, []);
    for (const at of [0, 1]) world.edit(at, contentOf({ same: 1 }));
    world.deliver(1, 0);
    const [winner] = liveOf(world.replica(0));
    expect(world.step(0)?.kind).toBe('tidy');
    expect(liveOf(world.replica(0))).toEqual([winner]);
  });

  test('is merged where they differ only beyond what a double holds, and not where a number is only written otherwise', () => {
    for (const [a, b, kind] of [
      ['9007199254740992', '9007199254740993', 'merge'],
      ['1', '1.0', 'tidy'],
      ['1e+21', '1000000000000000000000', 'tidy'],
    ] as const) {
      const world = worldOf([pick(0), undefined], { equalIsSame: true });
      forked(world, []);
      world.edit(0, { body: `"n":${a}`, attachments: new Map() });
      world.edit(1, { body: `"n":${b}`, attachments: new Map() });
      world.deliver(1, 0);
      expect(world.decision(world.replica(0)).kind).toBe(kind);
    }
  });

  test('is merged below the winner, though a deleted leaf is longer', () => {
    const world = worldOf([addUpOrDefer, undefined, undefined]);
    forked(world, [0, 1, 2, 2, 2]);
    world.edit(2, contentOf({}), { deleted: true });
    world.deliver(1, 0);
    world.deliver(2, 0);
    const [winner = ''] = liveOf(world.replica(0));
    world.step(0);
    const [merged = ''] = liveOf(world.replica(0));
    expect(pathTo(world.replica(0).tree, merged)?.map(revAt).slice(-2)).toEqual([winner, merged]);
    expect(Number.parseInt(merged, 10)).toBe(3);
  });

  test('stays as it is once a merge was undone, until a leaf that came back is edited', () => {
    const world = worldOf([addUpOrDefer, addUpOrDefer]);
    forked(world, [0, 1]);
    world.deliver(1, 0);
    world.step(0);
    world.undo(0);
    expect(world.settle(10)).toBe(true);
    for (const replica of world.replicas) {
      expect(world.decision(replica)).toEqual({ kind: 'undone' });
      expect(liveOf(replica)).toHaveLength(2);
    }
    const [leaf = ''] = liveOf(world.replica(1));
    const { n = 0 } = countersOf(world.replica(1).bodies.get(leaf) ?? contentOf({}));
    world.edit(1, contentOf({ n: n + 100 }));
    expect(world.settle(10)).toBe(true);
    expect(only(world.replica(0))).toBe(111);
  });

  test('is not merged again where gateways made different things of it', () => {
    const world = worldOf([pick(0), pick(1)]);
    forked(world, [0, 1]);
    world.deliver(1, 0);
    world.deliver(0, 1);
    expect(world.settle(10)).toBe(true);
    for (const replica of world.replicas) {
      expect(liveOf(replica)).toHaveLength(2);
      expect(world.decision(replica)).toEqual({ kind: 'defer', reason: 'rules differ' });
    }
    world.edit(0, contentOf({ n: 3 }));
    expect(world.settle(10)).toBe(true);
    expect(only(world.replica(1))).toBe(3);
  });

  test('is not merged where what went into one of them is not known', () => {
    const world = worldOf([addUpOrDefer, undefined, addUpOrDefer]);
    forked(world, [0, 1, 2]);
    world.deliver(1, 0);
    world.step(0);
    const [merged = ''] = liveOf(world.replica(0));
    send(world, 0, 2, merged);
    expect(world.decision(world.replica(2)).kind).toBe('wait');
    world.deliver(0, 2);
    expect(world.decision(world.replica(2)).kind).toBe('merge');
  });

  test('has no base where revisions were stemmed that may be the base', () => {
    const world = worldOf([addUpOrDefer, undefined], { limit: 3 });
    forked(world, [0, 1]);
    for (let n = 0; n < 4; n++) world.edit(1, contentOf({ n }));
    world.deliver(1, 0);
    const decision = world.decision(world.replica(0));
    expect(decision.kind === 'merge' && decision.conflict.leaves.map(({ base }) => base)).toEqual([
      undefined,
      undefined,
    ]);
  });
});

test('three gateways that each saw two of three leaves, and picked in a cycle, keep one of them', () => {
  const world = worldOf([pick(0), pick(0), pick(0)]);
  forked(world, [0, 1, 2]);
  const before = world.replicas.map(({ tree }) => leavesOf(tree).map(revAt)[0] ?? '');
  for (const at of [0, 1, 2]) send(world, at, (at + 1) % 3, before[at] ?? '');
  for (const at of [0, 1, 2]) world.step(at);
  expect(world.settle(10)).toBe(true);
  expect(only(world.replica(0))).toBeGreaterThan(0);
});

test('merges of three leaves by twos are taken in without counting twice', () => {
  const world = worldOf([addUpOrDefer, addUpOrDefer, addUpOrDefer]);
  forked(world, [0, 1, 2]);
  const before = world.replicas.map(({ tree }) => leavesOf(tree).map(revAt)[0] ?? '');
  for (const at of [0, 1, 2]) send(world, at, (at + 1) % 3, before[at] ?? '');
  for (const at of [0, 1, 2]) world.step(at);
  expect(world.settle(10)).toBe(true);
  expect(only(world.replica(0))).toBe(111);
});

test('a document with too many revisions for its leaves is left to people: comparing them would take long', () => {
  /** So many leaves, each so many revisions above what they have in common. */
  const decided = (leaves: number, length: number): string => {
    let tree: RevTree = [];
    for (let leaf = 0; leaf < leaves; leaf++) {
      const hashes = Array.from({ length }, (_, at) => `${leaf}x${at}`);
      ({ tree } = insert(tree, length + 1, [...hashes, 'o'], false, 10_000));
    }
    const decision = decide({ id: 'a', tree, content: () => contentOf({}) }, { equalIsSame: false });
    return decision.kind === 'defer' ? decision.reason : decision.kind;
  };
  expect(decided(101, 1)).toMatch(/more than 100 leaves/);
  expect(decided(100, 20)).toMatch(/too many revisions/);
  expect(decided(100, 10)).toBe('merge');
  expect(decided(3, 1000)).toBe('merge');
});

import assert from 'node:assert/strict';
import { compareLogs } from '../../../src/replication/checkpoint-log.js';
import type { LocalLog, Sequence } from '../../../src/replication/peer.js';
import type { Changes, Couch } from './couch.js';
import { serverTrees } from './pouch.js';

/** The two sides of a replication, asked without a line that fails in between. */
export interface Sides {
  readonly source: Couch;
  readonly target: Couch;
  /** On both. */
  readonly database: string;
}

type Rows = Changes['results'];

export async function rowsOf(couch: Couch, database: string, since: Sequence = 0): Promise<Rows> {
  const query = `style=all_docs&since=${encodeURIComponent(since)}`;
  return ((await couch.get(`/${database}/_changes?${query}`)) as Changes).results;
}

/** Documents of which the target lacks a leaf. */
export async function lackingIn({ target, database }: Sides, rows: Rows): Promise<readonly string[]> {
  const revs = rows.map(({ id, changes }) => [id, changes.map(({ rev }) => rev)] as const);
  return Object.keys((await target.post(`/${database}/_revs_diff`, Object.fromEntries(revs))) as object);
}

async function logsOf(couch: Couch, database: string): Promise<ReadonlyMap<string, LocalLog>> {
  const { rows } = (await couch.get(`/${database}/_local_docs?include_docs=true`)) as {
    readonly rows: readonly { readonly id: string; readonly doc: LocalLog }[];
  };
  return new Map(rows.filter(({ doc }) => 'source_last_seq' in doc).map(({ id, doc }) => [id, doc]));
}

/**
 * Whatever would be passed over by a replication that begins at the checkpoints has to be in the target.
 * @param each whether each side's checkpoint has to be right by itself; a side that was put back to an older state does
 * not make the other's wrong, for then the common one counts
 * @returns how many documents would be passed over
 */
export async function requireNoneAhead(sides: Sides, each: boolean): Promise<number> {
  const { source, target, database } = sides;
  const [ours, theirs] = [await logsOf(source, database), await logsOf(target, database)];
  const all = await rowsOf(source, database);
  const claimed = new Set<Sequence>();
  let passed = 0;
  for (const [id, log] of ours) {
    const { seq } = compareLogs(log, theirs.get(id));
    claimed.add(seq);
    passed = Math.max(passed, (await passedOver(sides, all, seq)).length);
  }
  if (each)
    for (const log of [...ours.values(), ...theirs.values()]) claimed.add(log.source_last_seq as Sequence);
  for (const seq of claimed) {
    const lacking = await lackingIn(sides, await passedOver(sides, all, seq));
    assert.deepEqual(lacking, [], `${database}: the checkpoint ${String(seq)} is ahead of the target`);
  }
  return passed;
}

async function passedOver({ source, database }: Sides, all: Rows, since: Sequence): Promise<Rows> {
  const left = new Set((await rowsOf(source, database, since)).map(({ id }) => id));
  return all.filter(({ id }) => !left.has(id));
}

/** Every leaf of the source is in the target, with its ancestors, its body and the bytes of its attachments. */
export async function requireCovered({ source, target, database }: Sides): Promise<number> {
  const [wanted, found] = [
    await serverTrees(source, database, true),
    await serverTrees(target, database, true),
  ];
  for (const [id, tree] of Object.entries(wanted)) {
    const there = found[id] ?? '';
    const leaves = new Set(there.split('\n'));
    // The first line names the winner, which others may have won over.
    for (const leaf of tree.split('\n').slice(1)) {
      const [, rev = ''] = /^\d+-([0-9a-f]+)/.exec(leaf) ?? [];
      const isAncestor = new RegExp(`^\\d+-[0-9a-f,]*,${rev}\\b`, 'm').test(there);
      assert(leaves.has(leaf) || isAncestor, `${id} is\n${shown(there)}\nwithout\n${shown(leaf)}`);
    }
  }
  return Object.keys(wanted).length;
}

/** Without most of the bytes of attachments. */
const shown = (tree: string): string => tree.replace(/("data":"[^"]{20})[^"]*/g, '$1…');

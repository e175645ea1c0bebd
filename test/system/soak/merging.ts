import assert from 'node:assert/strict';
import type { Couch } from '../support/couch.js';
import { processorTicks } from '../support/proc.js';
import { Restartable } from '../support/restartable.js';
import { until } from '../support/wait.js';
import type { SoakContext } from './context.js';

const COUNT = 10_000;
const ROUNDS = 5;
/** Documents in a request, as the replicator sends them. */
const BATCH = 500;
const LEAVES = ['a', 'b', 'c'];

const MERGE = 'merged-*';

/** How fast documents in conflict are merged as they arrive, beside how fast they arrive where conflicts are kept. */
export async function merging(context: SoakContext): Promise<boolean> {
  await context.needDisk(1e9);
  const rules = [{ match: MERGE, mode: 'local', merge: 'three-way' }];
  const server = await Restartable.start({ env: { CAUSEWAY_DATABASES: JSON.stringify(rules) } });
  const ratios: number[] = [];
  try {
    const { from, to } = context.options.rounds ?? { from: 1, to: ROUNDS };
    for (let round = from; round <= to; round += 1) {
      const kept = await arrive(server, `kept-${String(round)}`, false);
      const merged = await arrive(server, `merged-${String(round)}`, true);
      const ratio = merged.perSecond / kept.perSecond;
      ratios.push(ratio);
      await context.record({ round, kept, merged, ratio: Math.round(ratio * 100) / 100 });
    }
    const median = ratios.sort((a, b) => a - b)[ratios.length >> 1] ?? 0;
    await context.record({ median: Math.round(median * 100) / 100 });
    assert(median >= 0.5, 'merging is to take no more than as long again');
    return true;
  } finally {
    await server.remove();
  }
}

interface Measured {
  readonly perSecond: number;
  /** Of the server, for each document. */
  readonly processorMicroseconds: number;
}

/** @param merges whether the conflicts are merged: then it ends when the last one is */
async function arrive({ couch, pid }: Restartable, db: string, merges: boolean): Promise<Measured> {
  const path = `/${db}`;
  await couch.put(path);
  await send(couch, path, [undefined]);
  const ticks = await processorTicks(pid);
  const started = performance.now();
  await send(couch, path, LEAVES);
  // The merged revision, and a tombstone of each leaf but one.
  const writes = COUNT * (1 + LEAVES.length) + (merges ? COUNT * LEAVES.length : 0);
  await until(`${db} has ${String(writes)} revisions`, async () => (await lastSeq(couch, path)) >= writes, {
    ceiling: 300_000,
    step: 100,
  });
  const seconds = (performance.now() - started) / 1000;
  const used = ((await processorTicks(pid)) - ticks) * 10_000;
  if (merges) await requireMerged(couch, path);
  await couch.request('DELETE', path);
  return { perSecond: Math.round(COUNT / seconds), processorMicroseconds: Math.round(used / COUNT) };
}

/** Sends some revisions of each document, one request after the other. */
async function send(couch: Couch, path: string, leaves: readonly (string | undefined)[]): Promise<void> {
  for (let at = 0; at < COUNT; at += BATCH) {
    const ids = Array.from({ length: BATCH }, (_, n) => at + n);
    const docs = ids.flatMap((n) => leaves.map((leaf) => revision(n, leaf)));
    const { status } = await couch.request('POST', `${path}/_bulk_docs`, {
      body: { new_edits: false, docs },
    });
    assert.equal(status, 201);
  }
}

/** @param leaf which member it changed; undefined for the base of all leaves */
function revision(n: number, leaf: string | undefined): object {
  const base = String(n).padStart(32, '0');
  const own = leaf?.repeat(32);
  const members = Object.fromEntries(
    Array.from({ length: 20 }, (_, at) => [
      `member${String(at)}`,
      { count: n * at, text: `${String(n)} `.repeat(8), list: [at, n, true] },
    ]),
  );
  return {
    _id: `doc-${base}`,
    _rev: own === undefined ? `1-${base}` : `2-${own}`,
    _revisions: own === undefined ? { start: 1, ids: [base] } : { start: 2, ids: [own, base] },
    ...members,
    a: 0,
    b: 0,
    c: 0,
    ...(leaf !== undefined && { [leaf]: n + 1 }),
  };
}

async function lastSeq(couch: Couch, path: string): Promise<number> {
  const { update_seq: seq } = (await couch.get(path)) as { update_seq: string };
  return Number.parseInt(seq, 10);
}

async function requireMerged(couch: Couch, path: string): Promise<void> {
  for (const n of [0, 1, COUNT >> 1, COUNT - 1]) {
    const doc = await couch.get(`${path}/doc-${String(n).padStart(32, '0')}?conflicts=true`);
    const { a, b, c, _conflicts } = doc as Record<string, unknown>;
    assert.deepEqual([a, b, c, _conflicts], [n + 1, n + 1, n + 1, undefined]);
  }
}

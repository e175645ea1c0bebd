import assert from 'node:assert/strict';
import type { Couch } from './couch.js';

/** Documents of 2 KB that were each edited at three places at once: a base, and a leaf of each of `LEAVES`. */
export const COUNT = 10_000;
/** Each changed a member of its own, so that they can be merged three-way. */
export const LEAVES = ['a', 'b', 'c'];

/** Documents in a request, as the replicator sends them. */
const BATCH = 500;

/** Sends the base of each document. */
export async function sendBases(couch: Couch, database: string): Promise<void> {
  await send(couch, database, [undefined]);
}

/** Sends the leaves of each document, which are in conflict from then on. */
export async function sendLeaves(couch: Couch, database: string): Promise<void> {
  await send(couch, database, LEAVES);
}

/** Sends some revisions of each document, one request after the other. */
async function send(couch: Couch, database: string, leaves: readonly (string | undefined)[]): Promise<void> {
  for (let at = 0; at < COUNT; at += BATCH) {
    const ids = Array.from({ length: BATCH }, (_, n) => at + n);
    const docs = ids.flatMap((n) => leaves.map((leaf) => revision(n, leaf)));
    const refused = await couch.post(`/${database}/_bulk_docs`, { new_edits: false, docs });
    assert.deepEqual(refused, []);
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
    _id: idOf(n),
    _rev: own === undefined ? `1-${base}` : `2-${own}`,
    _revisions: own === undefined ? { start: 1, ids: [base] } : { start: 2, ids: [own, base] },
    ...members,
    a: 0,
    b: 0,
    c: 0,
    ...(leaf !== undefined && { [leaf]: n + 1 }),
  };
}

const idOf = (n: number): string => `doc-${String(n).padStart(32, '0')}`;

/** Some of the documents have what all of their leaves changed, and no conflict any more. */
export async function requireMerged(couch: Couch, database: string): Promise<void> {
  for (const n of [0, 1, COUNT >> 1, COUNT - 1]) {
    const doc = await couch.get(`/${database}/${idOf(n)}?conflicts=true`);
    const { a, b, c, _conflicts } = doc as Record<string, unknown>;
    assert.deepEqual([a, b, c, _conflicts], [n + 1, n + 1, n + 1, undefined]);
  }
}

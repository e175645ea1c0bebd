import { derivedId, derivedRev, mergedRev, tombstoneRev } from '../../../src/conflicts/revisions.js';

/** What a merge of the leaves `2-b`, which wins, and `2-a` writes. */
export function merge(
  id: string,
  members: object,
  tag = '',
): {
  readonly base: object;
  readonly leaves: readonly object[];
  readonly merged: object;
  readonly mergedRev: string;
  readonly tombstone: object;
  readonly tombstoneRev: string;
  /** What becomes of the leaf that does not win where it is kept, too. */
  readonly derived: object;
} {
  const [winner, other] = ['2-b', '2-a'];
  const merged = mergedRev(3, { parent: winner, others: [other], deleted: false, digest: id + tag });
  const tombstone = tombstoneRev('input', other, merged);
  const copy = derivedId(id, other);
  const line = (rev: string, ...ids: string[]): object => ({
    start: Number.parseInt(rev, 10),
    ids: [rev.slice(2), ...ids],
  });
  return {
    base: { _id: id, _rev: '1-o' },
    leaves: ['b', 'a'].map((hash) => ({ _id: id, _revisions: line(`2-${hash}`, 'o'), leaf: hash })),
    merged: { _id: id, _revisions: line(merged, 'b', 'o'), ...members },
    mergedRev: merged,
    tombstone: { _id: id, _revisions: line(tombstone, 'a', 'o'), _deleted: true },
    tombstoneRev: tombstone,
    derived: { _id: copy, _rev: derivedRev(copy, other), leaf: 'a' },
  };
}

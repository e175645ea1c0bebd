import type { WriteOrder } from '../replication/write-order.js';
import { derivedId, derivedRev, isTombstone } from './revisions.js';

/**
 * In which order others get what a merge wrote: the tombstones of its leaves behind everything else of the document, and
 * behind the documents that leaves became. Else a target that refuses the merge, and takes deletions, would have nothing
 * of what those leaves said.
 */
export const tombstonesLast: WriteOrder = {
  isLate: isTombstone,
  documentBefore: (id, leaf) => {
    const derived = derivedId(id, leaf);
    return { id: derived, rev: derivedRev(derived, leaf) };
  },
};

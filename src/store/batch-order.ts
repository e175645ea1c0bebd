import { sorting } from '../json/sort.js';
import { inTurns, type Work } from '../json/turns.js';
import { compareIds } from './order.js';
import type { DocumentEdit, EditResult } from './types/edits.js';

/** An edit and its place in the batch that was sent. */
interface Placed {
  readonly at: number;
  readonly edit: DocumentEdit;
}

/** A batch in the order in which it is written: that of the ids, as in CouchDB; edits of one document stay in theirs. */
export class BatchOrder {
  readonly edits: readonly DocumentEdit[];

  private constructor(private readonly placed: readonly Placed[]) {
    this.edits = placed.map(({ edit }) => edit);
  }

  /** A batch may be long; of a few no promise is made. */
  static of(edits: readonly DocumentEdit[]): BatchOrder | Promise<BatchOrder> {
    const placed = inTurns(sorted(edits));
    return placed instanceof Promise ? placed.then((all) => new BatchOrder(all)) : new BatchOrder(placed);
  }

  /** What became of each, in the order in which they were sent. */
  asSent(results: readonly EditResult[]): EditResult[] {
    const sent = new Array<EditResult>(results.length);
    for (const [index, result] of results.entries()) sent[this.placed[index]?.at ?? 0] = result;
    return sent;
  }
}

function* sorted(edits: readonly DocumentEdit[]): Work<readonly Placed[]> {
  const placed = edits.map((edit, at) => ({ at, edit }));
  return yield* sorting(placed, (a, b) => compareIds(a.edit.id, b.edit.id));
}

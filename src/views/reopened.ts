import { overloaded } from '../errors.js';
import type { ViewSnapshot } from './types.js';

/**
 * Opens a view for a reader who may come back: what he goes on in is the same view, and no older. A view whose design
 * document was changed has another index, in which rows of the first one are not to be looked for.
 * @param open is told whether it is the first time
 */
export function reopened(open: (isFirst: boolean) => Promise<ViewSnapshot>): () => Promise<ViewSnapshot> {
  let before: Pick<ViewSnapshot, 'view' | 'isPartitioned' | 'updateSeq'> | undefined;
  return async () => {
    const snapshot = await open(before === undefined);
    const { view, isPartitioned, updateSeq } = snapshot;
    const goesOn =
      before === undefined ||
      (updateSeq >= before.updateSeq &&
        isPartitioned === before.isPartitioned &&
        JSON.stringify(view) === JSON.stringify(before.view));
    if (!goesOn) {
      await snapshot.close();
      throw overloaded('The view was changed while it was read.');
    }
    before = { view, isPartitioned, updateSeq };
    return snapshot;
  };
}

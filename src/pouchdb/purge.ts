import { createError, MISSING_DOC, type PouchError } from 'pouchdb-errors';
import { findPathToLeaf } from 'pouchdb-merge';
import type { LevelDatabase } from '../store/level-database.js';
import type { RevTree } from '../revtree/tree.js';
import type { Doc, PurgeResult } from './api.js';

/** Where PouchDB notes purges, for its views. */
const NOTES = '_local/purges';

interface Notes extends Doc {
  purges: { docId: string; rev: string; purgeSeq: number }[];
  purgeSeq: number;
}

/**
 * Takes a leaf away with its branch, and notes it in the same commit. pouchdb-core has only the first purge of a
 * database noted: then it asks for a global that Node does not have.
 * @param limit how many purges are remembered
 * @throws PouchError 404, and an Error for a revision that is no leaf
 */
export async function purge(
  database: LevelDatabase,
  id: string,
  rev: string,
  limit: number,
): Promise<PurgeResult> {
  let path: readonly string[] | Error = [];
  let isGone = false;
  const facts = await database.factsOfPurged(new Map([[id, [rev]]]));
  await database.transact({
    ids: [id],
    weight: database.getLocal(NOTES)?.text.length ?? 0,
    run: (transaction) => {
      path = pathTo(transaction.record(id)?.tree, rev);
      if (path instanceof Error) return;
      transaction.purge(id, [rev], facts);
      isGone = transaction.record(id) === undefined;
      transaction.locals.put(NOTES, noted(transaction.locals.get(NOTES), { docId: id, rev }, limit));
    },
  });
  const found = path as readonly string[] | Error;
  if (found instanceof Error) throw found;
  return { ok: true, deletedRevs: found, documentWasRemovedCompletely: isGone };
}

/** A leaf and its ancestors up to the next fork, or why there are none. */
function pathTo(tree: RevTree | undefined, rev: string): readonly string[] | Error | PouchError {
  if (tree === undefined) return createError(MISSING_DOC);
  try {
    return findPathToLeaf(tree, rev);
  } catch (error) {
    return error as Error;
  }
}

function noted(
  text: string | undefined,
  purged: { readonly docId: string; readonly rev: string },
  limit: number,
): string {
  const notes = text === undefined ? undefined : (JSON.parse(text) as Notes);
  const purgeSeq = notes === undefined ? 0 : notes.purgeSeq + 1;
  const purges = [...(notes?.purges ?? []), { ...purged, purgeSeq }].slice(-limit);
  const number = Number.parseInt(notes?._rev?.slice(2) ?? '0', 10) + 1;
  return JSON.stringify({ ...notes, _id: NOTES, _rev: `0-${String(number)}`, purges, purgeSeq });
}

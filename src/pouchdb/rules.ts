import { createError, MISSING_DOC, REV_CONFLICT } from 'pouchdb-errors';
import { parseDoc, type ParsedDoc } from 'pouchdb-adapter-utils';
import type { StoredDocument } from '../store/record.js';
import type { Revisions } from '../store/types/records.js';
import { find, type RevNode, type RevTree, revOf } from '../revtree/tree.js';
import type { BulkOptions } from './api.js';

/** The new revision and its ancestors, as far as a document says them. */
export function revisionsOf(branches: RevTree): Revisions {
  const ids: string[] = [];
  const [branch] = branches;
  for (let node: RevNode | undefined = branch?.ids; node !== undefined; [node] = node[2])
    ids.unshift(node[0]);
  return { start: (branch?.pos ?? 1) + ids.length - 1, ids };
}

/**
 * The revision that a new edit makes of a document, by PouchDB's rules, with its ancestors.
 * @throws PouchError 409, and 404 for a deletion of nothing
 */
export function reviseDocument(
  record: StoredDocument | undefined,
  parsed: ParsedDoc,
  { was_delete: wasDelete }: BulkOptions,
): Revisions {
  const given = revisionsOf(parsed.metadata.rev_tree);
  const isDeletion = parsed.metadata.deleted === true;
  if (record === undefined) {
    if (wasDelete && isDeletion) throw createError(MISSING_DOC, 'deleted');
    if (given.ids.length > 1) throw createError(REV_CONFLICT);
    return given;
  }
  const isMadeAgain = record.deleted && !isDeletion;
  const revisions = isMadeAgain && given.start === 1 ? madeAgain(record, parsed) : given;
  const place = placeOf(record, revisions);
  // A document that is deleted may be made again from whatever its writer knew of it.
  if (place === 'leaf' || (place === 'apart' && isMadeAgain)) return revisions;
  throw createError(REV_CONFLICT);
}

/** On top of the deletion, so that the new revision wins everywhere. */
function madeAgain(record: StoredDocument, { data }: ParsedDoc): Revisions {
  const again = parseDoc({ ...data, _rev: record.winner, _id: record.id }, true);
  if (again instanceof Error) throw again;
  return revisionsOf(again.metadata.rev_tree);
}

/** Where a new revision would stand: on a leaf, on a revision that has others, or nowhere on what is known. */
function placeOf(
  record: StoredDocument,
  { start, ids: [hash = '', parent] }: Revisions,
): 'leaf' | 'branch' | 'apart' | 'known' {
  if (record.has(revOf(start, hash))) return 'known';
  const position = parent === undefined ? undefined : find(record.tree, revOf(start - 1, parent));
  if (position === undefined) return 'apart';
  return position.node[2].length === 0 ? 'leaf' : 'branch';
}

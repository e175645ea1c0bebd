import { createError, MISSING_DOC } from 'pouchdb-errors';
import type { LevelDatabase } from '../store/level-database.js';
import type { StoredRecord } from '../store/record.js';
import type { Doc, GetOptions, Metadata } from './api.js';
import { shownAttachment } from './attachments.js';

/** A document as it is read, with what core works out the rest from. */
export interface Found {
  readonly doc: Doc;
  readonly metadata: Metadata;
}

/** A revision of a document. @throws PouchError 404 */
export function getDocument(database: LevelDatabase, id: string, { rev, latest }: GetOptions): Found {
  const record = database.get(id);
  if (record === undefined) throw createError(MISSING_DOC, 'missing');
  if (!rev && record.deleted) throw createError(MISSING_DOC, 'deleted');
  const wanted = !rev ? record.winner : latest ? record.latest(rev)[0] : rev;
  const text = wanted === undefined ? undefined : database.read(record, wanted);
  if (text === undefined) throw createError(MISSING_DOC);
  return { doc: parseStored(text), metadata: metadataOf(record) };
}

export const metadataOf = (record: StoredRecord): Metadata => ({
  id: record.id,
  rev_tree: record.tree,
  winningRev: record.winner,
  deleted: record.deleted,
  seq: record.seq,
});

/** A stored text as PouchDB shows it: in its order, too, which a revision is made of when the document is edited. */
export function parseStored(text: string): Doc {
  const { _id, _rev, _deleted, ...own } = JSON.parse(text) as Doc & { _rev: string };
  const doc: Doc = { ...own, _id, _rev, ...(_deleted === undefined ? {} : { _deleted }) };
  if (doc._attachments !== undefined) {
    const shown = Object.entries(doc._attachments).map(
      ([name, one]) => [name, shownAttachment(one)] as const,
    );
    doc._attachments = Object.fromEntries(shown);
  }
  return doc;
}

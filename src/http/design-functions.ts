import { type Json, isObject, own } from '../design/values.js';
import { conflictsOf } from '../changes/rows.js';
import { notFound } from '../errors.js';
import { documentText } from '../store/document.js';
import type { Database } from '../store/types/database.js';
import { shownText, STUBS } from '../store/attachments/text.js';
import { isLocal } from './writes.js';

/** A design document as it is at the moment. */
export interface DesignDocument {
  readonly id: string;
  readonly rev: string;
  readonly value: Json;
}

/** @param name what follows `_design/` in its id. @throws CouchError 404 */
export function designDocument(db: Database, name: string): DesignDocument {
  const id = `_design/${name}`;
  const record = db.get(id);
  if (record === undefined) throw notFound('missing');
  if (record.deleted) throw notFound('deleted');
  const rev = record.winner;
  return { id, rev, value: JSON.parse(db.read(record, rev) ?? '{}') as Json };
}

/** @throws CouchError 404 where the document has no such function */
export function requireFunction(
  { value }: DesignDocument,
  kind: 'filters' | 'lists' | 'shows' | 'updates' | 'views',
  name: string,
): void {
  const functions = own(value, kind);
  if (!isObject(functions)) throw notFound(`missing json key: ${kind}`);
  if (!Object.hasOwn(functions, name)) throw notFound(`missing json key: ${name}`);
}

/** A document as functions see it. */
export interface SeenDocument {
  readonly text: string;
  readonly rev: string;
}

/** What a show or update function gets of a document; undefined where there is none, or it is deleted. */
export function seenDocument(db: Database, id: string): SeenDocument | undefined {
  if (isLocal(id)) {
    const local = db.getLocal(id);
    if (local === undefined) return undefined;
    const revisions = { start: 0, ids: [local.rev.slice('0-'.length)] };
    return { text: documentText(local.text, { revisions }), rev: local.rev };
  }
  const record = db.get(id);
  if (record === undefined || record.deleted) return undefined;
  const rev = record.winner;
  const stored = db.read(record, rev);
  if (stored === undefined) return undefined;
  const extras = { revisions: record.revisions(rev), conflicts: conflictsOf(record) };
  return { text: shownText(stored, extras, STUBS), rev };
}

import { requireRight } from '../auth/rights.js';
import { securityOf } from '../auth/security.js';
import { USERS } from '../auth/users/ids.js';
import { requireOwn } from '../auth/users/view.js';
import type { Sandbox } from '../design/types.js';
import { conflict, CouchError } from '../errors.js';
import { isReplicatorDatabase } from '../replicator/documents.js';
import { localRev } from '../store/document.js';
import { requireInPartition } from '../store/partitions.js';
import type { Database } from '../store/types/database.js';
import type { DocumentEdit } from '../store/types/edits.js';
import { checkDesignDocument } from './design-document.js';
import type { Exchange } from './exchange.js';
import { seenBy } from './seen.js';

export const isLocal = (id: string): boolean => id.startsWith('_local/');
export const isDesign = (id: string): boolean => id.startsWith('_design/');

/**
 * Refuses what the user may not write before anything is asked of the database: design documents are for database
 * admins, and the functions of their views must compile. What functions of design documents say of the others is found
 * out when they are written (seen.ts).
 * @throws CouchError
 */
export async function checkWrite(
  exchange: Exchange,
  db: Database,
  edit: Pick<DocumentEdit, 'id' | 'deleted' | 'body'>,
): Promise<void> {
  const { id } = edit;
  requireInPartition(db, id);
  if (db.name === USERS && !isLocal(id)) requireOwn(id, exchange.user);
  if (isDesign(id)) {
    requireRight('databaseAdmin', exchange.user, securityOf(db.security));
    if (!edit.deleted) await checkDesign(exchange.server.sandbox, db, id, `{${edit.body}}`);
  }
}

/** The functions of a design document's views must compile. @throws CouchError 400 */
export async function checkDesign(sandbox: Sandbox, db: Database, id: string, text: string): Promise<void> {
  if (checkDesignDocument(text, db.isPartitioned)) await sandbox.compileViews(db, id, text);
}

/** Writes one document of any kind. @returns its new revision. @throws CouchError */
export async function writeOne(db: Database, edit: DocumentEdit, newEdits: boolean): Promise<string> {
  if (isLocal(edit.id)) return writeLocal(db, edit);
  if (newEdits && looksForParents(db, [edit]) && lacksParent(db, edit)) throw conflict();
  const [result] = await db.write([edit], { newEdits });
  if (result === undefined) throw new TypeError('the store gave no result for an edit');
  if (!result.ok) throw result.error;
  return result.rev;
}

/**
 * Whether an edit of a document that is not there may not name a revision. CouchDB only looks before it writes where
 * there are design documents or attachments to write, or where it has not yet found out how a database judges its
 * documents.
 */
export const looksForParents = (
  db: Database,
  edits: readonly Pick<DocumentEdit, 'id' | 'attachments'>[],
): boolean =>
  db.updateSeq === 0 || edits.some((edit) => isDesign(edit.id) || (edit.attachments?.size ?? 0) > 0);

/** Whether an edit is based on a revision of a document that never was. One with stubs lacks these first. */
export const lacksParent = (db: Database, { id, revisions, attachments = NONE }: DocumentEdit): boolean =>
  revisions.ids.length > 0 &&
  db.get(id) === undefined &&
  Array.from(attachments.values()).every(({ kind }) => kind !== 'stub');

const NONE: NonNullable<DocumentEdit['attachments']> = new Map();

/** Local documents have no history: the number behind `0-` only counts. */
export async function writeLocal(db: Database, edit: DocumentEdit): Promise<string> {
  if (edit.deleted) {
    await db.deleteLocal(edit.id);
    return '0-0';
  }
  const [hash] = edit.revisions.ids;
  const rev = hash === undefined ? undefined : localRev(`${String(edit.revisions.start)}-${hash}`);
  return db.putLocal(edit.id, rev, edit.body);
}

/**
 * `batch=ok`: the client need not learn what becomes of a document. That of a user is judged and waits for its password
 * to be hashed; a request has to answer for the memory that it takes meanwhile.
 */
export const isForLater = (exchange: Exchange, db: Database, { attachments }: DocumentEdit): boolean =>
  exchange.parameter('batch') === 'ok' && attachments === undefined && !hasRules(db.name);

const hasRules = (name: string): boolean => name === USERS || isReplicatorDatabase(name);

/** Writes a document for which nobody waits. */
export function writeLater(exchange: Exchange, db: Database, edit: DocumentEdit): void {
  const { server } = exchange;
  server.databases
    .use(db.name, (open) => writeOne(seenBy(exchange, open), edit, true))
    .catch((error: unknown) => {
      if (!(error instanceof CouchError) || error.status >= 500) server.report(exchange, error);
    });
}

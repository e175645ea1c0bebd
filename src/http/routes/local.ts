import { readRevisions } from './open-revs.js';
import { editedRevisions } from './revisions.js';
import { notFound } from '../../errors.js';
import { documentText } from '../../store/document.js';
import type { Database } from '../../store/types/database.js';
import { readDocumentQuery } from '../document-query.js';
import { etagOf, matches } from '../etag.js';
import type { Exchange } from '../exchange.js';
import { writeLocal } from '../writes.js';

/**
 * Local documents: not replicated, without history, in no listing but their own. CouchDB looks for a revision that is
 * asked for by its name among the documents with a history, and so finds none.
 */
export function readLocalDocument(exchange: Exchange, db: Database, id: string): void | Promise<void> {
  const local = db.getLocal(id);
  const query = exchange.rawQuery === '' ? undefined : readDocumentQuery(exchange.query);
  if (query?.openRevs !== undefined) return readRevisions(exchange, db, id, query);
  if (local === undefined || (query?.rev !== undefined && !query.latest)) throw notFound('missing');
  const etag = etagOf(local.text);
  if (matches(exchange.header('if-none-match'), etag)) {
    exchange.empty(304, ['ETag', etag]);
    return;
  }
  const revisions = (query?.revs ?? 0) > 0 ? { start: 0, ids: [local.rev.slice(2)] } : undefined;
  exchange.json(200, documentText(local.text, { revisions }), ['ETag', etag]);
}

export async function deleteLocalDocument(exchange: Exchange, db: Database, id: string): Promise<void> {
  if (db.getLocal(id) === undefined) throw notFound('missing');
  const revisions = editedRevisions(exchange, { start: 0, ids: [] });
  const rev = await writeLocal(db, { id, revisions, deleted: true, body: '' });
  exchange.json(200, `{"ok":true,"id":${JSON.stringify(id)},"rev":"${rev}"}`, [
    'ETag',
    etagOf(`${id} ${rev}`),
  ]);
}

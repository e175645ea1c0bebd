import { bodyOf, living, locationOf, writtenBody } from './documents.js';
import { headerRev } from './revisions.js';
import { badRequest, notFound } from '../../errors.js';
import { editOf, parseRev, validateDocid } from '../../store/document.js';
import type { Database } from '../../store/types/database.js';
import type { DocumentEdit } from '../../store/types/edits.js';
import type { Revisions } from '../../store/types/records.js';
import type { Exchange } from '../exchange.js';
import { decodeSegment } from '../url.js';
import { checkWrite, isLocal, writeOne } from '../writes.js';

/** COPY: the winner or a chosen revision, under another id; the copy of a deleted one is deleted, and made all the same. */
export async function copyDocument(exchange: Exchange, db: Database, id: string): Promise<void> {
  const parameter = exchange.parameter('rev');
  const rev = headerRev(exchange, parameter === undefined ? undefined : parseRev(parameter));
  const target = destination(exchange);
  validateDocid(target.id, exchange.server.documents.maxIdLength);
  const edit: DocumentEdit = { ...target, ...editOf(sourceText(db, id, rev), 'shared') };
  await checkWrite(exchange, db, edit);
  const copied = await writeOne(db, edit, true);
  const headers = ['ETag', `"${copied}"`, ...locationOf(exchange, db, edit.id)];
  exchange.json(201, writtenBody(edit.id, copied), headers);
}

function destination(exchange: Exchange): { id: string; revisions: Revisions } {
  const header = exchange.header('destination');
  if (header === undefined) throw badRequest('Destination header is mandatory for COPY.');
  if (/^https?:\/\//.test(header)) throw badRequest('Destination URL must be relative.');
  const [encoded = '', query, ...more] = header.split('?');
  const id = decodeSegment(Buffer.from(encoded, 'latin1').toString('utf8'));
  if (id === undefined) throw badRequest('Destination header is not valid UTF-8.');
  if (query === undefined) return { id, revisions: { start: 0, ids: [] } };
  const [, text, ...rest] = query.split('=');
  if (text === undefined || rest.length > 0 || more.length > 0)
    throw badRequest('Destination header is malformed.');
  const rev = parseRev(text);
  const dash = rev.indexOf('-');
  return { id, revisions: { start: Number(rev.slice(0, dash)), ids: [rev.slice(dash + 1)] } };
}

function sourceText(db: Database, id: string, rev: string | undefined): string {
  if (isLocal(id)) {
    const local = db.getLocal(id);
    if (local === undefined || rev !== undefined) throw notFound('missing');
    return local.text;
  }
  const record = db.get(id);
  if (rev === undefined) {
    const winner = living(record);
    return bodyOf(db, winner, winner.winner);
  }
  if (record === undefined) throw notFound('missing');
  return bodyOf(db, record, rev);
}

import { copyDocument } from './copy.js';
import type { AddResource } from './index.js';
import { deleteLocalDocument, readLocalDocument } from './local.js';
import { readRevisions } from './open-revs.js';
import { editedRevisions } from './revisions.js';
import { badRequest, notFound, notImplemented } from '../../errors.js';
import { documentText, parseDocument, validateDocid } from '../../store/document.js';
import type { Database, DocumentEdit, DocumentRecord } from '../../store/types.js';
import { requireContentType } from '../body.js';
import { readDocumentQuery, type DocumentQuery } from '../document-query.js';
import { etagOf, matches } from '../etag.js';
import type { Exchange } from '../exchange.js';
import { onDatabase, type DatabaseHandler } from '../resource.js';
import { encodeSegment } from '../url.js';
import { checkWrite, isDesign, isLocal, writeLater, writeOne } from '../writes.js';

/** A handler that is told which document is meant. */
export type DocumentHandler = (exchange: Exchange, db: Database, id: string) => void | Promise<void>;

const ALLOW = 'DELETE,GET,HEAD,POST,PUT,COPY';

export function documentRoutes(add: AddResource): void {
  addDocument(add, '/:db/:docid', (exchange) => exchange.param('docid'));
  addDocument(add, '/:db/_design/:name', (exchange) => `_design/${exchange.param('name')}`);
  addDocument(add, '/:db/_local/:name', (exchange) => `_local/${exchange.param('name')}`);
  add({ path: '/:db/_local', allow: ALLOW, methods: {}, other: onDatabase('member', refuseLocal) });
  add({
    path: '/:db/_local/:name/*',
    allow: ALLOW,
    methods: {},
    other: onDatabase('member', refuseAttachment),
  });
}

function addDocument(add: AddResource, path: string, idOf: (exchange: Exchange) => string): void {
  const on = (handler: DocumentHandler): ReturnType<typeof onDatabase> => {
    const run: DatabaseHandler = (exchange, db) => {
      const id = idOf(exchange);
      return id === '_local/' ? refuseLocal() : handler(exchange, db, id);
    };
    return onDatabase('member', run);
  };
  add({
    path,
    allow: ALLOW,
    methods: {
      GET: on(read),
      PUT: on(put),
      DELETE: on(remove),
      POST: on(refuseForm),
      COPY: on(copyDocument),
    },
    other: onDatabase('member'),
  });
}

function refuseLocal(): never {
  throw badRequest('Invalid _local document id.');
}

function refuseAttachment(): never {
  throw badRequest('_local documents do not accept attachments.');
}

/** Browsers' forms, which CouchDB takes for attachments. */
function refuseForm(exchange: Exchange, _db: Database, id: string): never {
  const referer = exchange.header('referer');
  if (referer === undefined) throw badRequest('Referer header required.');
  if (!URL.canParse(referer) || new URL(referer).host !== exchange.header('host')) {
    throw badRequest('Referer header must match host.');
  }
  validateDocid(id);
  requireContentType(exchange.header('content-type'), 'multipart/form-data');
  throw notImplemented('Attachments are not supported by this version of Causeway.');
}

// ---- reading --------------------------------------------------------------------------------------------------

function read(exchange: Exchange, db: Database, id: string): void | Promise<void> {
  if (isDesign(id) && exchange.params.docid !== undefined) {
    redirectDesign(exchange);
  } else if (isLocal(id)) {
    return readLocalDocument(exchange, db, id);
  } else if (exchange.rawQuery === '') {
    const record = living(db.get(id));
    sendDocument(exchange, record.winner, bodyOf(db, record, record.winner));
  } else {
    return readWithQuery(exchange, db, id);
  }
}

function readWithQuery(exchange: Exchange, db: Database, id: string): void | Promise<void> {
  const query = readDocumentQuery(exchange.query);
  if (query.openRevs !== undefined) return readRevisions(exchange, db, id, query);
  const rev = query.latest ? undefined : query.rev;
  if (rev === undefined) readWinner(exchange, db, id, query);
  else readRevision(exchange, db, id, rev, query);
}

/** The slash of a design document's id need not be encoded; those who do are sent to the other spelling. */
export function redirectDesign(exchange: Exchange): void {
  const url = exchange.request.url ?? '';
  const path = url.replace(/_design%2F/gi, '_design/');
  exchange.redirect(301, path);
}

function readWinner(exchange: Exchange, db: Database, id: string, query: DocumentQuery): void {
  const found = db.get(id);
  const record = query.deleted && found !== undefined ? found : living(found);
  const rev = record.winner;
  const others =
    query.conflicts || query.deletedConflicts ? record.leaves().filter((leaf) => leaf.rev !== rev) : [];
  const named = (deleted: boolean): string[] =>
    others.filter((leaf) => leaf.deleted === deleted).map((leaf) => leaf.rev);
  const extras = {
    revisions: query.revs ? record.revisions(rev) : undefined,
    revsInfo: query.revsInfo ? record.revsInfo(rev) : undefined,
    conflicts: query.conflicts ? named(false) : [],
    deletedConflicts: query.deletedConflicts ? named(true) : [],
    localSeq: query.localSeq ? record.seq : undefined,
  };
  const text = documentText(withoutAttachments(bodyOf(db, record, rev), query), extras);
  // What is not part of the revision may change without it: no ETag then.
  const changing =
    query.revsInfo || query.localSeq || extras.conflicts.length > 0 || extras.deletedConflicts.length > 0;
  if (changing) exchange.json(200, text);
  else sendDocument(exchange, rev, text);
}

function readRevision(exchange: Exchange, db: Database, id: string, rev: string, query: DocumentQuery): void {
  const record = db.get(id);
  if (record === undefined) throw notFound();
  const text = withoutAttachments(bodyOf(db, record, rev), query);
  sendDocument(
    exchange,
    rev,
    documentText(text, { revisions: query.revs ? record.revisions(rev) : undefined }),
  );
}

/** @throws CouchError 404 */
export function living(record: DocumentRecord | undefined): DocumentRecord {
  if (record === undefined) throw notFound('missing');
  if (record.deleted) throw notFound('deleted');
  return record;
}

/** @throws CouchError 404 where the revision is not known or its body not kept */
export function bodyOf(db: Database, record: DocumentRecord, rev: string): string {
  const text = db.read(record, rev);
  if (text === undefined) throw notFound('missing');
  return text;
}

/** Attachments that another program stored here can be named, but not sent. @throws CouchError 501 */
export function withoutAttachments(text: string, query: Pick<DocumentQuery, 'attachments'>): string {
  if (
    query.attachments &&
    text.includes('"_attachments":{') &&
    '_attachments' in (JSON.parse(text) as object)
  ) {
    throw notImplemented('Attachments are not supported by this version of Causeway.');
  }
  return text;
}

function sendDocument(exchange: Exchange, rev: string, text: string): void {
  const etag = `"${rev}"`;
  if (matches(exchange.header('if-none-match'), etag)) exchange.empty(304, ['ETag', etag]);
  else exchange.json(200, text, ['ETag', etag]);
}

// ---- writing --------------------------------------------------------------------------------------------------

async function put(exchange: Exchange, db: Database, id: string): Promise<void> {
  const newEdits = exchange.rawQuery === '' || readDocumentQuery(exchange.query).newEdits;
  validateDocid(id);
  if (exchange.header('content-type')?.startsWith('multipart/related;') === true) {
    throw notImplemented('Attachments are not supported by this version of Causeway.');
  }
  const maxSize = exchange.server.config.limits.maxDocumentSize;
  const given = parseDocument(await exchange.bodyText(), { newEdits, id, maxSize });
  const edit = { ...given, revisions: editedRevisions(exchange, given.revisions) };
  checkWrite(exchange, db, edit);
  if (exchange.parameter('batch') === 'ok') {
    writeLater(exchange, db, edit);
    exchange.json(202, `{"ok":true,"id":${JSON.stringify(id)}}`);
  } else {
    await writeAndAnswer(exchange, db, edit, newEdits, true);
  }
}

async function remove(exchange: Exchange, db: Database, id: string): Promise<void> {
  if (isLocal(id)) {
    await deleteLocalDocument(exchange, db, id);
    return;
  }
  living(db.get(id));
  const revisions = editedRevisions(exchange, { start: 0, ids: [] });
  const edit = { id, revisions, deleted: true, body: '' };
  checkWrite(exchange, db, edit);
  await writeAndAnswer(exchange, db, edit, true, false);
}

/** Writes a document and says so as CouchDB does. */
export async function writeAndAnswer(
  exchange: Exchange,
  db: Database,
  edit: DocumentEdit,
  newEdits: boolean,
  located: boolean,
): Promise<void> {
  const rev = await writeOne(db, edit, newEdits);
  const etag = isLocal(edit.id) ? etagOf(`${rev} ${edit.body}`) : `"${rev}"`;
  const headers = located ? ['ETag', etag, ...locationOf(exchange, db, edit.id)] : ['ETag', etag];
  exchange.json(edit.deleted ? 200 : 201, writtenBody(edit.id, rev), headers);
}

export const writtenBody = (id: string, rev: string): string =>
  `{"ok":true,"id":${JSON.stringify(id)},"rev":${JSON.stringify(rev)}}`;

/** The header that names a document. */
export const locationOf = (exchange: Exchange, db: Database, id: string): readonly string[] => [
  'Location',
  exchange.absolute(`/${encodeSegment(db.name)}/${encodeSegment(id)}`),
];

import { copyDocument } from './copy.js';
import { postForm } from './form.js';
import type { AddResource } from './index.js';
import { deleteLocalDocument, readLocalDocument } from './local.js';
import { readRevisions } from './open-revs.js';
import { editedRevisions } from './revisions.js';
import { badRequest, notFound } from '../../errors.js';
import { quote } from '../../json/quote.js';
import {
  type DocumentExtras,
  type ParsedDocument,
  parseDocument,
  validateDocid,
} from '../../store/document.js';
import { requireColon } from '../../store/partitions.js';
import type { Database } from '../../store/types/database.js';
import type { DocumentEdit } from '../../store/types/edits.js';
import type { DocumentRecord } from '../../store/types/records.js';
import {
  ALL,
  filled,
  followedText,
  newerThan,
  NONE,
  type Shown,
  shownText,
  STUBS,
  withReader,
} from '../../store/attachments/text.js';
import { readDocumentQuery, type DocumentQuery } from '../document-query.js';
import { etagOf, matches } from '../etag.js';
import type { Exchange } from '../exchange.js';
import { Intake } from '../intake.js';
import { documentEntity, newBoundary } from '../../multipart/writer.js';
import { relatedBoundary, relatedEdit } from '../related.js';
import { onDatabase, type DatabaseHandler } from '../resource.js';
import { sendStream } from '../stream.js';
import { encodeSegment } from '../url.js';
import { checkWrite, isDesign, isForLater, isLocal, writeLater, writeOne } from '../writes.js';

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
      requireColon(db, id);
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
      POST: on(postForm),
      COPY: on(copyDocument),
    },
    other: onDatabase('member'),
  });
}

function refuseLocal(): never {
  throw badRequest('Invalid _local document id.');
}

export function refuseAttachment(): never {
  throw badRequest('_local documents do not accept attachments.');
}

// ---- reading --------------------------------------------------------------------------------------------------

function read(exchange: Exchange, db: Database, id: string): void | Promise<void> {
  if (isDesign(id) && exchange.params.docid !== undefined) {
    redirectDesign(exchange);
  } else if (isLocal(id)) {
    return readLocalDocument(exchange, db, id);
  } else if (exchange.rawQuery === '') {
    const record = living(db.get(id));
    const rev = record.winner;
    sendPlain(exchange, `"${rev}"`, () => shownText(bodyOf(db, record, rev), {}, STUBS));
  } else {
    return readWithQuery(exchange, db, id);
  }
}

function readWithQuery(exchange: Exchange, db: Database, id: string): void | Promise<void> {
  const query = readDocumentQuery(exchange.query, db.revsLimit);
  if (query.openRevs !== undefined) return readRevisions(exchange, db, id, query);
  const rev = query.latest ? undefined : query.rev;
  return rev === undefined ? readWinner(exchange, db, id, query) : readRevision(exchange, db, id, rev, query);
}

/** The slash of a design document's id need not be encoded; those who do are sent to the other spelling. */
export function redirectDesign(exchange: Exchange): void {
  const path = exchange.url.replace(/_design%2F/gi, '_design/');
  exchange.redirect(301, path);
}

function readWinner(
  exchange: Exchange,
  db: Database,
  id: string,
  query: DocumentQuery,
): void | Promise<void> {
  const found = db.get(id);
  const record = query.deleted && found !== undefined ? found : living(found);
  const rev = record.winner;
  const others =
    query.conflicts || query.deletedConflicts ? record.leaves().filter((leaf) => leaf.rev !== rev) : [];
  const named = (deleted: boolean): string[] =>
    others.filter((leaf) => leaf.deleted === deleted).map((leaf) => leaf.rev);
  const extras = {
    revisions: query.revs > 0 ? record.revisions(rev, query.revs) : undefined,
    revsInfo: query.revsInfo ? record.revsInfo(rev) : undefined,
    conflicts: query.conflicts ? named(false) : [],
    deletedConflicts: query.deletedConflicts ? named(true) : [],
    localSeq: query.localSeq ? record.seq : undefined,
  };
  const stored = bodyOf(db, record, rev);
  // What is not part of the revision may change without it: no ETag then.
  const changing =
    query.revsInfo || query.localSeq || extras.conflicts.length > 0 || extras.deletedConflicts.length > 0;
  return sendDocument(
    exchange,
    db,
    { record, rev, stored, extras, etag: changing ? undefined : `"${rev}"` },
    query,
  );
}

function readRevision(
  exchange: Exchange,
  db: Database,
  id: string,
  rev: string,
  query: DocumentQuery,
): void | Promise<void> {
  const record = db.get(id);
  if (record === undefined) throw notFound();
  const stored = bodyOf(db, record, rev);
  const extras = { revisions: query.revs > 0 ? record.revisions(rev, query.revs) : undefined };
  return sendDocument(exchange, db, { record, rev, stored, extras, etag: `"${rev}"` }, query);
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

/** A revision that is to be sent. */
interface Found {
  readonly record: DocumentRecord;
  readonly rev: string;
  readonly stored: string;
  readonly extras: DocumentExtras;
  readonly etag: string | undefined;
}

/** As JSON, or with its attachments behind it where the client takes that. */
function sendDocument(
  exchange: Exchange,
  db: Database,
  { record, rev, stored, extras, etag }: Found,
  query: DocumentQuery,
): void | Promise<void> {
  if (etag !== undefined && matches(exchange.header('if-none-match'), etag)) {
    exchange.empty(304, ['ETag', etag]);
    return;
  }
  const shown = shownFor(record, rev, query);
  const headers = etag === undefined ? [] : ['ETag', etag];
  if (!query.attachments) {
    exchange.json(200, shownText(stored, extras, shown), headers);
    return;
  }
  return withReader(db, (reader) => {
    const { text, following } = followedText(reader, stored, extras, shown.wanted);
    if (following.length === 0 || !exchange.accepts('multipart/related')) {
      return sendStream(exchange, () => filled(reader, [shownText(stored, extras, shown), '\n']), {
        headers,
      });
    }
    const { type, length, chunks } = documentEntity(text, following, newBoundary());
    return sendStream(exchange, chunks, { type, length: length(), headers });
  });
}

/** What of a revision's attachments is asked for. */
export function shownFor(
  record: DocumentRecord,
  rev: string,
  { attachments, attsSince, encodingInfo }: Pick<DocumentQuery, 'attachments' | 'attsSince' | 'encodingInfo'>,
): Shown {
  const wanted = attsSince !== undefined ? newerThan(record, rev, attsSince) : attachments ? ALL : NONE;
  return { wanted, encodingInfo };
}

function sendPlain(exchange: Exchange, etag: string, text: () => string): void {
  if (matches(exchange.header('if-none-match'), etag)) exchange.empty(304, ['ETag', etag]);
  else exchange.json(200, text(), ['ETag', etag]);
}

// ---- writing --------------------------------------------------------------------------------------------------

async function put(exchange: Exchange, db: Database, id: string): Promise<void> {
  const newEdits = exchange.rawQuery === '' || readDocumentQuery(exchange.query).newEdits;
  validateDocid(id, exchange.server.documents.maxIdLength);
  const boundary = relatedBoundary(exchange);
  await Intake.during(exchange, db, async (intake) => {
    const edit =
      boundary === undefined
        ? await jsonEdit(exchange, db, intake, id, newEdits)
        : await relatedEdit(
            exchange,
            intake,
            boundary,
            (text) => judged(exchange, db, text, id, newEdits),
            newEdits,
          );
    if (isForLater(exchange, db, edit)) {
      writeLater(exchange, db, edit);
      exchange.json(202, `{"ok":true,"id":${JSON.stringify(id)}}`);
    } else {
      await writeAndAnswer(exchange, db, edit, newEdits, true);
    }
  });
}

async function jsonEdit(
  exchange: Exchange,
  db: Database,
  intake: Intake,
  id: string,
  newEdits: boolean,
): Promise<DocumentEdit> {
  const text = await exchange.bodyText();
  return intake.edit(await judged(exchange, db, text, id, newEdits), newEdits);
}

/** A document that its user may write. @throws CouchError */
async function judged(
  exchange: Exchange,
  db: Database,
  text: string,
  id: string,
  newEdits: boolean,
): Promise<ParsedDocument> {
  const given = await parseDocument(text, { newEdits, id, ...exchange.server.documents });
  const parsed = { ...given, revisions: editedRevisions(exchange, given.revisions) };
  await checkWrite(exchange, db, parsed);
  return parsed;
}

async function remove(exchange: Exchange, db: Database, id: string): Promise<void> {
  if (isLocal(id)) {
    await deleteLocalDocument(exchange, db, id);
    return;
  }
  living(db.get(id));
  const revisions = editedRevisions(exchange, { start: 0, ids: [] });
  const edit = { id, revisions, deleted: true, body: '' };
  await checkWrite(exchange, db, edit);
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
  `{"ok":true,"id":${quote(id)},"rev":${quote(rev)}}`;

/** The header that names a document. */
export const locationOf = (exchange: Exchange, db: Database, id: string): readonly string[] => [
  'Location',
  exchange.absolute(`/${encodeSegment(db.name)}/${encodeSegment(id)}`),
];

import { randomUUID } from 'node:crypto';
import { withoutAttachments } from './documents.js';
import type { AddResource } from './index.js';
import { revisionsToOpen } from './open-revs.js';
import { badRequest, CouchError, illegalDocid } from '../../errors.js';
import { valuesInTurns } from '../../json/text.js';
import { BodyPages, type Read } from '../../store/body-pages.js';
import { documentText, parseRev, validateDocid } from '../../store/document.js';
import type { Database, DocumentRecord, StoredRevision } from '../../store/types.js';
import { readDocumentQuery, type DocumentQuery } from '../document-query.js';
import type { Exchange } from '../exchange.js';
import type { Query } from '../query.js';
import { json, onDatabase } from '../resource.js';
import { CHUNK_SIZE, sendStream } from '../stream.js';

export function bulkGetRoutes(add: AddResource): void {
  add({
    path: '/:db/_bulk_get',
    allow: 'POST',
    methods: { POST: json(onDatabase('member', bulkGet)) },
    other: onDatabase('member'),
  });
}

/** One document that was asked for. */
type Wanted =
  | { readonly id: string; readonly rev: string | undefined; readonly attachments: boolean }
  | { readonly id: unknown; readonly rev: unknown; readonly error: CouchError };

/** A part of the answer to an entry: one of its revisions, or none where it has none. */
interface Part {
  readonly wanted: Wanted;
  readonly revision: StoredRevision | undefined;
  /** Named where there is no text. */
  readonly rev: string | undefined;
  readonly isFirst: boolean;
  readonly isLast: boolean;
}

interface BulkGetError {
  readonly id: unknown;
  readonly rev: unknown;
  readonly error: string;
  readonly reason: string;
}

async function bulkGet(exchange: Exchange, db: Database): Promise<void> {
  const docs = (await exchange.bodyMembers()).get('docs');
  if (docs === undefined) throw badRequest("Missing JSON list of 'docs'.");
  const query = readQuery(exchange.query);
  const list = await valuesInTurns(docs);
  if (list === undefined) throw badRequest("Missing JSON list of 'docs'.");
  const wanted = list.map(readWanted);
  const pages = find(db, wanted, query);
  if (asksForMultipart(exchange)) await sendMultipart(exchange, pages, wanted.length > 0);
  else await sendStream(exchange, () => rows(pages));
}

/** Parameters that would mean something else here. */
const REFUSED = ['open_revs', 'new_edits', 'w', 'rev', 'atts_since'];

function readQuery(parameters: Query): DocumentQuery {
  for (const [key] of parameters) {
    if (REFUSED.includes(key)) throw badRequest(`"${key}" query parameter is not acceptable`);
  }
  return readDocumentQuery(parameters);
}

function readWanted(value: unknown): Wanted {
  if (
    typeof value !== 'object' ||
    value === null ||
    Array.isArray(value) ||
    Object.keys(value).length === 0
  ) {
    return { id: null, rev: null, error: badRequest('document must be a JSON object') };
  }
  const { id, rev, atts_since: since } = value as Record<string, unknown>;
  if (id === undefined) return { id: null, rev: null, error: badRequest('document id missed') };
  // CouchDB fails as a whole here.
  if (typeof id !== 'string') throw illegalDocid('Document id must be a string');
  try {
    validateDocid(id);
  } catch (error) {
    return { id, rev: null, error: asCouchError(error) };
  }
  let read: unknown = rev;
  try {
    const revision = rev === undefined ? undefined : parseRev(rev);
    read = since;
    if (since !== undefined && !Array.isArray(since))
      throw badRequest('att_since value must be array of revs.');
    for (read of since ?? []) parseRev(read);
    return { id, rev: revision, attachments: since !== undefined && since.length > 0 };
  } catch (error) {
    return { id, rev: read, error: asCouchError(error) };
  }
}

function asCouchError(error: unknown): CouchError {
  if (error instanceof CouchError) return error;
  throw error;
}

// ---- finding --------------------------------------------------------------------------------------------------

/** Entries looked up at a time. */
const ENTRIES = 100;

/** Pages of parts. An entry may have any number of revisions: what counts for a page is what is read. */
async function* find(
  db: Database,
  wanted: readonly Wanted[],
  query: DocumentQuery,
): AsyncGenerator<readonly Read<Part>[]> {
  const bodies = new BodyPages(db);
  for (let at = 0; at < wanted.length; at += ENTRIES) {
    const entries = wanted.slice(at, at + ENTRIES);
    const records = await recordsOf(db, entries);
    const parts = entries.flatMap((one, index) => partsOf(one, records[index], query));
    for await (const page of bodies.pages(parts, ({ revision }) => revision)) {
      yield page.map((part) => shown(part, query));
    }
  }
}

/** The records in the order of what was asked for; one look-up for all of them. */
async function recordsOf(
  db: Database,
  wanted: readonly Wanted[],
): Promise<readonly (DocumentRecord | undefined)[]> {
  if (!wanted.some((one) => 'error' in one)) return db.getMany(wanted.map((one) => one.id as string));
  const ids = wanted.flatMap((one) => ('error' in one ? [] : [one.id]));
  const found = await db.getMany(ids);
  let next = 0;
  return wanted.map((one) => ('error' in one ? undefined : found[next++]));
}

/** At least one. */
function partsOf(wanted: Wanted, record: DocumentRecord | undefined, query: DocumentQuery): readonly Part[] {
  const none = { wanted, revision: undefined, rev: undefined, isFirst: true, isLast: true };
  if ('error' in wanted) return [none];
  const revs = revisionsToOpen(record, wanted.rev === undefined ? 'all' : [wanted.rev], query.latest);
  if (revs.length === 0) return [none];
  return revs.map((rev, at) => ({
    wanted,
    revision: record && { record, rev },
    rev,
    isFirst: at === 0,
    isLast: at === revs.length - 1,
  }));
}

/** A part with its text as the client asked for it. */
function shown({ item, text: stored }: Read<Part>, query: DocumentQuery): Read<Part> {
  const { wanted, revision } = item;
  if (stored === undefined || revision === undefined || 'error' in wanted) return { item, text: undefined };
  const text = withoutAttachments(stored, { attachments: query.attachments || wanted.attachments });
  const revisions = query.revs ? revision.record.revisions(revision.rev) : undefined;
  return { item, text: documentText(text, { revisions }) };
}

/** Why a part has no text. */
function errorOf({ wanted, rev }: Part): BulkGetError {
  if (!('error' in wanted))
    return { id: wanted.id, rev: rev ?? wanted.rev ?? 'undefined', error: 'not_found', reason: 'missing' };
  const { error, reason } = wanted.error;
  return { id: wanted.id ?? null, rev: wanted.rev ?? null, error, reason };
}

// ---- answering ------------------------------------------------------------------------------------------------

function rows(pages: AsyncIterable<readonly Read<Part>[]>): AsyncGenerator<string> {
  let separator = '';
  const rowOf = ({ item, text }: Read<Part>): string => {
    const start = item.isFirst ? `${separator}{"id":${JSON.stringify(item.wanted.id)},"docs":[` : ',';
    separator = ',';
    const row = text === undefined ? `{"error":${JSON.stringify(errorOf(item))}}` : `{"ok":${text}}`;
    return `${start}${row}${item.isLast ? ']}' : ''}`;
  };
  return chunks('{"results":[', pages, rowOf, ']}\n');
}

function asksForMultipart(exchange: Exchange): boolean {
  if (exchange.accepts('application/json')) return false;
  return exchange.accepts('multipart/mixed') || exchange.accepts('multipart/related');
}

async function sendMultipart(
  exchange: Exchange,
  pages: AsyncIterable<readonly Read<Part>[]>,
  closed: boolean,
): Promise<void> {
  const boundary = `--${randomUUID().replaceAll('-', '')}`;
  const kind = exchange.accepts('multipart/mixed') ? 'multipart/mixed' : 'multipart/related';
  const end = closed ? `\r\n--${boundary}--\r\n` : '';
  const source = (): AsyncGenerator<string> => chunks('', pages, (part) => multipartOf(part, boundary), end);
  await sendStream(exchange, source, { type: `${kind}; boundary="${boundary}"` });
}

function multipartOf({ item, text }: Read<Part>, boundary: string): string {
  if (text !== undefined) return `\r\n--${boundary}\r\nContent-Type: application/json\r\n\r\n${text}`;
  const { id, rev, error, reason } = errorOf(item);
  // What is merely not there is told without its id, as CouchDB does.
  const told =
    error === 'not_found' && rev !== 'undefined' ? { rev, error, reason } : { id, rev, error, reason };
  return `\r\n--${boundary}\r\nContent-Type: application/json; error="true"\r\n\r\n${JSON.stringify(told)}`;
}

/** Puts parts together to chunks of some size. */
async function* chunks(
  start: string,
  pages: AsyncIterable<readonly Read<Part>[]>,
  textOf: (part: Read<Part>) => string,
  end: string,
): AsyncGenerator<string> {
  let chunk = start;
  for await (const page of pages) {
    for (const part of page) {
      chunk += textOf(part);
      if (chunk.length < CHUNK_SIZE) continue;
      yield chunk;
      chunk = '';
    }
  }
  yield chunk + end;
}

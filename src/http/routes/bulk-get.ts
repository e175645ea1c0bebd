import { randomUUID } from 'node:crypto';
import { withoutAttachments } from './documents.js';
import type { AddResource } from './index.js';
import { revisionsToOpen } from './open-revs.js';
import { badRequest, CouchError, illegalDocid } from '../../errors.js';
import { parseJson } from '../../json/text.js';
import { BodyPages } from '../../store/body-pages.js';
import { documentText, parseRev, validateDocid } from '../../store/document.js';
import type { Database, DocumentRecord } from '../../store/types.js';
import { readDocumentQuery, type DocumentQuery } from '../document-query.js';
import { objectMembers, type Exchange } from '../exchange.js';
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

/** The answer to one of them: revisions, or why there are none. */
interface Found {
  readonly id: unknown;
  readonly docs: readonly Row[];
}

/** A document's text, or the JSON of an error. */
type Row = { readonly ok: string } | { readonly error: BulkGetError };

interface BulkGetError {
  readonly id: unknown;
  readonly rev: unknown;
  readonly error: string;
  readonly reason: string;
}

async function bulkGet(exchange: Exchange, db: Database): Promise<void> {
  const docs = objectMembers(await exchange.bodyText()).get('docs');
  if (docs === undefined) throw badRequest("Missing JSON list of 'docs'.");
  const query = readQuery(exchange.query);
  const list = parseJson(docs);
  if (!Array.isArray(list)) throw badRequest("Missing JSON list of 'docs'.");
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

async function* find(
  db: Database,
  wanted: readonly Wanted[],
  query: DocumentQuery,
): AsyncGenerator<readonly Found[]> {
  const sizes = new BodyPages();
  let at = 0;
  while (at < wanted.length) {
    const part = wanted.slice(at, at + sizes.size);
    at += part.length;
    yield await findPage(db, part, query, sizes);
  }
}

async function findPage(
  db: Database,
  wanted: readonly Wanted[],
  query: DocumentQuery,
  sizes: BodyPages,
): Promise<readonly Found[]> {
  const records = await recordsOf(db, wanted);
  const plans = wanted.map((one, at) => ('error' in one ? [] : revsOf(one.rev, records[at], query)));
  const reads: { record: DocumentRecord; rev: string }[] = [];
  for (const [at, revs] of plans.entries()) {
    const record = records[at];
    if (record !== undefined) for (const rev of revs) reads.push({ record, rev });
  }
  const texts = await db.readMany(reads);
  sizes.note(texts);
  let next = 0;
  return wanted.map((one, at) => {
    const record = records[at];
    if ('error' in one) return { id: one.id, docs: [{ error: errorOf(one.id, one.rev, one.error) }] };
    const revs = plans[at] ?? [];
    const docs = revs.map((rev) =>
      rowOf(one, rev, record, record === undefined ? undefined : texts[next++], query),
    );
    return { id: one.id, docs: docs.length > 0 ? docs : [missing(one.id, one.rev ?? 'undefined')] };
  });
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

const revsOf = (
  rev: string | undefined,
  record: DocumentRecord | undefined,
  query: DocumentQuery,
): readonly string[] => revisionsToOpen(record, rev === undefined ? 'all' : [rev], query.latest);

function rowOf(
  wanted: { readonly id: string; readonly attachments: boolean },
  rev: string,
  record: DocumentRecord | undefined,
  stored: string | undefined,
  query: DocumentQuery,
): Row {
  if (stored === undefined) return missing(wanted.id, rev);
  const text = withoutAttachments(stored, { attachments: query.attachments || wanted.attachments });
  return { ok: query.revs ? documentText(text, { revisions: record?.revisions(rev) }) : text };
}

const missing = (id: string, rev: string): Row => ({
  error: { id, rev, error: 'not_found', reason: 'missing' },
});

const errorOf = (id: unknown, rev: unknown, { error, reason }: CouchError): BulkGetError => ({
  id: id ?? null,
  rev: rev ?? null,
  error,
  reason,
});

// ---- answering ------------------------------------------------------------------------------------------------

async function* rows(pages: AsyncIterable<readonly Found[]>): AsyncGenerator<string> {
  let chunk = '{"results":[';
  let separator = '';
  for await (const page of pages) {
    for (const { id, docs } of page) {
      chunk += `${separator}{"id":${JSON.stringify(id)},"docs":[${docs.map(rowText).join(',')}]}`;
      separator = ',';
      if (chunk.length < CHUNK_SIZE) continue;
      yield chunk;
      chunk = '';
    }
  }
  yield `${chunk}]}\n`;
}

const rowText = (row: Row): string =>
  'ok' in row ? `{"ok":${row.ok}}` : `{"error":${JSON.stringify(row.error)}}`;

function asksForMultipart(exchange: Exchange): boolean {
  if (exchange.accepts('application/json')) return false;
  return exchange.accepts('multipart/mixed') || exchange.accepts('multipart/related');
}

async function sendMultipart(
  exchange: Exchange,
  pages: AsyncIterable<readonly Found[]>,
  closed: boolean,
): Promise<void> {
  const boundary = `--${randomUUID().replaceAll('-', '')}`;
  const kind = exchange.accepts('multipart/mixed') ? 'multipart/mixed' : 'multipart/related';
  await sendStream(exchange, () => parts(pages, boundary, closed), {
    type: `${kind}; boundary="${boundary}"`,
  });
}

async function* parts(
  pages: AsyncIterable<readonly Found[]>,
  boundary: string,
  closed: boolean,
): AsyncGenerator<string> {
  for await (const page of pages) {
    for (const { docs } of page) for (const row of docs) yield partOf(row, boundary);
  }
  if (closed) yield `\r\n--${boundary}--\r\n`;
}

function partOf(row: Row, boundary: string): string {
  if ('ok' in row) return `\r\n--${boundary}\r\nContent-Type: application/json\r\n\r\n${row.ok}`;
  const { id, rev, error, reason } = row.error;
  // What is merely not there is told without its id, as CouchDB does.
  const told =
    error === 'not_found' && rev !== 'undefined' ? { rev, error, reason } : { id, rev, error, reason };
  return `\r\n--${boundary}\r\nContent-Type: application/json; error="true"\r\n\r\n${JSON.stringify(told)}`;
}

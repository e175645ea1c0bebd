import { shownFor } from './documents.js';
import type { AddResource } from './index.js';
import { badRequest, CouchError, illegalDocid } from '../../errors.js';
import { membersInTurns, valuesInTurns } from '../../json/text.js';
import { inTurns, type Work } from '../../json/turns.js';
import { BodyPages, type Read } from '../../store/body-pages.js';
import { type DocumentExtras, parseRev, validateDocid } from '../../store/document.js';
import { requireInPartition } from '../../store/partitions.js';
import type { AttachmentReader } from '../../store/types/attachments.js';
import type { Database } from '../../store/types/database.js';
import type { DocumentRecord, StoredRevision } from '../../store/types/records.js';
import { filled, followedText, type Shown, shownText } from '../../store/attachments/text.js';
import { readDocumentQuery, type DocumentQuery } from '../document-query.js';
import type { Exchange } from '../exchange.js';
import { bulkGetBody, bulkGetDocument } from '../mixed.js';
import { type Entity, errorEntity, newBoundary } from '../../multipart/writer.js';
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
  | { readonly id: string; readonly rev: string | undefined; readonly since: readonly string[] | undefined }
  | { readonly id: unknown; readonly rev: unknown; readonly error: CouchError };

/** A part of the answer to an entry: one of its revisions, or none where it has none. */
interface Part {
  readonly wanted: Wanted;
  readonly record: DocumentRecord | undefined;
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

/** What ids may be in a database. */
interface IdRules {
  readonly maxIdLength: number;
  readonly isPartitioned: boolean;
}

async function bulkGet(exchange: Exchange, db: Database): Promise<void> {
  const rules = { maxIdLength: exchange.server.documents.maxIdLength, isPartitioned: db.isPartitioned };
  const text = await exchange.bodyText();
  const plain = await inTurns(readPlain(text, rules));
  const docs = plain === undefined ? await docsIn(text) : '[]';
  const query = readQuery(exchange.query, db.revsLimit);
  const wanted = plain ?? (await readList(docs, rules));
  const pages = find(db, wanted, query);
  if (asksForMultipart(exchange)) await sendMultipart(exchange, pages, query);
  else await sendStream(exchange, () => rows(pages, query));
}

/** Parameters that would mean something else here. */
const REFUSED = ['open_revs', 'new_edits', 'w', 'rev', 'atts_since'];

function readQuery(parameters: Query, revsLimit: number): DocumentQuery {
  for (const [key] of parameters) {
    if (REFUSED.includes(key)) throw badRequest(`"${key}" query parameter is not acceptable`);
  }
  return readDocumentQuery(parameters, revsLimit);
}

const HEAD = '{"docs":[';

/** An entry as replicators send it: an id without escapes, and a revision in the form in which it is stored. */
const ENTRY = /\{"id":"([ !#-[\]-\uffff]*)","rev":"([1-9][0-9]{0,14}-[0-9a-f]{32})"\}(,|\]\}$)/y;

/** Entries between two moments at which others may have their turn. */
const STRIDE = 32;

/** The body where all of it is so, in a tenth of the time; undefined where it is not. */
function* readPlain(text: string, rules: IdRules): Work<Wanted[] | undefined> {
  if (!text.startsWith(HEAD)) return undefined;
  const wanted: Wanted[] = [];
  for (let at = HEAD.length; ;) {
    if (wanted.length % STRIDE === 0) yield;
    ENTRY.lastIndex = at;
    const [, id, rev, next] = ENTRY.exec(text) ?? [];
    if (id === undefined || rev === undefined) return undefined;
    at = ENTRY.lastIndex;
    const error = refusalOf(id, rules);
    wanted.push(error === undefined ? { id, rev, since: undefined } : { id, rev: null, error });
    if (next !== ',') return wanted;
  }
}

async function docsIn(text: string): Promise<string> {
  const body = await membersInTurns(text);
  if (body === undefined) throw badRequest('Request body must be a JSON object');
  const docs = body.get('docs');
  if (docs === undefined) throw badRequest("Missing JSON list of 'docs'.");
  return docs;
}

async function readList(docs: string, rules: IdRules): Promise<Wanted[]> {
  const list = await valuesInTurns(docs);
  if (list === undefined) throw badRequest("Missing JSON list of 'docs'.");
  return list.map((value) => readWanted(value, rules));
}

function readWanted(value: unknown, rules: IdRules): Wanted {
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
  const refusal = refusalOf(id, rules);
  if (refusal !== undefined) return { id, rev: null, error: refusal };
  let read: unknown = rev;
  try {
    const revision = rev === undefined ? undefined : parseRev(rev);
    read = since;
    if (since !== undefined && !Array.isArray(since))
      throw badRequest('att_since value must be array of revs.');
    const known: string[] = [];
    for (read of since ?? []) known.push(parseRev(read));
    return { id, rev: revision, since: known.length === 0 ? undefined : known };
  } catch (error) {
    return { id, rev: read, error: asCouchError(error) };
  }
}

function refusalOf(id: string, rules: IdRules): CouchError | undefined {
  try {
    validateDocid(id, rules.maxIdLength);
    requireInPartition(rules, id);
    return undefined;
  } catch (error) {
    return asCouchError(error);
  }
}

function asCouchError(error: unknown): CouchError {
  if (error instanceof CouchError) return error;
  throw error;
}

// ---- finding --------------------------------------------------------------------------------------------------

/** Entries looked up at a time. */
const ENTRIES = 200;

/** Parts with their texts, and where to read what is attached to them before the next page is asked for. */
interface Page {
  readonly parts: readonly Read<Part>[];
  readonly reader: AttachmentReader;
}

/** Pages of parts. An entry may have any number of revisions: what counts for a page is what is read. */
async function* find(db: Database, wanted: readonly Wanted[], query: DocumentQuery): AsyncGenerator<Page> {
  const bodies = new BodyPages(db);
  for (let at = 0; at < wanted.length; at += ENTRIES) {
    const entries = wanted.slice(at, at + ENTRIES);
    const records = await recordsOf(db, entries);
    const parts = entries.flatMap((one, index) => partsOf(one, records[index], query));
    // Not before the records are known: what is attached to a body that can still be read after this stays.
    const reader = db.openAttachments();
    try {
      for await (const page of bodies.pages(parts, revisionOf)) yield { parts: page, reader };
    } finally {
      await reader.close();
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

const revisionOf = ({ record, rev }: Part): StoredRevision | undefined =>
  record === undefined || rev === undefined ? undefined : { record, rev };

/** At least one. */
function partsOf(wanted: Wanted, record: DocumentRecord | undefined, query: DocumentQuery): readonly Part[] {
  const revs = 'error' in wanted ? NONE : revisionsOf(record, wanted.rev, query.latest);
  if (revs.length === 0) return [{ wanted, record: undefined, rev: undefined, isFirst: true, isLast: true }];
  const last = revs.length - 1;
  return revs.map((rev, at) => ({ wanted, record, rev, isFirst: at === 0, isLast: at === last }));
}

const NONE: readonly string[] = [];

/** The revision that is asked for, with `latest` what descends from it; all leaves where none is asked for. */
function revisionsOf(
  record: DocumentRecord | undefined,
  rev: string | undefined,
  latest: boolean,
): readonly string[] {
  if (rev === undefined) return record?.leavesInTree() ?? NONE;
  const leaves = latest ? (record?.latest(rev) ?? NONE) : NONE;
  if (leaves.length === 0) return [rev];
  if (leaves.length === 1) return leaves;
  const wanted = new Set(leaves);
  return record?.leavesInTree().filter((leaf) => wanted.has(leaf)) ?? NONE;
}

/** A part with the revision that it is about. */
interface Opened extends StoredRevision {
  readonly id: string;
  readonly stored: string;
  readonly since: readonly string[] | undefined;
}

/** Undefined where there is no such revision. */
function openedOf({ item: { wanted, record, rev }, text: stored }: Read<Part>): Opened | undefined {
  if (stored === undefined || record === undefined || rev === undefined || 'error' in wanted)
    return undefined;
  return { record, rev, id: wanted.id, stored, since: wanted.since };
}

const shownOf = (
  { record, rev, since }: Opened,
  { attachments, encodingInfo }: Pick<DocumentQuery, 'attachments' | 'encodingInfo'>,
): Shown => shownFor(record, rev, { attachments, attsSince: since, encodingInfo });

const extrasOf = ({ record, rev }: Opened, { revs }: DocumentQuery): DocumentExtras => ({
  revisions: revs > 0 ? record.revisions(rev, revs) : undefined,
});

/** Why a part has no text. */
function errorOf({ wanted, rev }: Part): BulkGetError {
  if (!('error' in wanted))
    return { id: wanted.id, rev: rev ?? wanted.rev ?? 'undefined', error: 'not_found', reason: 'missing' };
  const { error, reason } = wanted.error;
  return { id: wanted.id ?? null, rev: wanted.rev ?? null, error, reason };
}

// ---- answering ------------------------------------------------------------------------------------------------

async function* rows(pages: AsyncIterable<Page>, query: DocumentQuery): AsyncGenerator<string> {
  let chunk = '{"results":[';
  let separator = '';
  for await (const { parts, reader } of pages) {
    for (const part of parts) {
      const { wanted, isFirst, isLast } = part.item;
      const start = isFirst ? `${separator}{"id":${JSON.stringify(wanted.id)},"docs":[` : ',';
      separator = ',';
      chunk += `${start}${rowOf(part, query)}${isLast ? ']}' : ''}`;
      if (chunk.length < CHUNK_SIZE) continue;
      yield* filled(reader, [chunk]);
      chunk = '';
    }
    // The next page has another reader.
    yield* filled(reader, [chunk]);
    chunk = '';
  }
  yield `${chunk}]}\n`;
}

function rowOf(part: Read<Part>, query: DocumentQuery): string {
  const opened = openedOf(part);
  if (opened === undefined) return `{"error":${JSON.stringify(errorOf(part.item))}}`;
  return `{"ok":${shownText(opened.stored, extrasOf(opened, query), shownOf(opened, query))}}`;
}

function asksForMultipart(exchange: Exchange): boolean {
  if (exchange.accepts('application/json')) return false;
  return exchange.accepts('multipart/mixed') || exchange.accepts('multipart/related');
}

async function sendMultipart(
  exchange: Exchange,
  pages: AsyncIterable<Page>,
  query: DocumentQuery,
): Promise<void> {
  const boundary = `--${newBoundary()}`;
  const kind = exchange.accepts('multipart/mixed') ? 'multipart/mixed' : 'multipart/related';
  await sendStream(exchange, () => bulkGetBody(entities(pages, query), boundary), {
    type: `${kind}; boundary="${boundary}"`,
  });
}

/** Here attachments are sent whether or not they were asked for. */
async function* entities(pages: AsyncIterable<Page>, query: DocumentQuery): AsyncGenerator<Entity> {
  for await (const { parts, reader } of pages) {
    for (const part of parts) {
      const opened = openedOf(part);
      if (opened === undefined) {
        yield errorEntity(toldError(errorOf(part.item)));
        continue;
      }
      const { wanted } = shownOf(opened, { attachments: true, encodingInfo: query.encodingInfo });
      const { text, following } = followedText(reader, opened.stored, extrasOf(opened, query), wanted);
      yield bulkGetDocument(opened.id, opened.rev, text, following, `--${newBoundary()}`);
    }
  }
}

/** What is merely not there is told without its id, as CouchDB does. */
function toldError({ id, rev, error, reason }: BulkGetError): string {
  const isMissing = error === 'not_found' && rev !== 'undefined';
  return JSON.stringify(isMissing ? { rev, error, reason } : { id, rev, error, reason });
}

import type { AddResource } from './index.js';
import { conflictsOf } from '../../changes/rows.js';
import { valuesInTurns } from '../../json/text.js';
import { Turns } from '../../json/turns.js';
import { BodyPages, type Read } from '../../store/body-pages.js';
import type { DocumentExtras } from '../../store/document.js';
import { requireColon } from '../../store/partitions.js';
import type { Database } from '../../store/types/database.js';
import type { ListedDocument, ListRange, LocalDocument } from '../../store/types/listings.js';
import type { DocumentRecord, StoredRevision } from '../../store/types/records.js';
import { ALL, filledListing, NONE, shownText } from '../../store/attachments/text.js';
import type { Exchange } from '../exchange.js';
import {
  checkListQuery,
  emptyListQuery,
  idRange,
  keysOf,
  readListQuery,
  readQueries,
  type ListQuery,
  values,
} from '../list-query.js';
import { jsonParameter } from '../query.js';
import { json, onDatabase } from '../resource.js';
import { sendStream } from '../stream.js';
import { results, rowsOf, type Table, tableText, withLineEnd } from '../table.js';

/** Which documents a listing is about. */
type Space = '_all_docs' | '_design_docs' | '_local_docs';

const SPACES: readonly Space[] = ['_all_docs', '_design_docs', '_local_docs'];

/** The ids of a space: from its prefix to the first text behind all that begin with it. */
const PREFIXES: Readonly<Record<Space, string>> = {
  _all_docs: '',
  _design_docs: '_design/',
  _local_docs: '_local/',
};
const DESIGN_END = '_design0';

/** Keys looked up at a time. */
const PAGE = 500;

export function allDocsRoutes(add: AddResource): void {
  for (const space of SPACES) {
    add({
      path: `/:db/${space}`,
      allow: 'GET,HEAD,POST',
      methods: {
        GET: onDatabase('lister', (exchange, db) => list(exchange, db, space)),
        POST: json(onDatabase('lister', (exchange, db) => list(exchange, db, space))),
      },
      other: onDatabase('lister'),
    });
    add({
      path: `/:db/${space}/queries`,
      allow: 'POST',
      methods: { POST: onDatabase('lister', (exchange, db) => queries(exchange, db, space)) },
      other: onDatabase('lister'),
    });
  }
}

async function list(exchange: Exchange, db: Database, space: Space): Promise<void> {
  const body = exchange.method === 'POST' ? await exchange.bodyMembers() : undefined;
  const query = await documentsQuery(exchange, db, space, body);
  await sendStream(exchange, () => withLineEnd(listing(db, space, query)));
}

/**
 * What is asked for by the URL and by a body, which the URL overrules.
 * @param body its members, each as JSON
 * @throws CouchError
 */
export async function documentsQuery(
  exchange: Exchange,
  db: Database,
  space: Space,
  body: ReadonlyMap<string, string> | undefined,
): Promise<ListQuery> {
  const query = emptyListQuery();
  if (body === undefined) {
    const keys = exchange.parameter('keys');
    if (keys !== undefined) query.keys = keysOf(jsonParameter(keys), 'parameter');
  } else {
    const keys = body.get('keys');
    // They may be long; the others are not.
    if (keys !== undefined) query.keys = keysOf(await valuesInTurns(keys), 'body member');
    readListQuery(query, values([...body].filter(([name]) => name !== 'keys')), true);
  }
  readListQuery(query, exchange.query);
  checkQuery(db, space, query);
  return query;
}

/** Keys are looked up in their partitions, also where these are not the one that is asked for. @throws CouchError */
function checkQuery(db: Database, space: Space, query: ListQuery): void {
  checkListQuery(query, 'documents', db.isPartitioned);
  if (!db.isPartitioned || space !== '_all_docs') return;
  for (const key of query.keys ?? []) if (typeof key === 'string') requireColon(db, key);
}

/** Several queries, answered one after the other. */
async function queries(exchange: Exchange, db: Database, space: Space): Promise<void> {
  const all = await readQueries(exchange);
  for (const query of all) checkQuery(db, space, query);
  await sendStream(exchange, () => results(all.map((query) => () => listing(db, space, query))));
}

// ---- listings -------------------------------------------------------------------------------------------------

async function* listing(db: Database, space: Space, query: ListQuery): AsyncGenerator<string> {
  yield* filledListing(db, tableText(await documentTable(db, space, query, missingRow)));
}

/**
 * What is listed of a space.
 * @param rowOfMissing the row of a key that no document has
 */
export async function documentTable(
  db: Database,
  space: Space,
  query: ListQuery,
  rowOfMissing: RowOfMissing,
): Promise<Table> {
  if (query.keys !== undefined) return keyed(db, space, query, query.keys, rowOfMissing);
  return space === '_local_docs' ? locals(db, query) : ranged(db, space, query);
}

type RowOfMissing = (key: string) => string;

const missingRow: RowOfMissing = (key) => `{"key":${key},"error":"not_found"}`;

async function ranged(db: Database, space: Space, query: ListQuery): Promise<Table> {
  const range = space === '_design_docs' ? designRange(idRange(query)) : idRange(query);
  const updateSeq = query.updateSeq ? db.token(db.updateSeq) : undefined;
  const found = await db.list({
    ...range,
    bodies: query.includeDocs,
    records: query.includeDocs && query.conflicts === true,
  });
  const total = space === '_all_docs' ? found.total : await db.countRange(PREFIXES[space], DESIGN_END);
  return {
    updateSeq,
    counts: { total, offset: Math.min(total, found.offset) },
    pages: rowsOf(found.pages, (row) => listedRow(row, query)),
  };
}

/** A range that does not leave the design documents. */
function designRange(range: ListRange): ListRange {
  const { descending = false } = range;
  const low = descending ? range.end : range.start;
  const high = descending ? range.start : range.end;
  const bounded = { low: low === undefined || low < '_design/' ? '_design/' : low, high };
  const beyond = bounded.high === undefined || bounded.high >= DESIGN_END;
  const top = beyond ? DESIGN_END : (bounded.high ?? DESIGN_END);
  return descending
    ? { ...range, start: top, end: bounded.low }
    : { ...range, start: bounded.low, end: top, inclusiveEnd: beyond ? false : (range.inclusiveEnd ?? true) };
}

function listedRow(row: ListedDocument, query: ListQuery): string {
  const id = JSON.stringify(row.id);
  const head = `{"id":${id},"key":${id},"value":{"rev":${JSON.stringify(row.rev)}}`;
  if (!query.includeDocs) return `${head}}`;
  return `${head},"doc":${row.text === undefined ? 'null' : shown(row.text, row.record, query)}}`;
}

function shown(text: string, record: DocumentRecord | undefined, query: ListQuery): string {
  const { attachments, conflicts, encodingInfo } = query;
  const extras = conflicts === true && record !== undefined ? { conflicts: conflictsOf(record) } : NOTHING;
  return shownText(text, extras, { wanted: attachments ? ALL : NONE, encodingInfo });
}

const NOTHING: DocumentExtras = {};

/** Local documents are no part of the sequence. */
const locals = (db: Database, query: ListQuery): Table => ({
  updateSeq: query.updateSeq ? null : undefined,
  counts: { total: null, offset: null },
  pages: rowsOf(db.listLocal(idRange(query)), (row) => localRow(row, query)),
});

function localRow({ id, rev, text }: LocalDocument, { includeDocs }: ListQuery): string {
  const key = JSON.stringify(id);
  const doc = includeDocs ? `,"doc":${text}` : '';
  return `{"id":${key},"key":${key},"value":{"rev":${JSON.stringify(rev)}}${doc}}`;
}

/** Rows for given ids, in their order. */
async function keyed(
  db: Database,
  space: Space,
  query: ListQuery,
  keys: readonly unknown[],
  rowOfMissing: RowOfMissing,
): Promise<Table> {
  const ordered = query.descending ? keys.toReversed() : keys;
  const chosen = ordered.slice(query.skip, query.limit === Infinity ? undefined : query.skip + query.limit);
  const prefix = PREFIXES[space];
  const wanted =
    prefix === '' ? chosen : chosen.filter((key) => typeof key === 'string' && key.startsWith(prefix));
  return {
    updateSeq: query.updateSeq ? null : undefined,
    counts: { total: await totalOf(db, space), offset: null },
    pages: rowsOf(
      keyedPages(db, wanted, query),
      ({ item, text }) => keyedRow(db, item, text, query) ?? rowOfMissing(JSON.stringify(item.key)),
    ),
  };
}

async function totalOf(db: Database, space: Space): Promise<number | null> {
  if (space === '_local_docs') return null;
  if (space === '_design_docs') return db.countRange(PREFIXES[space], DESIGN_END);
  const { docCount } = await db.info();
  return docCount;
}

/** A key, and the document that has it as its id. */
interface Keyed {
  readonly key: unknown;
  readonly record: DocumentRecord | undefined;
}

async function* keyedPages(
  db: Database,
  keys: readonly unknown[],
  query: ListQuery,
): AsyncGenerator<readonly Read<Keyed>[]> {
  const bodies = new BodyPages(db);
  // What is in memory is there without waiting for it, and clients on the same machine take what they are sent as fast.
  const turns = new Turns();
  for (let at = 0; at < keys.length; at += PAGE) {
    await turns.pass();
    const part = keys.slice(at, at + PAGE);
    const records = await db.getMany(part.map((key) => (typeof key === 'string' ? key : '')));
    const found = part.map((key, index) => ({ key, record: records[index] }));
    if (query.includeDocs) yield* bodies.pages(found, livingRevision);
    else yield found.map((item) => ({ item, text: undefined }));
  }
}

const livingRevision = ({ record }: Keyed): StoredRevision | undefined =>
  record === undefined || record.deleted ? undefined : { record, rev: record.winner };

/** Undefined where there is no such document. */
function keyedRow(
  db: Database,
  { key, record }: Keyed,
  text: string | undefined,
  query: ListQuery,
): string | undefined {
  if (typeof key === 'string' && key.startsWith('_local/')) return keyedLocal(db, key, query);
  if (record === undefined) return undefined;
  const id = JSON.stringify(key);
  const value = `{"rev":${JSON.stringify(record.winner)}${record.deleted ? ',"deleted":true' : ''}}`;
  const row = `{"id":${id},"key":${id},"value":${value}`;
  if (!query.includeDocs) return `${row}}`;
  return `${row},"doc":${text === undefined ? 'null' : shown(text, record, query)}}`;
}

function keyedLocal(db: Database, id: string, query: ListQuery): string | undefined {
  const local = db.getLocal(id);
  return local === undefined ? undefined : localRow(local, query);
}

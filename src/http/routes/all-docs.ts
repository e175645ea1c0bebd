import type { AddResource } from './index.js';
import { conflictsOf } from '../../changes/rows.js';
import { valuesInTurns } from '../../json/text.js';
import { BodyPages, type Read } from '../../store/body-pages.js';
import type { DocumentExtras } from '../../store/document.js';
import { requireColon } from '../../store/partitions.js';
import type {
  Database,
  DocumentRecord,
  ListedDocument,
  ListRange,
  LocalDocument,
  StoredRevision,
} from '../../store/types.js';
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
import { head, results, table, withLineEnd } from '../table.js';

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
        POST: json(onDatabase('lister', (exchange, db) => listKeys(exchange, db, space))),
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
  const query = emptyListQuery();
  const keys = exchange.parameter('keys');
  if (keys !== undefined) query.keys = keysOf(jsonParameter(keys), 'parameter');
  await answer(exchange, db, space, readListQuery(query, exchange.query));
}

/** What stands in the body is overruled by what stands in the URL. */
async function listKeys(exchange: Exchange, db: Database, space: Space): Promise<void> {
  const body = await exchange.bodyMembers();
  const query = emptyListQuery();
  const keys = body.get('keys');
  // It may be long; the others are not.
  if (keys !== undefined) query.keys = keysOf(await valuesInTurns(keys), 'body member');
  body.delete('keys');
  readListQuery(query, values(body), true);
  await answer(exchange, db, space, readListQuery(query, exchange.query));
}

async function answer(exchange: Exchange, db: Database, space: Space, query: ListQuery): Promise<void> {
  checkQuery(db, space, query);
  await sendStream(exchange, () => withLineEnd(filledListing(db, listing(db, space, query))));
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
  await sendStream(exchange, () =>
    results(all.map((query) => () => filledListing(db, listing(db, space, query)))),
  );
}

// ---- listings -------------------------------------------------------------------------------------------------

function listing(db: Database, space: Space, query: ListQuery): AsyncGenerator<string> {
  if (query.keys !== undefined) return keyed(db, space, query, query.keys);
  return space === '_local_docs' ? locals(db, query) : ranged(db, space, query);
}

async function* ranged(db: Database, space: Space, query: ListQuery): AsyncGenerator<string> {
  const range = space === '_design_docs' ? designRange(idRange(query)) : idRange(query);
  const seq = query.updateSeq ? db.token(db.updateSeq) : undefined;
  const found = await db.list({
    ...range,
    bodies: query.includeDocs,
    records: query.includeDocs && query.conflicts === true,
  });
  const total = space === '_all_docs' ? found.total : await db.countRange(PREFIXES[space], DESIGN_END);
  yield* table(head(seq, { total, offset: Math.min(total, found.offset) }), found.pages, (row) =>
    listedRow(row, query),
  );
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

async function* locals(db: Database, query: ListQuery): AsyncGenerator<string> {
  const seq = query.updateSeq ? db.token(db.updateSeq) : undefined;
  yield* table(head(seq, { total: null, offset: null }), db.listLocal(idRange(query)), (row) =>
    localRow(row, query),
  );
}

function localRow({ id, rev, text }: LocalDocument, { includeDocs }: ListQuery): string {
  const key = JSON.stringify(id);
  const doc = includeDocs ? `,"doc":${text}` : '';
  return `{"id":${key},"key":${key},"value":{"rev":${JSON.stringify(rev)}}${doc}}`;
}

/** Rows for given ids, in their order. */
async function* keyed(
  db: Database,
  space: Space,
  query: ListQuery,
  keys: readonly unknown[],
): AsyncGenerator<string> {
  const ordered = query.descending ? keys.toReversed() : keys;
  const chosen = ordered.slice(query.skip, query.limit === Infinity ? undefined : query.skip + query.limit);
  const prefix = PREFIXES[space];
  const wanted =
    prefix === '' ? chosen : chosen.filter((key) => typeof key === 'string' && key.startsWith(prefix));
  yield* table(
    head(query.updateSeq ? null : undefined, { total: await totalOf(db, space), offset: null }),
    keyedPages(db, wanted, query),
    (row) => keyedRow(db, row, query),
  );
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
  for (let at = 0; at < keys.length; at += PAGE) {
    const part = keys.slice(at, at + PAGE);
    const records = await db.getMany(part.map((key) => (typeof key === 'string' ? key : '')));
    const found = part.map((key, index) => ({ key, record: records[index] }));
    if (query.includeDocs) yield* bodies.pages(found, livingRevision);
    else yield found.map((item) => ({ item, text: undefined }));
  }
}

const livingRevision = ({ record }: Keyed): StoredRevision | undefined =>
  record === undefined || record.deleted ? undefined : { record, rev: record.winner };

function keyedRow(db: Database, { item: { key, record }, text }: Read<Keyed>, query: ListQuery): string {
  if (typeof key === 'string' && key.startsWith('_local/')) return keyedLocal(db, key, query);
  const id = JSON.stringify(key);
  if (record === undefined) return `{"key":${id},"error":"not_found"}`;
  const value = `{"rev":${JSON.stringify(record.winner)}${record.deleted ? ',"deleted":true' : ''}}`;
  const row = `{"id":${id},"key":${id},"value":${value}`;
  if (!query.includeDocs) return `${row}}`;
  return `${row},"doc":${text === undefined ? 'null' : shown(text, record, query)}}`;
}

function keyedLocal(db: Database, id: string, query: ListQuery): string {
  const local = db.getLocal(id);
  return local === undefined ? `{"key":${JSON.stringify(id)},"error":"not_found"}` : localRow(local, query);
}

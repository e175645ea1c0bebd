import { docIdSet } from '../../changes/doc-ids.js';
import type { ChangesFilter } from '../../changes/query.js';
import { presentRows, type RowQuery, sourceRows } from '../../changes/rows.js';
import { inTurns } from '../../json/turns.js';
import { compileSelector } from '../../selector/match.js';
import { Waiter } from '../../changes/waiter.js';
import { BodyPages } from '../../store/body-pages.js';
import type { ChangeRow } from '../../store/types/changes.js';
import type { Database } from '../../store/types/database.js';
import type { StoredRevision } from '../../store/types/records.js';
import type { ChangedDocument, ChangesPage, ChangesRequest } from '../peer.js';
import type { LocalPeerOptions } from './options.js';

/** Milliseconds after which a request that waits is answered without rows. */
const PATIENCE = 60_000;

/** Up to so many documents are looked up one by one instead of going through the feed. */
const FEW = 100;

/** Reads one page of a database's feed. */
export async function readChanges(
  db: Database,
  request: ChangesRequest,
  filterOf: LocalPeerOptions['filter'],
  signal: AbortSignal,
): Promise<ChangesPage> {
  const filter = await chosenFilter(db, request, filterOf);
  const query: RowQuery = {
    style: request.style,
    includeDocs: false,
    conflicts: false,
    descending: false,
    limit: request.limit,
    ...(filter && { filter }),
  };
  return nextPage(db, request, signal, (since) => readPage(db, query, since, signal));
}

/** The same of the rows that the upstream has not got, with all leaves of each document. */
export function readUnsent(
  db: Database,
  request: Pick<ChangesRequest, 'since' | 'limit' | 'wait'>,
  signal: AbortSignal,
): Promise<ChangesPage> {
  return nextPage(db, request, signal, (since) => readUnsentPage(db, since, request.limit, signal));
}

async function nextPage(
  db: Database,
  { since: token, wait }: Pick<ChangesRequest, 'since' | 'wait'>,
  signal: AbortSignal,
  read: (since: number) => Promise<Rows>,
): Promise<ChangesPage> {
  const since = db.parseToken(String(token));
  const waiter = wait ? new Waiter(db.events, signal) : undefined;
  try {
    const page = await read(since);
    if (waiter === undefined || page.rows.length > 0 || db.updateSeq > page.until) return pageOf(db, page);
    await waiter.wait(PATIENCE);
    signal.throwIfAborted();
    return pageOf(db, await read(page.until));
  } finally {
    waiter?.close();
  }
}

interface Rows {
  readonly rows: readonly ChangeRow[];
  /** Everything up to here was looked at. */
  readonly until: number;
  /** Rows that follow, where that is known. */
  readonly pending: number | undefined;
}

async function readPage(db: Database, query: RowQuery, since: number, signal: AbortSignal): Promise<Rows> {
  const until = db.updateSeq;
  const bodies = new BodyPages<StoredRevision>(db);
  const rows: ChangeRow[] = [];
  if (since >= until) return { rows, until, pending: 0 };
  for await (const page of sourceRows(db, query, since, until)) {
    for await (const shown of presentRows(db, query, page, bodies)) {
      signal.throwIfAborted();
      for (const row of shown) {
        rows.push(row);
        if (rows.length === query.limit)
          return { rows, until: row.seq, pending: await pendingAfter(db, row.seq) };
      }
    }
  }
  return { rows, until, pending: await pendingAfter(db, until) };
}

const pendingAfter = (db: Database, until: number): Promise<number> | number =>
  until === db.updateSeq ? 0 : db.pending(until);

/** Whatever else is there up to its end needs no asking. */
async function readUnsentPage(
  db: Database,
  since: number,
  limit: number,
  signal: AbortSignal,
): Promise<Rows> {
  const until = db.updateSeq;
  const rows: ChangeRow[] = [];
  if (since >= until) return { rows, until, pending: 0 };
  for await (const page of db.unsent.rows({ since, until, pageSize: limit })) {
    signal.throwIfAborted();
    rows.push(...page.slice(0, limit - rows.length));
    // How many follow nobody has counted.
    const last = rows.at(-1);
    if (last !== undefined && rows.length === limit) return { rows, until: last.seq, pending: undefined };
  }
  return { rows, until, pending: until === db.updateSeq ? 0 : undefined };
}

const pageOf = (db: Database, { rows, until, pending }: Rows): ChangesPage => ({
  rows: rows.map((row) => changedDocument(row.text)),
  lastSeq: db.token(until),
  pending,
});

function changedDocument(text: string): ChangedDocument {
  const { seq, id, changes } = JSON.parse(text) as {
    readonly seq: string;
    readonly id: string;
    readonly changes: readonly { readonly rev: string }[];
  };
  return { seq, id, revs: changes.map(({ rev }) => rev) };
}

async function chosenFilter(
  db: Database,
  { docIds, selector, filter, queryParams }: ChangesRequest,
  filterOf: LocalPeerOptions['filter'],
): Promise<ChangesFilter | undefined> {
  if (docIds !== undefined) return docIdsFilter(docIds);
  if (selector !== undefined) {
    const matches = compileSelector(JSON.parse(selector) as unknown);
    return { kind: 'selector', matches };
  }
  if (filter === undefined) return undefined;
  if (filter === '_design') return { kind: 'design' };
  if (filter === '_doc_ids') return docIdsFilter(listed(queryParams?.doc_ids));
  return await filterOf(db, filter, queryParams ?? {});
}

/** @throws CouchError 400 */
async function docIdsFilter(docIds: unknown): Promise<ChangesFilter> {
  const ids = await inTurns(docIdSet(docIds));
  return { kind: 'doc_ids', ids, few: ids.size <= FEW };
}

/** As a parameter of a feed they are JSON text. */
const listed = (given: unknown): unknown => (typeof given === 'string' ? parsed(given) : given);

function parsed(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}

import type { ChangesFilter } from '../../changes/query.js';
import { presentRows, type RowQuery, sourceRows } from '../../changes/rows.js';
import { badRequest } from '../../errors.js';
import { compileSelector } from '../../selector/match.js';
import { Waiter } from '../../changes/waiter.js';
import { BodyPages } from '../../store/body-pages.js';
import type { ChangeRow, Database, StoredRevision } from '../../store/types.js';
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
  const since = db.parseToken(String(request.since));
  const waiter = request.wait ? new Waiter(db.events, signal) : undefined;
  try {
    const page = await readPage(db, query, since, signal);
    if (waiter === undefined || page.rows.length > 0 || db.updateSeq > page.until)
      return await pageOf(db, page);
    await waiter.wait(PATIENCE);
    signal.throwIfAborted();
    return await pageOf(db, await readPage(db, query, page.until, signal));
  } finally {
    waiter?.close();
  }
}

interface Rows {
  readonly rows: readonly ChangeRow[];
  /** Everything up to here was looked at. */
  readonly until: number;
}

async function readPage(db: Database, query: RowQuery, since: number, signal: AbortSignal): Promise<Rows> {
  const until = db.updateSeq;
  const bodies = new BodyPages<StoredRevision>(db);
  const rows: ChangeRow[] = [];
  if (since >= until) return { rows, until };
  for await (const page of sourceRows(db, query, since, until)) {
    for await (const shown of presentRows(db, query, page, bodies)) {
      signal.throwIfAborted();
      for (const row of shown) {
        rows.push(row);
        if (rows.length === query.limit) return { rows, until: row.seq };
      }
    }
  }
  return { rows, until };
}

async function pageOf(db: Database, { rows, until }: Rows): Promise<ChangesPage> {
  const pending = until === db.updateSeq ? 0 : await db.pending(until);
  return { rows: rows.map((row) => changedDocument(row.text)), lastSeq: db.token(until), pending };
}

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
  if (filter === '_doc_ids') return docIdsFilter(listedIds(queryParams?.doc_ids));
  return await filterOf(db, filter, queryParams ?? {});
}

const docIdsFilter = (docIds: readonly string[]): ChangesFilter => ({
  kind: 'doc_ids',
  ids: new Set(docIds),
  few: docIds.length <= FEW,
});

/** As a parameter of a feed they are JSON text. @throws CouchError 400 */
function listedIds(given: unknown): readonly string[] {
  const ids = typeof given === 'string' ? parsed(given) : given;
  if (Array.isArray(ids) && ids.every((id) => typeof id === 'string')) return ids;
  throw badRequest('`doc_ids` filter parameter is not a list of doc ids.');
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}

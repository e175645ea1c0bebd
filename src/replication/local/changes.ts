import type { ChangesFilter } from '../../changes/query.js';
import { presentRows, type RowQuery, sourceRows } from '../../changes/rows.js';
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
  if (docIds !== undefined) return { kind: 'doc_ids', ids: new Set(docIds), few: docIds.length <= FEW };
  if (selector !== undefined) {
    const matches = compileSelector(JSON.parse(selector) as unknown);
    return { kind: 'selector', matches };
  }
  if (filter === undefined) return undefined;
  return filter === '_design' ? { kind: 'design' } : await filterOf(db, filter, queryParams ?? {});
}

import { living } from './documents.js';
import type { AddResource } from './index.js';
import { conflictsOf } from '../../changes/rows.js';
import { BodyPages, type Read } from '../../store/body-pages.js';
import type { Database } from '../../store/types/database.js';
import type { DocumentRecord, StoredRevision } from '../../store/types/records.js';
import { readReductions } from '../../views/reductions.js';
import { reopened } from '../../views/reopened.js';
import { readRows, type ViewRow } from '../../views/rows.js';
import type { ViewSnapshot } from '../../views/types.js';
import { ALL, filledListing, NONE, shownText } from '../../store/attachments/text.js';
import type { Exchange } from '../exchange.js';
import { groupLevelOf, readQueries } from '../list-query.js';
import { json, onDatabase } from '../resource.js';
import { sendStream } from '../stream.js';
import { results, rowsOf, type Table, tableText, withLineEnd } from '../table.js';
import { checkedQuery, readViewQuery, requireView, type ViewQuery } from '../view-query.js';

export function viewRoutes(add: AddResource): void {
  const path = '/:db/_design/:name/_view/:function';
  const allow = 'GET,POST,HEAD';
  add({
    path,
    allow,
    methods: { GET: onDatabase('member', query), POST: json(onDatabase('member', query)) },
    other: onDatabase('member'),
  });
  for (const other of ['/:db/_design/:name/_view', `${path}/*`]) {
    add({ path: other, allow, methods: {}, other: onDatabase('member') });
  }
  add({
    path: `${path}/queries`,
    allow: 'POST',
    methods: { POST: json(onDatabase('member', queries)) },
    other: onDatabase('member'),
  });
  add({
    path: '/:db/_design/:name/_info',
    allow: 'GET',
    methods: { GET: onDatabase('member', info) },
    other: onDatabase('member'),
  });
}

const designOf = (exchange: Exchange): string => `_design/${exchange.param('name')}`;

async function query(exchange: Exchange, db: Database): Promise<void> {
  living(db.get(designOf(exchange)));
  const asked = await readViewQuery(exchange);
  const checked = checkedQuery(db, designOf(exchange), exchange.param('function'), asked);
  await sendStream(exchange, () => withLineEnd(answer(exchange, db, checked)));
}

/** Several queries, answered one after the other. */
async function queries(exchange: Exchange, db: Database): Promise<void> {
  living(db.get(designOf(exchange)));
  const asked = await readQueries(exchange);
  const name = exchange.param('function');
  // Also where nothing is asked of it the view must be there.
  requireView(db, designOf(exchange), name);
  const checked = asked.map((one) => checkedQuery(db, designOf(exchange), name, one));
  await sendStream(exchange, () => results(checked.map((one) => () => answer(exchange, db, one))));
}

async function* answer(exchange: Exchange, db: Database, asked: ViewQuery): AsyncGenerator<string> {
  const name = exchange.param('function');
  const text = tableText(await viewTable(exchange, db, designOf(exchange), name, asked));
  yield* asked.listed === 'rows' ? filledListing(db, text) : text;
}

/** What is answered to a query of a view. @param id of the design document. @throws CouchError what updating the view threw */
export function viewTable(
  { server }: Exchange,
  db: Database,
  id: string,
  name: string,
  asked: ViewQuery,
): Promise<Table> {
  // Who goes on where a slow reader stopped waits for nothing.
  const open = reopened((isFirst) => server.views.open(db, id, name, isFirst ? asked.update : 'false'));
  return asked.listed === 'rows' ? rows(db, open, asked) : reductions(db, open, asked);
}

async function rows(db: Database, open: () => Promise<ViewSnapshot>, asked: ViewQuery): Promise<Table> {
  const { total, offset, updateSeq: seq, pages } = await readRows(open, asked);
  const updateSeq = asked.updateSeq ? db.token(seq) : undefined;
  const texts = asked.includeDocs
    ? rowsOf(withDocuments(db, pages), (found) => rowWithDocument(found, asked))
    : rowsOf(pages, (row) => `${rowText(row)}}`);
  return { updateSeq, counts: { total, offset }, pages: texts };
}

async function reductions(db: Database, open: () => Promise<ViewSnapshot>, asked: ViewQuery): Promise<Table> {
  const { updateSeq: seq, pages } = await readReductions(open, { ...asked, groupLevel: groupLevelOf(asked) });
  return { updateSeq: asked.updateSeq ? db.token(seq) : undefined, counts: undefined, pages };
}

const rowText = ({ id, key, value }: ViewRow): string => `{"id":${id},"key":${key},"value":${value}`;

// ---- documents ------------------------------------------------------------------------------------------------

/** A row, and the revision that is shown with it; undefined where there is none. */
interface Linked {
  readonly row: ViewRow;
  readonly revision: StoredRevision | undefined;
}

/** Rows with their documents, read as the user may see them. */
async function* withDocuments(
  db: Database,
  pages: AsyncIterable<readonly ViewRow[]>,
): AsyncGenerator<readonly Read<Linked>[]> {
  const bodies = new BodyPages(db);
  for await (const page of pages) {
    const links = page.map(linkOf);
    const records = await db.getMany(links.map(({ id }) => id ?? ''));
    const linked = page.map((row, at) => ({ row, revision: revisionOf(records[at], links[at]?.rev) }));
    yield* bodies.pages(linked, ({ revision }) => revision);
  }
}

interface Link {
  /** Undefined where the row names something that is no id. */
  readonly id: string | undefined;
  readonly rev: unknown;
}

/** The document of a row: that which emitted it, or the one that its value names. */
function linkOf({ id, value }: ViewRow): Link {
  const own = JSON.parse(id) as string;
  if (!value.startsWith('{') || !(value.includes('"_id"') || value.includes('"_rev"'))) {
    return { id: own, rev: undefined };
  }
  const { _id: named = own, _rev: rev } = JSON.parse(value) as {
    readonly _id?: unknown;
    readonly _rev?: unknown;
  };
  return { id: typeof named === 'string' ? named : undefined, rev };
}

/** The winner unless it is deleted; a revision that is named, whatever it is. */
function revisionOf(record: DocumentRecord | undefined, rev: unknown): StoredRevision | undefined {
  if (record === undefined) return undefined;
  if (rev === undefined) return record.deleted ? undefined : { record, rev: record.winner };
  return typeof rev === 'string' && record.has(rev) ? { record, rev } : undefined;
}

function rowWithDocument(
  { item: { row, revision }, text }: Read<Linked>,
  { attachments, conflicts, encodingInfo }: ViewQuery,
): string {
  if (revision === undefined || text === undefined) return `${rowText(row)},"doc":null}`;
  const { record, rev } = revision;
  const extras = conflicts === true && rev === record.winner ? { conflicts: conflictsOf(record) } : {};
  const doc = shownText(text, extras, { wanted: attachments ? ALL : NONE, encodingInfo });
  return `${rowText(row)},"doc":${doc}}`;
}

// ---- the index ------------------------------------------------------------------------------------------------

async function info(exchange: Exchange, db: Database): Promise<void> {
  const index = await exchange.server.views.info(db, designOf(exchange));
  const view_index = {
    updates_pending: { minimum: index.pending, preferred: index.pending, total: index.pending },
    // What is in an index is on the disk.
    waiting_commit: false,
    waiting_clients: index.waitingClients,
    updater_running: index.updaterRunning,
    update_seq: index.updateSeq,
    sizes: index.sizes,
    signature: index.signature,
    purge_seq: index.purgeSeq,
    language: index.language,
    // LevelDB gives the space of old nodes back by itself.
    compact_running: false,
    collator_versions: [process.versions.icu],
  };
  exchange.json(200, JSON.stringify({ name: exchange.param('name'), view_index }));
}

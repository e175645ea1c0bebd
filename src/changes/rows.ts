import type { BodyPages } from '../store/body-pages.js';
import { documentText } from '../store/document.js';
import type { ChangeRow, Database, DocumentRecord } from '../store/types.js';
import type { ChangesFilter, ChangesQuery } from './query.js';

/** Up to this many wanted ids are looked up one by one; beyond, walking the index is cheaper. */
const FEW_IDS = 1000;

/** The parts of a query that decide which rows are shown, and how. */
export type RowQuery = Pick<ChangesQuery, 'style' | 'includeDocs' | 'conflicts' | 'filter' | 'descending'>;

/** Rows of the index after `since`, as far as the filter can tell them by their ids. */
export function sourceRows(
  db: Database,
  query: RowQuery,
  since: number,
  until: number,
): AsyncIterable<readonly ChangeRow[]> {
  const { filter, descending } = query;
  if (filter?.kind === 'doc_ids' && filter.ids.size <= FEW_IDS) {
    return rowsOfIds(db, filter.ids, since, until, descending);
  }
  return db.changes({ since, until, descending });
}

async function* rowsOfIds(
  db: Database,
  ids: ReadonlySet<string>,
  since: number,
  until: number,
  descending: boolean,
): AsyncGenerator<readonly ChangeRow[]> {
  const rows = (await db.getMany([...ids]))
    .filter((record) => record !== undefined)
    .filter(({ seq }) => seq > since && seq <= until)
    .map((record) => ({ seq: record.seq, text: rowOf(db, record) }))
    .sort((a, b) => (descending ? b.seq - a.seq : a.seq - b.seq));
  if (rows.length > 0) yield rows;
}

/** The row of a document as the index has it. */
function rowOf(db: Database, record: DocumentRecord): string {
  const changes = JSON.stringify(record.leaves().map(({ rev }) => ({ rev })));
  const deleted = record.deleted ? ',"deleted":true' : '';
  return `{"seq":"${db.token(record.seq)}","id":${JSON.stringify(record.id)},"changes":${changes}${deleted}}`;
}

/** Rows of which the bodies have to be read, if any, a few at a time. */
export function* inParts(
  query: RowQuery,
  rows: readonly ChangeRow[],
  sizes: BodyPages,
): Generator<readonly ChangeRow[]> {
  if (!needsBodies(query)) {
    yield rows;
    return;
  }
  let at = 0;
  while (at < rows.length) {
    const part = rows.slice(at, at + sizes.size);
    at += part.length;
    yield part;
  }
}

const needsBodies = ({ includeDocs, filter }: RowQuery): boolean =>
  includeDocs || filter?.kind === 'selector';

/** The rows that pass the filter, in the form that the client asked for. */
export async function presentRows(
  db: Database,
  query: RowQuery,
  rows: readonly ChangeRow[],
  sizes: BodyPages,
): Promise<readonly ChangeRow[]> {
  const { filter, style } = query;
  const kept = filter === undefined ? rows : rows.filter(idFilter(filter));
  const styled = style === 'all_docs' ? kept : kept.map(winnerOnly);
  return needsBodies(query) ? withDocuments(db, query, styled, sizes) : styled;
}

function idFilter(filter: ChangesFilter): (row: ChangeRow) => boolean {
  if (filter.kind === 'doc_ids') return (row) => filter.ids.has(idOf(row));
  if (filter.kind === 'design') return (row) => idOf(row).startsWith('_design/');
  return () => true;
}

const idOf = (row: ChangeRow): string => (JSON.parse(row.text) as { id: string }).id;

/** Rows name every leaf; most documents have one. Quotes within an id are escaped, so the marks are never part of it. */
function winnerOnly(row: ChangeRow): ChangeRow {
  const second = row.text.indexOf('"},{"rev":"');
  if (second < 0) return row;
  const end = row.text.lastIndexOf('}]');
  return { seq: row.seq, text: row.text.slice(0, second + 1) + row.text.slice(end) };
}

async function withDocuments(
  db: Database,
  query: RowQuery,
  rows: readonly ChangeRow[],
  sizes: BodyPages,
): Promise<readonly ChangeRow[]> {
  const records = await db.getMany(rows.map(idOf));
  const wanted = records.flatMap((record) => (record === undefined ? [] : [{ record, rev: record.winner }]));
  const texts = await db.readMany(wanted);
  sizes.note(texts);
  const shown: ChangeRow[] = [];
  let next = 0;
  rows.forEach((row, at) => {
    const record = records[at];
    const text = record === undefined ? undefined : texts[next++];
    // Purged between the index and here: as if it had never been in the feed.
    if (record === undefined || text === undefined) return;
    const presented = withDocument(query, row, record, text);
    if (presented !== undefined) shown.push(presented);
  });
  return shown;
}

function withDocument(
  query: RowQuery,
  row: ChangeRow,
  record: DocumentRecord,
  text: string,
): ChangeRow | undefined {
  const { filter, includeDocs, conflicts } = query;
  const selector = filter?.kind === 'selector' ? filter : undefined;
  const document = selector === undefined ? undefined : (JSON.parse(text) as Record<string, unknown>);
  if (document !== undefined && selector?.matches(document) === false) return undefined;
  if (!includeDocs) return row;
  const shown =
    document !== undefined && selector?.project !== undefined
      ? JSON.stringify(selector.project(document))
      : documentText(text, { conflicts: conflicts ? conflictsOf(record) : undefined });
  return { seq: row.seq, text: `${row.text.slice(0, -1)},"doc":${shown}}` };
}

/** Living leaves beside the winner. */
const conflictsOf = (record: DocumentRecord): string[] =>
  record
    .leaves()
    .filter((leaf) => !leaf.deleted && leaf.rev !== record.winner)
    .map((leaf) => leaf.rev);

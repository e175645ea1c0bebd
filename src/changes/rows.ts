import { moving } from '../json/exact.js';
import { inTurns, Turns, type Work } from '../json/turns.js';
import { parsing } from '../json/values.js';
import type { Json } from '../selector/types.js';
import { settled } from '../selector/verdict.js';
import type { BodyPages, Read } from '../store/body-pages.js';
import { documentText } from '../store/document.js';
import type { ChangeRow } from '../store/types/changes.js';
import type { Database } from '../store/types/database.js';
import type { DocumentRecord, StoredRevision } from '../store/types/records.js';
import type { ChangesFilter, ChangesQuery } from './query.js';

/** Rows read at a time, and such of which the documents are read too. */
export const ROWS = 1000;
const RECORDS = 100;

/** The parts of a query that decide which rows are shown, and how. */
export type RowQuery = Pick<
  ChangesQuery,
  'style' | 'includeDocs' | 'conflicts' | 'show' | 'filter' | 'descending' | 'limit' | 'retell'
>;

/** Rows of the index after `since`, as far as the filter can tell them by their ids. */
export function sourceRows(
  db: Database,
  query: RowQuery,
  since: number,
  until: number,
): AsyncIterable<readonly ChangeRow[]> {
  const { filter, descending, limit } = query;
  if (filter?.kind === 'doc_ids' && filter.few === true) {
    return rowsOfIds(db, filter.ids, since, until, descending);
  }
  // Rows that wait long for their documents grow old, and V8 lets old garbage come to 80 MB before it collects any.
  const most = needsBodies(query) ? RECORDS : ROWS;
  const pageSize = filter === undefined ? Math.min(limit, most) : most;
  return db.changes({ since, until, descending, pageSize });
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

/**
 * The rows that pass the filter, in the form that the client asked for; a few at a time where their bodies are read.
 * There may be pages of none.
 */
export async function* presentRows(
  db: Database,
  query: RowQuery,
  rows: readonly ChangeRow[],
  bodies: BodyPages<StoredRevision>,
): AsyncGenerator<readonly ChangeRow[]> {
  const styled = presentPlain(query, rows);
  if (styled.length > 0 && needsBodies(query)) yield* withDocuments(db, query, styled, bodies);
  else yield styled;
}

/** Whether documents have to be read for the rows; `presentPlain` is all that there is to do where not. */
export const needsBodies = ({ includeDocs, filter }: RowQuery): boolean => includeDocs || readsBodies(filter);

/** Whether a filter looks into documents. */
const readsBodies = (filter: ChangesFilter | undefined): boolean =>
  filter?.kind === 'selector' || filter?.kind === 'function';

/** The rows that pass the filter as far as it can be told by their ids, in the style that was asked for. */
export function presentPlain(query: RowQuery, rows: readonly ChangeRow[]): readonly ChangeRow[] {
  const { filter, style, retell } = query;
  if (retell !== undefined) return rows.map(retell).filter((row) => row !== undefined);
  const kept = filter === undefined ? rows : rows.filter(idFilter(filter));
  return style === 'all_docs' ? kept : kept.map(winnerOnly);
}

function idFilter(filter: ChangesFilter): (row: ChangeRow) => boolean {
  if (filter.kind === 'doc_ids') return (row) => filter.ids.has(idOf(row));
  if (filter.kind === 'design') return (row) => idOf(row).startsWith('_design/');
  return () => true;
}

/** Many listeners ask this of one row that was just written. */
export const idOf = (row: ChangeRow): string =>
  row.id ?? PLAIN_ID.exec(row.text)?.[1] ?? (JSON.parse(row.text) as { id: string }).id;

/** An id without escapes, as nearly all are. */
const PLAIN_ID = /^\{"seq":"[^"]*","id":"([^"\\]*)"/;

/** Rows name every leaf; most documents have one. Quotes within an id are escaped, so the marks are never part of it. */
function winnerOnly(row: ChangeRow): ChangeRow {
  const second = row.text.indexOf('"},{"rev":"');
  if (second < 0) return row;
  const end = row.text.lastIndexOf('}]');
  return { ...row, text: row.text.slice(0, second + 1) + row.text.slice(end) };
}

async function* withDocuments(
  db: Database,
  query: RowQuery,
  rows: readonly ChangeRow[],
  bodies: BodyPages<StoredRevision>,
): AsyncGenerator<readonly ChangeRow[]> {
  const turns = new Turns();
  for (let at = 0; at < rows.length; at += RECORDS) {
    const part = rows.slice(at, at + RECORDS);
    const records = await db.getMany(part.map(idOf));
    const wanted = part.flatMap((row, index) => leavesToRead(query, row, records[index]));
    let leaves: JudgedLeaf[] = [];
    for await (const page of bodies.pages(wanted, (leaf) => leaf)) {
      const shown: ChangeRow[] = [];
      const verdicts = await judge(query, page, turns);
      for (const [index, { item: leaf, text }] of page.entries()) {
        leaves.push(judged(leaf, text, verdicts[index] === true));
        if (!leaf.isLast) continue;
        const made = inTurns(withLeaves(query, leaf.row, leaves));
        const row = made instanceof Promise ? await made : made;
        if (row !== undefined) shown.push(row);
        leaves = [];
      }
      yield shown;
    }
  }
}

/** A leaf that decides how a row is shown. */
interface WantedLeaf extends StoredRevision {
  readonly row: ChangeRow;
  /** Whether it is the last one of its row. */
  readonly isLast: boolean;
}

interface JudgedLeaf extends StoredRevision {
  /** The winner's; undefined for the others, and where it went between the index and here. */
  readonly text: string | undefined;
  /** Whether it is there and passes the filter, if any. */
  readonly matches: boolean;
}

/** The winner, and with `style=all_docs` whatever else the filter has to judge. */
function leavesToRead(
  { style, filter }: RowQuery,
  row: ChangeRow,
  record: DocumentRecord | undefined,
): WantedLeaf[] {
  if (record === undefined) return [];
  if (style !== 'all_docs' || !readsBodies(filter)) {
    return [{ row, record, rev: record.winner, isLast: true }];
  }
  const leaves = record.leaves();
  return leaves.map(({ rev }, at) => ({ row, record, rev, isLast: at === leaves.length - 1 }));
}

/** Which leaves pass the filter; those that are gone do not. */
async function judge(
  { filter }: RowQuery,
  page: readonly Read<WantedLeaf>[],
  turns: Turns,
): Promise<readonly boolean[]> {
  if (filter?.kind === 'selector') return await turns.run(select(filter, page));
  if (filter?.kind !== 'function') return page.map(({ text }) => text !== undefined);
  const there = page.flatMap(({ item: { record, rev }, text }) =>
    text === undefined ? [] : [{ record, rev, text }],
  );
  const verdicts = (there.length === 0 ? [] : await filter.judge(there)).values();
  return page.map(({ text }) => text !== undefined && verdicts.next().value === true);
}

/** A selector may take long for a document, and a page has many. */
function* select(
  { matches }: Extract<ChangesFilter, { kind: 'selector' }>,
  page: readonly Read<WantedLeaf>[],
): Work<boolean[]> {
  const verdicts: boolean[] = [];
  for (const { text } of page) {
    verdicts.push(text !== undefined && (yield* settled(matches((yield* parsing(text)) as Json))));
    yield;
  }
  return verdicts;
}

/** A document may have any number of leaves: those that are only judged do not keep their bodies. */
const judged = ({ record, rev }: WantedLeaf, text: string | undefined, matches: boolean): JudgedLeaf => ({
  record,
  rev,
  text: rev === record.winner ? text : undefined,
  matches,
});

function* withLeaves(
  query: RowQuery,
  row: ChangeRow,
  leaves: readonly JudgedLeaf[],
): Work<ChangeRow | undefined> {
  const [winner] = leaves;
  // Purged between the index and here: as if it had never been in the feed.
  if (winner?.text === undefined) return undefined;
  const matching = leaves.filter(({ matches }) => matches);
  if (matching.length === 0) return undefined;
  const listed = matching.length === leaves.length ? row : withRevs(row, matching);
  return query.includeDocs ? yield* withDocument(query, listed, winner.record, winner.text) : listed;
}

const parse = (text: string): Record<string, unknown> => JSON.parse(text) as Record<string, unknown>;

/** The row with just these revisions. */
function withRevs(row: ChangeRow, leaves: readonly StoredRevision[]): ChangeRow {
  const changes = leaves.map(({ rev }) => ({ rev }));
  return { seq: row.seq, text: JSON.stringify({ ...parse(row.text), changes }) };
}

function* withDocument(
  query: RowQuery,
  row: ChangeRow,
  record: DocumentRecord,
  text: string,
): Work<ChangeRow> {
  const { show = documentText } = query;
  const project = query.filter?.kind === 'selector' ? query.filter.project : undefined;
  const conflicts = query.conflicts ? conflictsOf(record) : undefined;
  const shown =
    project === undefined
      ? show(text, { conflicts })
      : yield* moving(text, (document) => project(document as Json));
  return { seq: row.seq, text: `${row.text.slice(0, -1)},"doc":${shown}}` };
}

/** Living leaves beside the winner. */
export const conflictsOf = (record: DocumentRecord): string[] =>
  record
    .leaves()
    .filter((leaf) => !leaf.deleted && leaf.rev !== record.winner)
    .map((leaf) => leaf.rev);

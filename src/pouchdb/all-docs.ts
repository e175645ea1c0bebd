import { collectConflicts } from 'pouchdb-merge';
import { BodyPages } from '../store/body-pages.js';
import type { LevelDatabase } from '../store/level-database.js';
import type { StoredRecord } from '../store/record.js';
import type { StoredRevision } from '../store/types/records.js';
import type { AllDocsOptions, AllDocsResult, AllDocsRow, Doc } from './api.js';
import { fillAttachments } from './attachments.js';
import { parseStored } from './documents.js';

/** Documents in the order of their ids, or those of given ids. */
export async function allDocs(database: LevelDatabase, options: AllDocsOptions): Promise<AllDocsResult> {
  const total = database.docCount;
  const updateSeq = database.updateSeq;
  const rows =
    options.keys === undefined
      ? await rowsOfRange(database, options)
      : await rowsOfKeys(database, options, options.keys);
  const result = { total_rows: total, offset: options.skip, rows };
  return options.update_seq ? { ...result, update_seq: updateSeq } : result;
}

async function rowsOfRange(database: LevelDatabase, options: AllDocsOptions): Promise<AllDocsRow[]> {
  const { include_docs: includeDocs = false, conflicts = false, skip = 0, limit } = options;
  const start = keyOf(options.key) ?? keyOf(options.startkey);
  const end = keyOf(options.key) ?? keyOf(options.endkey);
  const { pages } = await database.list({
    ...(start === undefined ? {} : { start }),
    ...(end === undefined ? {} : { end }),
    inclusiveEnd: options.inclusive_end !== false,
    descending: options.descending === true,
    skip: Math.max(0, skip),
    ...(typeof limit === 'number' ? { limit: Math.max(0, limit) } : {}),
    bodies: includeDocs,
    records: includeDocs && conflicts,
    offset: false,
  });
  const rows: AllDocsRow[] = [];
  for await (const page of pages) {
    const found = page.map(({ id, rev, text, record }): FoundRow => {
      const row = { id, key: id, value: { rev } };
      return includeDocs ? { ...row, doc: shownDoc(text, rev, record as StoredRecord | undefined) } : row;
    });
    await fillRows(database, options, found);
    rows.push(...found);
  }
  return rows;
}

type FoundRow = Extract<AllDocsRow, { readonly id: string }>;

/** Page by page: what is dropped between the reading of a body and that of its attachments is missing. */
async function fillRows(
  database: LevelDatabase,
  { attachments = false, binary = false }: AllDocsOptions,
  rows: readonly AllDocsRow[],
): Promise<void> {
  if (!attachments) return;
  const docs = rows.map((row) => ('id' in row ? row.doc : undefined));
  await fillAttachments(database, docs, binary);
}

/** Nothing, in whatever form, is no bound; anything else that is no text is looked for as the text that it makes. */
const keyOf = (key: unknown): string | undefined => (key ? textOf(key) : undefined);

const textOf = (key: unknown): string => String(key);

function shownDoc(text: string | undefined, rev: string, record: StoredRecord | undefined): Doc | null {
  if (text === undefined) return null;
  const doc: Doc = { ...parseStored(text), _rev: rev };
  const conflicts = record === undefined ? [] : collectConflicts({ rev_tree: record.tree });
  if (conflicts.length > 0) doc._conflicts = conflicts;
  for (const attachment of Object.values(doc._attachments ?? {})) attachment.stub = true;
  return doc;
}

/** One row for each id, whether or not there is such a document; deleted ones are shown as such. */
async function rowsOfKeys(
  database: LevelDatabase,
  options: AllDocsOptions,
  keys: readonly unknown[],
): Promise<AllDocsRow[]> {
  const { include_docs: includeDocs = false, conflicts = false } = options;
  const records = await database.getMany(keys.map(textOf));
  const wanted = records.map((record) =>
    includeDocs && record !== undefined && !record.deleted ? { record, rev: record.winner } : undefined,
  );
  const bodies = new BodyPages<StoredRevision | undefined>(database);
  const rows: AllDocsRow[] = [];
  for await (const page of bodies.pages(wanted, (one) => one)) {
    const found = page.map(({ text }, at): AllDocsRow => {
      const record = records[rows.length + at];
      if (record === undefined) return { key: keys[rows.length + at], error: 'not_found' };
      const doc = includeDocs ? shownDoc(text, record.winner, conflicts ? record : undefined) : undefined;
      return rowOfKey(record, doc);
    });
    await fillRows(database, options, found);
    rows.push(...found);
  }
  return rows;
}

function rowOfKey({ id, winner: rev, deleted }: StoredRecord, doc: Doc | null | undefined): AllDocsRow {
  if (deleted) return { id, key: id, value: { rev, deleted: true }, doc: null };
  const row = { id, key: id, value: { rev } };
  return doc === undefined ? row : { ...row, doc };
}

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import { JsonReader } from '../../src/json/reader.js';
import { atOnce } from '../../src/json/turns.js';
import { createLogger } from '../../src/observe/log.js';
import { Tasks } from '../../src/observe/tasks.js';
import type { ReadLeaf } from '../../src/store/conflicts/types.js';
import { type Background, Databases, type StoreOptions } from '../../src/store/databases.js';
import { readDocument } from '../../src/store/document.js';
import { LevelDatabase } from '../../src/store/level-database.js';
import { bodySeq } from '../../src/store/record.js';
import type { Database } from '../../src/store/types/database.js';
import type { DocumentEdit, EditResult } from '../../src/store/types/edits.js';
import type { ListRange } from '../../src/store/types/listings.js';

export const OPTIONS: StoreOptions = {
  maxOpen: 10,
  memory: 64 << 20,
  writeBuffer: 1 << 20,
  cache: 1 << 20,
  chunkAbove: 4 << 20,
  sync: true,
};

/** For properties with thousands of writes, which are not about durability. */
export const QUICK: StoreOptions = { ...OPTIONS, sync: false };

/** Nothing is done in the background. */
export const IDLE: Background = {
  compaction: {
    automatic: false,
    minRatio: 2,
    minSlack: 1 << 29,
    minSize: 1 << 20,
    concurrency: 1,
    staleness: 0,
    from: '00:00',
    to: '24:00',
  },
  tasks: new Tasks(),
  log: createLogger({ level: 'silent' }),
};

/** An empty folder that is gone after the test. */
export async function newFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'causeway-store-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

/** Opens the one database of a folder; closed after the test at the latest. */
export async function openDatabase(folder: string, options: StoreOptions = QUICK): Promise<LevelDatabase> {
  const database = await LevelDatabase.open('db', join(folder, 'db'), join(folder, 'db.copy'), options);
  onTestFinished(() => database.close());
  return database;
}

/** All databases below a folder; closed after the test at the latest. */
export async function openDatabases(
  root: string,
  options: StoreOptions = QUICK,
  background: Background = IDLE,
): Promise<Databases> {
  const databases = await Databases.open(root, options, background);
  onTestFinished(() => databases.close());
  return databases;
}

/** A document without attachments as a write. */
export function parsed(document: object | string, newEdits = true): DocumentEdit {
  const text = typeof document === 'string' ? document : JSON.stringify(document);
  const options = { newEdits, maxSize: 8_000_000 };
  const { attachments, ...edit } = atOnce(readDocument(new JsonReader(text), options));
  if (attachments !== undefined) throw new Error('attachments have to be taken in first');
  return edit;
}

/** Revisions of a document as an entry of the journal keeps them. */
export async function kept(database: Database, id: string, ...revs: string[]): Promise<readonly ReadLeaf[]> {
  const record = database.get(id);
  if (record === undefined) throw new Error(`there is no ${id}`);
  const texts = await database.readMany(revs.map((rev) => ({ record, rev })));
  return revs.map((rev, at) => ({ rev, seq: bodySeq(record, rev), text: texts[at] }));
}

/** Interactive writes. */
export const put = (database: Database, ...documents: (object | string)[]): Promise<EditResult[]> =>
  database.write(
    documents.map((document) => parsed(document)),
    { newEdits: true },
  );

/** Replicated writes. */
export const replicate = (database: Database, ...documents: (object | string)[]): Promise<EditResult[]> =>
  database.write(
    documents.map((document) => parsed(document, false)),
    { newEdits: false },
  );

/** The revision that one write made. */
export function revOf(result: EditResult | undefined): string {
  if (result?.ok !== true) throw new Error('the write was refused', { cause: result });
  return result.rev;
}

/** What a write was answered: its revision, or the error. */
export const outcome = (result: EditResult): string => (result.ok ? result.rev : result.error.error);

/** A stored document as a value. */
export function body(database: Database, id: string, rev?: string): Record<string, unknown> | undefined {
  const record = database.get(id);
  const text = record === undefined ? undefined : database.read(record, rev ?? record.winner);
  return text === undefined ? undefined : (JSON.parse(text) as Record<string, unknown>);
}

/** The whole feed: `[seq, id, leaves, deleted]`. */
export async function feedOf(database: Database, since = 0, descending = false): Promise<FeedRow[]> {
  const rows: FeedRow[] = [];
  for await (const page of database.changes({ since, descending })) {
    for (const { seq, text } of page) {
      const row = JSON.parse(text) as {
        seq: string;
        id: string;
        changes: { rev: string }[];
        deleted?: boolean;
      };
      rows.push({
        seq,
        token: row.seq,
        id: row.id,
        revs: row.changes.map(({ rev }) => rev),
        deleted: row.deleted === true,
      });
    }
  }
  return rows;
}

export interface FeedRow {
  readonly seq: number;
  readonly token: string;
  readonly id: string;
  readonly revs: readonly string[];
  readonly deleted: boolean;
}

export interface Listed {
  readonly total: number;
  readonly offset: number;
  readonly ids: readonly string[];
  readonly texts: readonly (string | undefined)[];
}

/** A listing with all its rows. */
export async function listAll(database: Database, range: ListRange = {}): Promise<Listed> {
  const { total, offset, pages } = await database.list(range);
  const ids: string[] = [];
  const texts: (string | undefined)[] = [];
  for await (const page of pages) {
    for (const row of page) {
      ids.push(row.id);
      texts.push(row.text);
    }
  }
  return { total, offset, ids, texts };
}

/** Ids that trip up careless code, smallest first in LevelDB's order. */
export const ODD_IDS: readonly string[] = [
  '\u0000',
  '\u0000\u0000',
  ' ',
  '"',
  '"},{"rev":"1-x"}]',
  '%2F',
  '/',
  '0',
  '10',
  '2',
  '\\',
  'a',
  'a\u0000',
  'a/b?c#d',
  'aa',
  'constructor',
  'toString',
  'x'.repeat(5000),
  '\u007f',
  'ÿ',
  'ÿdocument-storeÿa',
  'Ā',
  'ā',
  '語',
  '\ue000',
  '\uffff',
  '😀',
  '😀\uffff',
];

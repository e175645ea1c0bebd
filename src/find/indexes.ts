import { idOf } from '../changes/rows.js';
import { textAt } from '../json/text.js';
import { Turns } from '../json/turns.js';
import { parseDefinition } from '../selector/index-keys.js';
import { selectorJson } from '../selector/text.js';
import { isObject, type Json } from '../selector/types.js';
import type { IndexStore } from '../store/indexes.js';
import { compareIds } from '../store/order.js';
import type { Database } from '../store/types/database.js';
import type { Index } from './types.js';

/** The documents by their ids, for which nothing has to be kept. */
export const ALL_DOCS: Index = {
  ddoc: null,
  name: '_all_docs',
  type: 'special',
  columns: [{ field: '_id', path: ['_id'], direction: 'asc' }],
  partial: undefined,
  isPartitioned: undefined,
};

const DESIGN_DOCUMENTS = { start: '_design/', end: '_design0', inclusiveEnd: false, offset: false };

/** What was read of a database, and up to where that is known to be so. */
interface Known {
  seq: number;
  readonly purgeSeq: number;
  readonly indexes: readonly Index[];
}

/** By what all views of a database have in common. */
const known = new WeakMap<IndexStore, Known>();

/**
 * All indexes of a database: its ids, then those of its design documents in the order of their ids.
 * @param seesAll whether nothing of the database is hidden from whoever asks
 */
export async function indexesOf(db: Database, seesAll: boolean): Promise<readonly Index[]> {
  if (!seesAll) return readIndexes(db);
  const { updateSeq: seq, purgeSeq } = db;
  const before = known.get(db.indexes);
  if (before?.purgeSeq === purgeSeq && !touchesDesigns(db, before.seq)) {
    before.seq = seq;
    return before.indexes;
  }
  const indexes = await readIndexes(db);
  known.set(db.indexes, { seq, purgeSeq, indexes });
  return indexes;
}

/** Whether a design document changed after a sequence, or may have. */
function touchesDesigns({ events, updateSeq }: Database, since: number): boolean {
  if (updateSeq === since) return false;
  return events.recent(since)?.some((row) => idOf(row).startsWith('_design/')) ?? true;
}

async function readIndexes(db: Database): Promise<readonly Index[]> {
  const indexes = [ALL_DOCS];
  const turns = new Turns();
  const { pages } = await db.list({ ...DESIGN_DOCUMENTS, bodies: true });
  for await (const page of pages) {
    for (const { id, text } of page) {
      if (text !== undefined) indexes.push(...indexesIn(id, text, db.isPartitioned));
      await turns.pass();
    }
  }
  return indexes;
}

/**
 * The indexes that a design document defines.
 * @param text of the document
 * @param inPartitions whether its database is partitioned
 */
export function indexesIn(ddoc: string, text: string, inPartitions: boolean): readonly Index[] {
  const { language, views, options } = JSON.parse(text) as Json;
  if (language !== 'query' || !isObject(views)) return [];
  const isPartitioned = inPartitions && !(isObject(options) && options.partitioned === false);
  return Object.entries(views)
    .sort(([a], [b]) => compareIds(a, b))
    .flatMap(([name, view]) => {
      if (!isObject(view) || !isObject(view.options) || !isObject(view.map)) return [];
      const definition = parseDefinition(textAt(text, ['views', name, 'map']));
      return definition === undefined
        ? []
        : [{ ddoc, name, type: 'json' as const, isPartitioned, ...definition }];
    });
}

/** An index as `_index` and `_explain` show it. */
export function indexJson({ ddoc, name, type, columns, partial, isPartitioned }: Index): Json {
  const filter = partial === undefined ? {} : { partial_filter_selector: selectorJson(partial) };
  const def = { fields: columns.map(({ field, direction }) => ({ [field]: direction })), ...filter };
  const scope = isPartitioned === undefined ? {} : { partitioned: isPartitioned };
  return { ddoc, name, type, ...scope, def };
}

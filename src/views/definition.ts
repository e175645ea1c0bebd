import { createHash } from 'node:crypto';
import { notFound } from '../errors.js';
import { textAt } from '../json/text.js';
import type { IndexStore } from '../store/indexes.js';
import type { Database } from '../store/types/database.js';
import type { ViewDefinition, ViewGroup } from './types.js';

type Members = Readonly<Record<string, unknown>>;

const isObject = (value: unknown): value is Members =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** The views of a design document as its winner has them now. @throws CouchError 404 */
export function readGroup(db: Database, id: string): ViewGroup {
  const record = db.get(id);
  if (record === undefined) throw notFound('missing');
  if (record.deleted) throw notFound('deleted');
  const key = `${String(record.seq)} ${record.winner} ${id}`;
  const groups = known.get(db.indexes) ?? new Map<string, ViewGroup>();
  known.set(db.indexes, groups);
  const group = groups.get(key) ?? groupOf(id, db.read(record, record.winner) ?? '{}', db.isPartitioned);
  if (groups.size >= MOST_KNOWN) groups.clear();
  groups.set(key, group);
  return group;
}

/** Groups of a database that were asked for, by their last change. */
const known = new WeakMap<IndexStore, Map<string, ViewGroup>>();
const MOST_KNOWN = 100;

/**
 * @param text of the design document
 * @param inPartitions whether its database is partitioned
 */
export function groupOf(id: string, text: string, inPartitions: boolean): ViewGroup {
  const { language, views, options } = JSON.parse(text) as Members;
  const {
    include_design: includeDesign,
    local_seq: localSeq,
    partitioned,
  } = isObject(options) ? options : {};
  const isPartitioned = inPartitions && partitioned !== false;
  const spoken = spokenIn(language);
  const parts = {
    language: spoken,
    views: viewsOf(isObject(views) ? views : {}, spoken === 'query' ? text : undefined),
    lib: isObject(views) && isObject(views.lib) ? JSON.stringify(views.lib) : '',
    includeDesign: includeDesign === true,
    localSeq: localSeq === true,
  };
  // Indexes without partitions have the signatures that they had before there were any.
  const rules = isPartitioned ? { ...parts, isPartitioned } : parts;
  const signature = createHash('md5').update(JSON.stringify(rules)).digest('hex');
  return { id, signature, ...parts, isPartitioned };
}

/** As it is given, but for the case of those that are spoken. */
function spokenIn(language: unknown): string {
  if (typeof language !== 'string') return 'javascript';
  const name = language.toLowerCase();
  return name === 'query' || name === 'javascript' ? name : language;
}

/**
 * In the order of their names, so that the order in which they are written makes no other index.
 * @param ordered the text of the design document, where the order of what stands for a map function counts
 */
function viewsOf(views: Members, ordered: string | undefined): readonly ViewDefinition[] {
  return Object.entries(views)
    .filter(([name]) => name !== 'lib')
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .flatMap(([name, view]) => (isObject(view) ? [viewOf(name, view, ordered)] : []));
}

const viewOf = (name: string, { map, reduce, options }: Members, ordered?: string): ViewDefinition => ({
  name,
  map: ordered === undefined ? JSON.stringify(map ?? null) : textAt(ordered, ['views', name, 'map']),
  reduce: typeof reduce === 'string' && reduce !== '' ? reduce : undefined,
  options: JSON.stringify(options ?? null),
  isRaw: isObject(options) && options.collation === 'raw',
});

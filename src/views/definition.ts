import { createHash } from 'node:crypto';
import { notFound } from '../errors.js';
import type { Database } from '../store/types.js';
import type { Language, ViewDefinition, ViewGroup } from './types.js';

type Members = Readonly<Record<string, unknown>>;

const isObject = (value: unknown): value is Members =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** The views of a design document as its winner has them now. @throws CouchError 404 */
export function readGroup(db: Database, id: string): ViewGroup {
  const record = db.get(id);
  if (record === undefined) throw notFound('missing');
  if (record.deleted) throw notFound('deleted');
  return groupOf(id, JSON.parse(db.read(record, record.winner) ?? '{}') as Members);
}

export function groupOf(id: string, { language, views, options }: Members): ViewGroup {
  const { include_design: includeDesign, local_seq: localSeq, collation } = isObject(options) ? options : {};
  const spoken: Language = language === 'query' ? 'query' : 'javascript';
  const parts = {
    language: spoken,
    views: viewsOf(isObject(views) ? views : {}),
    lib: isObject(views) && isObject(views.lib) ? JSON.stringify(views.lib) : '',
    includeDesign: includeDesign === true,
    localSeq: localSeq === true,
    isRaw: collation === 'raw',
  };
  return { id, signature: createHash('md5').update(JSON.stringify(parts)).digest('hex'), ...parts };
}

/** In the order of their names, so that the order in which they are written makes no other index. */
function viewsOf(views: Members): readonly ViewDefinition[] {
  return Object.entries(views)
    .filter(([name]) => name !== 'lib')
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .flatMap(([name, view]) => (isObject(view) ? [viewOf(name, view)] : []));
}

const viewOf = (name: string, { map, reduce, options }: Members): ViewDefinition => ({
  name,
  map: JSON.stringify(map ?? null),
  reduce: typeof reduce === 'string' && reduce !== '' ? reduce : undefined,
  options: JSON.stringify(options ?? null),
});

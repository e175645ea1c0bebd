import { compareIds } from '../store/order.js';
import type { Database } from '../store/types/database.js';
import { joinPath } from '../selector/path.js';
import { selectorJson } from '../selector/text.js';
import type { Json, Path, Selector } from '../selector/types.js';
import { NO_BOOKMARK } from './bookmark.js';
import { indexJson } from './indexes.js';
import { coversFields, pathsIn, type Plan, type Ranked } from './plan.js';
import { rangesOf } from './ranges.js';
import { isDescending, keysOf } from './rows.js';
import type { FindQuery, Index } from './types.js';

/** Stands for what is greater than every value. */
const MAX = '<MAX>';

/** What `_explain` says of a query. */
export function explain(
  { name, isPartitioned }: Pick<Database, 'name' | 'isPartitioned'>,
  plan: Plan,
  query: FindQuery,
): Json {
  const { index, isCovering } = plan;
  return {
    dbname: name,
    index: index === undefined ? null : indexJson(index),
    partitioned: isPartitioned,
    selector: selectorJson(query.selector),
    opts: options(query),
    limit: query.limit,
    skip: query.skip,
    fields: query.fields,
    index_candidates: candidates(plan, query),
    selector_hints: [hints(query.selector)],
    ...(index !== undefined && { mrargs: viewQuery(index, plan, query), covering: isCovering }),
  };
}

const options = (query: FindQuery): Json => ({
  use_index: query.useIndex,
  bookmark: query.bookmark ?? NO_BOOKMARK,
  limit: query.limit,
  skip: query.skip,
  sort: Object.fromEntries(query.sort.map(({ field, direction }) => [field, direction])),
  fields: query.fields,
  partition: query.partition ?? '',
  r: query.r,
  conflicts: query.conflicts,
  stale: query.stale,
  update: query.update,
  stable: query.stable,
  execution_stats: query.executionStats,
  allow_fallback: query.allowFallback,
});

/** The query as a view would be asked it. */
function viewQuery(index: Index, plan: Plan, query: FindQuery): Json {
  const descending = isDescending(query);
  const keys = plan.isEmpty ? [null, null] : index.type === 'special' ? idKeys(plan) : viewKeys(plan);
  const [start, end] = descending ? keys.toReversed() : keys;
  return {
    include_docs: !plan.isCovering && query.r === 1,
    view_type: 'map',
    reduce: false,
    partition: query.partition ?? null,
    start_key: start,
    end_key: end,
    direction: descending ? 'rev' : 'fwd',
    stable: query.stable || query.stale === 'ok',
    update: query.update && query.stale === false,
    // What Erlang has for nothing.
    conflicts: query.conflicts ? true : 'undefined',
  };
}

const idKeys = ({ ranges: [range] }: Plan): readonly unknown[] => [
  range?.low === undefined ? null : range.low.value,
  range?.high === undefined ? MAX : range.high.value,
];

function viewKeys({ ranges }: Plan): readonly unknown[] {
  const { start, end } = keysOf(ranges);
  return [start, [...end, MAX]];
}

// ---- the other indexes ----------------------------------------------------------------------------------------

interface Candidate {
  readonly index: Index;
  readonly usable: boolean;
  readonly reason: string;
  /** The less, the nearer it was to be chosen. */
  readonly ranking: number;
}

function candidates(plan: Plan, { fields }: FindQuery): readonly Json[] {
  return ranked(plan)
    .toSorted((a, b) => byName(b.index, a.index))
    .map(({ index, usable, reason, ranking }) => ({
      index: indexJson(index),
      analysis: {
        usable,
        reasons: [{ name: reason }],
        ranking,
        covering: index.type === 'json' ? coversFields(index, fields) : null,
      },
    }));
}

const byName = (a: Index, b: Index): number =>
  compareIds(a.ddoc ?? '', b.ddoc ?? '') || compareIds(a.name, b.name);

/** Each index that was not taken, with why. */
function ranked({ steps }: Plan): readonly Candidate[] {
  const { sorted, unfavored, excluded, refused, elsewhere, partial } = steps;
  const found = sorted.slice(1).map((one, at): Candidate => ({
    index: one.index,
    usable: true,
    reason: lessFit(one, sorted[0]),
    ranking: at + 1,
  }));
  let ranking = Math.max(1, sorted.length);
  const add = (indexes: readonly Index[], usable: boolean, reasonOf: (index: Index) => string): void => {
    found.push(...indexes.map((index) => ({ index, usable, reason: reasonOf(index), ranking })));
    if (indexes.length > 0) ranking++;
  };
  add(unfavored, true, () => 'unfavored_type');
  add(excluded, true, () => 'excluded_by_user');
  add([...refused.keys()], false, (index) => refused.get(index) ?? '');
  add(elsewhere, false, () => 'scope_mismatch');
  add(partial, false, () => 'is_partial');
  return found;
}

function lessFit({ index, distance }: Ranked, best: Ranked | undefined): string {
  if (distance > 0) return 'less_overlap';
  const columns = best?.index.columns.length ?? 0;
  return index.columns.length > columns ? 'too_many_fields' : 'alphabetically_comes_after';
}

// ---- hints ----------------------------------------------------------------------------------------------------

function hints(selector: Selector): Json {
  const indexable = [...(rangesOf(selector)?.keys() ?? pathsIn(selector))];
  const known = new Set(indexable);
  return {
    type: 'json',
    indexable_fields: names(indexable),
    unindexable_fields: names(pathsIn(selector).filter((path) => !known.has(path))),
  };
}

const names = (keys: readonly string[]): readonly string[] =>
  [...new Set(keys)].map((key) => joinPath(JSON.parse(key) as Path)).sort(compareIds);

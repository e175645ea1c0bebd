import { mangoError } from '../errors.js';
import { compareIds } from '../store/order.js';
import { parsePath } from '../selector/path.js';
import type { Path, Selector } from '../selector/types.js';
import { ALL_DOCS } from './indexes.js';
import { isPoint, pathKey, type Range, rangesOf } from './ranges.js';
import type { FindQuery, Index } from './types.js';

/** How a query could be answered. */
export interface Plan {
  /** Undefined where none can be used, which `_explain` alone tells. */
  readonly index: Index | undefined;
  /** Of the first columns of the index, as far as the selector says something of them. */
  readonly ranges: readonly Range[];
  /** Whether no document can fit. */
  readonly isEmpty: boolean;
  /** Whether the index has all that is asked for, so that no document has to be read. */
  readonly isCovering: boolean;
  /** Why it is this index. */
  readonly steps: Steps;
}

export type Refusal = 'field_mismatch' | 'sort_order_mismatch';

/** What became of the indexes, step by step. */
export interface Steps {
  readonly all: readonly Index[];
  /** Indexes with a filter of their own that were not asked for, or do not fit. */
  readonly partial: readonly Index[];
  /** Those of the whole database where one partition is asked for, or the other way round. */
  readonly elsewhere: readonly Index[];
  readonly refused: ReadonlyMap<Index, Refusal>;
  /** Those that could be used, but others were asked for. */
  readonly excluded: readonly Index[];
  /** Those that could be used, but others are of a better type. */
  readonly unfavored: readonly Index[];
  /** The best first. */
  readonly sorted: readonly Ranked[];
}

/** An index with what it knows of a selector. */
export interface Ranked {
  readonly index: Index;
  readonly ranges: readonly Range[];
  /** How many fields of the selector it does not have. */
  readonly distance: number;
}

/**
 * Picks an index as CouchDB does: the one that has the most of the selector, then the one with the fewest columns, then
 * the first by its names.
 * @param toRun whether the caller refuses a query that no index can be used for, whatever it asks for
 * @throws CouchError 400 where there is none that may be used
 */
export function planFind(indexes: readonly Index[], query: FindQuery, toRun = false): Plan {
  const { selector, useIndex, allowFallback } = query;
  const ranges = rangesOf(selector);
  const wantsOne = query.partition !== undefined;
  const wanted: Wanted = {
    certain: isEmptyOr(selector) ? undefined : certainFields(selector),
    constant: constantFields(selector),
    order: query.sort.map(({ field }) => keyOf(field)),
    isAboutIds: ranges?.has(ID) ?? false,
  };
  const asked = indexes.filter((index) => isAsked(index, useIndex));
  const isAskedAndFits = (index: Index): boolean =>
    asked.includes(index) && refusalOf(index, wanted) === undefined;
  const partial = indexes.filter((index) => index.partial !== undefined && !isAskedAndFits(index));
  const whole = indexes.filter((index) => !partial.includes(index));
  const elsewhere = whole.filter(({ isPartitioned = wantsOne }) => isPartitioned !== wantsOne);
  const refused = new Map<Index, Refusal>();
  const usable: Index[] = [];
  for (const index of whole) {
    if (elsewhere.includes(index)) continue;
    const refusal = refusalOf(index, wanted);
    if (refusal === undefined) usable.push(index);
    else refused.set(index, refusal);
  }
  const preferred = usable.filter((index) => asked.includes(index));
  const mayFallBack =
    allowFallback || (useIndex.length === 0 && usable.length > 1) || (toRun && usable.length === 0);
  if (preferred.length === 0 && !mayFallBack) throw noIndex(useIndex);
  const filtered = preferred.length > 0 ? preferred : usable;
  const ofViews = filtered.filter(({ type }) => type === 'json');
  const chosen = ofViews.length > 0 ? ofViews : filtered;
  const sorted = rank(chosen, ranges ?? new Map<string, Range>());
  const [best] = sorted;
  return {
    index: best?.index,
    ranges: best?.ranges ?? [],
    isEmpty: ranges === undefined,
    isCovering: best !== undefined && covers(best.index, neededFields(query)),
    steps: {
      all: indexes,
      partial,
      elsewhere,
      refused,
      excluded: usable.filter((index) => !filtered.includes(index)),
      unfavored: filtered.filter((index) => !chosen.includes(index)),
      sorted,
    },
  };
}

/**
 * A plan that can be carried out.
 * @param isPartitioned whether the database is
 * @throws CouchError 400 where no index has the order that is asked for
 */
export function planToRun(indexes: readonly Index[], query: FindQuery, isPartitioned: boolean): Runnable {
  const plan = planFind(indexes, query, true);
  if (plan.index !== undefined) return { ...plan, index: plan.index };
  const kind = !isPartitioned ? '' : query.partition === undefined ? 'global ' : 'partitioned ';
  const reason = `No ${kind}index exists for this sort, try indexing by the sort fields.`;
  throw mangoError('no_usable_index', reason);
}

export type Runnable = Plan & { readonly index: Index };

/** Whether an index is one of those that `use_index` names. */
export function isAsked({ ddoc, name }: Index, [design, view]: readonly string[]): boolean {
  if (design === undefined || ddoc !== `_design/${design}`) return false;
  return view === undefined || name === view;
}

/** How `use_index` is shown. */
export const askedName = ([design = '', ...view]: readonly string[]): string =>
  [`_design/${design}`, ...view].join(', ');

function noIndex(useIndex: readonly string[]): Error {
  if (useIndex.length === 0)
    return mangoError('invalid_index', 'You must specify an index with the `use_index` parameter.');
  const reason = `${askedName(useIndex)} specified by \`use_index\` could not be found or it is not suitable.`;
  return mangoError('invalid_index', reason);
}

// ---- which indexes can be used --------------------------------------------------------------------------------

const keyOf = (field: string): string => pathKey(parsePath(field));

const ID = pathKey(['_id']);
const REV = pathKey(['_rev']);

/** What is asked of an index. */
interface Wanted {
  /** The fields that all documents have that fit; undefined where none can fit. */
  readonly certain: ReadonlySet<string> | undefined;
  /** Those of them that are the same in all of these documents. */
  readonly constant: ReadonlySet<string>;
  readonly order: readonly string[];
  /** Whether the selector says something of ids that the database can look for. */
  readonly isAboutIds: boolean;
}

function refusalOf(index: Index, { certain, constant, order, isAboutIds }: Wanted): Refusal | undefined {
  if (index === ALL_DOCS) {
    if (order.length === 0) return undefined;
    if (!isAboutIds) return 'field_mismatch';
    return order.length === 1 && order[0] === ID ? undefined : 'sort_order_mismatch';
  }
  const columns = index.columns.map(({ path }) => pathKey(path));
  const isIn = (column: string): boolean =>
    certain === undefined || certain.has(column) || order.includes(column) || column === ID || column === REV;
  if (!columns.every(isIn)) return 'field_mismatch';
  return hasOrder(columns, order, constant) ? undefined : 'sort_order_mismatch';
}

/** What finds nothing, so that any index will do. Within another selector it fits everything. */
const isEmptyOr = (selector: Selector): boolean => selector.kind === 'or' && selector.parts.length === 0;

/** Fields without which no document fits: an index on others would lack some that do. */
function certainFields(selector: Selector): ReadonlySet<string> {
  switch (selector.kind) {
    case 'and':
      return new Set(selector.parts.flatMap((part) => [...certainFields(part)]));
    case 'or': {
      const [first, ...others] = selector.parts.map(certainFields);
      return new Set([...(first ?? [])].filter((field) => others.every((other) => other.has(field))));
    }
    case 'field': {
      const { operator, argument, negated } = selector.test;
      const mayLack = operator === '$exists' && argument === false && !negated;
      return new Set(mayLack ? [] : [pathKey(selector.path)]);
    }
    case 'not':
    case 'everything':
      return new Set();
  }
}

function constantFields(selector: Selector): ReadonlySet<string> {
  if (selector.kind === 'and') return new Set(selector.parts.flatMap((part) => [...constantFields(part)]));
  const isConstant = selector.kind === 'field' && selector.test.operator === '$eq' && !selector.test.negated;
  return new Set(isConstant ? [pathKey(selector.path)] : []);
}

/** Whether rows of an index come in an order, but for columns before that are always the same. */
function hasOrder(
  columns: readonly string[],
  order: readonly string[],
  constant: ReadonlySet<string>,
): boolean {
  if (order.length === 0) return true;
  const [first] = columns;
  if (first === undefined) return false;
  if (first === order[0]) return order.every((field, at) => field === columns[at]);
  return constant.has(first) && hasOrder(columns.slice(1), order, constant);
}

// ---- which one is best ----------------------------------------------------------------------------------------

function rank(indexes: readonly Index[], ranges: ReadonlyMap<string, Range>): readonly Ranked[] {
  const ranked = indexes.map((index) => {
    const own = prefix(index, ranges);
    return { index, ranges: own, distance: ranges.size - own.length };
  });
  return ranked.sort(
    (a, b) =>
      a.distance - b.distance ||
      a.index.columns.length - b.index.columns.length ||
      compareIds(a.index.ddoc ?? '', b.index.ddoc ?? '') ||
      compareIds(a.index.name, b.index.name),
  );
}

/** The ranges of the first columns. */
function prefix(index: Index, ranges: ReadonlyMap<string, Range>): readonly Range[] {
  const found: Range[] = [];
  for (const { path } of index.columns) {
    const range = ranges.get(pathKey(path));
    if (range === undefined) break;
    found.push(index.type === 'json' ? asCollated(path, range) : range);
  }
  return found;
}

/** A view has ids in another order than the database, by which they are compared. */
const asCollated = (path: Path, range: Range): Range =>
  pathKey(path) === ID && !isPoint(range) ? {} : range;

// ---- covering indexes -----------------------------------------------------------------------------------------

/** What has to be known of a document to answer; undefined for all of it. */
function neededFields({ fields, selector, conflicts }: FindQuery): readonly string[] | undefined {
  if (fields.length === 0 || conflicts) return undefined;
  return [...fields.map(keyOf), ...pathsIn(selector)];
}

/** Of each field that a selector is about, the key of its path. */
export function pathsIn(selector: Selector): readonly string[] {
  if (selector.kind === 'and' || selector.kind === 'or') return selector.parts.flatMap(pathsIn);
  return selector.kind === 'field' ? [pathKey(selector.path)] : [];
}

/** Whether an index has all of these fields. */
export function covers(index: Index, fields: readonly string[] | undefined): boolean {
  if (index.type !== 'json' || fields === undefined) return false;
  const has = new Set([ID, ...index.columns.map(({ path }) => pathKey(path))]);
  return fields.every((field) => has.has(field));
}

/** Whether an index has the fields that are shown. */
export const coversFields = (index: Index, fields: readonly string[]): boolean =>
  covers(index, fields.length === 0 ? undefined : fields.map(keyOf));

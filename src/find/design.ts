import { createHash } from 'node:crypto';
import { mangoError, searchMissing } from '../errors.js';
import { erlangTerm } from '../json/erlang.js';
import { quote } from '../json/quote.js';
import { members } from '../json/text.js';
import { MOST_COLUMNS } from '../selector/index-keys.js';
import { parseSelector } from '../selector/parse.js';
import { parsePath } from '../selector/path.js';
import { selectorJson } from '../selector/text.js';
import { isObject } from '../selector/types.js';
import { type Body, onlyKeys, positive, required, valueOf } from './options.js';
import { parseSort } from './sort.js';
import type { SortField } from './types.js';

/** An index that a client wants to have. */
export interface WantedIndex {
  /** Id of its design document. */
  readonly ddoc: string;
  readonly name: string;
  /** What stands in the design document, as JSON text. */
  readonly view: string;
  readonly partitioned: boolean | undefined;
}

const KEYS: ReadonlySet<string> = new Set(['index', 'type', 'name', 'ddoc', 'w', 'partitioned']);
const DEFINITION_KEYS: ReadonlySet<string> = new Set(['fields', 'partial_filter_selector']);

/** What the body of a request to make an index asks for. @throws CouchError */
export function parseIndex(body: Body): WantedIndex {
  const given = required(body, 'index');
  const type = body.has('type') ? text(valueOf(body, 'type')) : 'json';
  const name = label(body, 'name');
  const ddoc = label(body, 'ddoc');
  if (body.has('w')) positive(valueOf(body, 'w'));
  const partitioned = partitionedOf(body.has('partitioned') ? valueOf(body, 'partitioned') : undefined);
  onlyKeys(body.keys(), KEYS);
  if (type === 'text' || type === 'nouveau') throw searchMissing(type);
  if (type !== 'json') throw mangoError('invalid_index', `Invalid type for index: ${type}`);
  const view = viewText(given, body.get('index') ?? '');
  const own = createHash('sha1')
    // One of another scope is another index.
    .update(JSON.stringify([view, name, ddoc, partitioned]))
    .digest('hex');
  return { ddoc: designId(ddoc ?? own), name: name ?? own, view, partitioned };
}

export const designId = (name: string): string => (name.startsWith('_design/') ? name : `_design/${name}`);

function text(value: unknown): string {
  if (typeof value === 'string') return value;
  throw mangoError('invalid_string', `Invalid string: ${erlangTerm(value)}`);
}

function label(body: Body, key: string): string | undefined {
  if (!body.has(key)) return undefined;
  const value = text(valueOf(body, key));
  if (value === '') throw mangoError('invalid_empty_string', 'Index name or ddoc cannot be empty string');
  return value;
}

function partitionedOf(value: unknown): boolean | undefined {
  if (value === undefined || typeof value === 'boolean') return value;
  throw mangoError('invalid_partitioned_value', `Invalid value for partitioned: ${erlangTerm(value)}`);
}

/** @param given the definition, and as it was written: design documents keep that. @throws CouchError 400 */
function viewText(given: unknown, written: string): string {
  if (!isObject(given))
    throw mangoError('invalid_index', `JSON indexes must be an object, not: ${erlangTerm(given)}`);
  const definition = members(written) ?? new Map<string, string>();
  const columns = parseSort(required(definition, 'fields'));
  const filter = parseSelector(valueOf(definition, 'partial_filter_selector') ?? {});
  onlyKeys(definition.keys(), DEFINITION_KEYS);
  for (const { field } of columns) parsePath(field);
  if (columns.length > MOST_COLUMNS)
    throw mangoError('invalid_index', `An index may have at most ${String(MOST_COLUMNS)} fields.`);
  const map = `{"fields":${fieldsText(columns)},"partial_filter_selector":${JSON.stringify(selectorJson(filter))}}`;
  return `{"map":${map},"reduce":"_count","options":{"def":${written}}}`;
}

/** As text, which keeps the order of fields whatever their names. */
function fieldsText(columns: readonly SortField[]): string {
  const directions = new Map(columns.map(({ field, direction }) => [field, direction]));
  return `{${Array.from(directions, ([field, direction]) => `${quote(field)}:"${direction}"`).join(',')}}`;
}

// ---- design documents -----------------------------------------------------------------------------------------

/**
 * A design document with an index in it.
 * @param before the members of the document as it is; undefined where there is none
 * @returns its members, without braces; undefined where it has the index already
 * @throws CouchError 400 where the document is of another kind
 */
export function withIndex(before: string | undefined, index: WantedIndex): string | undefined {
  const document = membersOf(before ?? '"language":"query"');
  requireQuery(document);
  if (before !== undefined) requirePartitioned(document, index);
  const views = members(document.get('views') ?? '{}') ?? new Map<string, string>();
  if (views.get(index.name) === index.view) return undefined;
  views.set(index.name, index.view);
  document.set('views', `{${join(views)}}`);
  if (before === undefined && index.partitioned !== undefined)
    document.set('options', `{"partitioned":${String(index.partitioned)}}`);
  return join(document);
}

/**
 * A design document without some of its views.
 * @returns its members, without braces; undefined where nothing is left of it
 */
export function withoutIndexes(before: string, names: Iterable<string>): string | undefined {
  const document = membersOf(before);
  const views = members(document.get('views') ?? '{}') ?? new Map<string, string>();
  for (const name of names) views.delete(name);
  if (views.size > 0) document.set('views', `{${join(views)}}`);
  else document.delete('views');
  return document.size === 1 && document.has('language') ? undefined : join(document);
}

const membersOf = (body: string): Map<string, string> => members(`{${body}}`) ?? new Map<string, string>();

const join = (texts: ReadonlyMap<string, string>): string =>
  Array.from(texts, ([name, value]) => `${quote(name)}:${value}`).join(',');

function requireQuery(document: ReadonlyMap<string, string>): void {
  const language = document.get('language');
  if (language === '"query"') return;
  const found =
    language === undefined ? 'false' : `{${erlangTerm('language')},${erlangTerm(JSON.parse(language))}}`;
  throw mangoError('invalid_ddoc_lang', `Existing design doc has an invalid language: ${found}`);
}

/** What a design document says of partitions stays as it is. */
function requirePartitioned(document: ReadonlyMap<string, string>, { ddoc, partitioned }: WantedIndex): void {
  const options: unknown = JSON.parse(document.get('options') ?? '{}');
  const said =
    isObject(options) && typeof options.partitioned === 'boolean' ? options.partitioned : undefined;
  if (said === partitioned) return;
  throw mangoError(
    'invalid_partitioned_option',
    `Requested partitioned option does not match existing value on design document ${ddoc}`,
  );
}

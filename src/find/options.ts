import { badRequest, type CouchError, mangoError, queryParseError } from '../errors.js';
import { erlangTerm } from '../json/erlang.js';
import { compileFields, parseFields } from '../selector/fields.js';
import { parseSelector } from '../selector/parse.js';
import { requirePartition } from '../store/partitions.js';
import { parseSort } from './sort.js';
import type { FindQuery } from './types.js';

/** The members of a JSON body, each as text. */
export type Body = ReadonlyMap<string, string>;

/** Characters of one member: reading it is not interrupted, and selectors are asked about every document. */
const MAX_MEMBER = 100_000;

/** The member of a body as a value. @throws CouchError 400 */
export function valueOf(body: Body, name: string): unknown {
  const text = body.get(name);
  if (text === undefined) return undefined;
  if (text.length > MAX_MEMBER) throw badRequest(`${name} must not be longer than ${MAX_MEMBER} characters`);
  return JSON.parse(text) as unknown;
}

export function required(body: Body, name: string): unknown {
  if (!body.has(name)) throw mangoError('missing_required_key', `Missing required key: ${name}`);
  return valueOf(body, name);
}

/** @throws CouchError 400 where there is a member of another name */
export function onlyKeys(body: Iterable<string>, known: ReadonlySet<string>): void {
  for (const name of body) {
    if (!known.has(name)) throw mangoError('invalid_key', `Invalid key ${name} for this request.`);
  }
}

const KEYS: ReadonlySet<string> = new Set([
  'selector',
  'use_index',
  'bookmark',
  'limit',
  'skip',
  'sort',
  'fields',
  'partition',
  'r',
  'conflicts',
  'stale',
  'update',
  'stable',
  'execution_stats',
  'allow_fallback',
]);

const DEFAULT_LIMIT = 25;

/**
 * What the body of `_find` or `_explain` asks for.
 * @param partition of the URL
 * @param isPartitioned whether the database is
 * @throws CouchError
 */
export function parseFind(body: Body, partition: string | undefined, isPartitioned: boolean): FindQuery {
  const selector = parseSelector(required(body, 'selector'));
  const given = (name: string, otherwise: unknown): unknown =>
    body.has(name) ? valueOf(body, name) : otherwise;
  const query: FindQuery = {
    selector,
    partition: partitionIn(given('partition', ''), partition, isPartitioned),
    useIndex: useIndex(given('use_index', [])),
    bookmark: bookmark(given('bookmark', '')),
    limit: nonNegative(given('limit', DEFAULT_LIMIT)),
    skip: nonNegative(given('skip', 0)),
    sort: parseSort(given('sort', [])),
    fields: parseFields(given('fields', [])),
    r: positive(given('r', 1)),
    conflicts: boolean(given('conflicts', false)),
    stale: stale(given('stale', false)),
    update: boolean(given('update', true)),
    stable: boolean(given('stable', false)),
    executionStats: boolean(given('execution_stats', false)),
    allowFallback: boolean(given('allow_fallback', true)),
  };
  onlyKeys(body.keys(), KEYS);
  compileFields(query.fields);
  return query;
}

// ---- single options -------------------------------------------------------------------------------------------

export function useIndex(value: unknown): readonly string[] {
  if (value === null) return [];
  const names: unknown = typeof value === 'string' ? value.split('/') : value;
  if (!Array.isArray(names) || !names.every((name) => typeof name === 'string')) throw badName(value);
  const parts =
    typeof value === 'string' && names.length > 1 && names[0] === '_design' ? names.slice(1) : names;
  if (parts.length > 2) throw badName(value);
  const [ddoc, ...index] = parts;
  return ddoc === undefined ? [] : [ddoc.replace(/^_design\//, ''), ...index];
}

const badName = (value: unknown): CouchError =>
  mangoError('invalid_index_name', `Invalid index name: ${erlangTerm(value)}`);

function bookmark(value: unknown): string | undefined {
  if (value === null || value === '') return undefined;
  if (typeof value === 'string') return value;
  throw mangoError('invalid_bookmark', `Invalid bookmark value: ${JSON.stringify(value)}`);
}

function nonNegative(value: unknown): number {
  const count = asCount(value);
  if (count !== undefined) return count;
  const reason = `${erlangTerm(value)} is not an integer greater than or equal to zero`;
  throw mangoError('invalid_non_neg_integer', reason);
}

/** CouchDB takes whole numbers of any size that are written without an exponent; large ones mean that there is no limit. */
const asCount = (value: unknown): number | undefined =>
  typeof value === 'number' && Number.isInteger(value) && value >= 0 && value < 1e21
    ? Math.min(value, Number.MAX_SAFE_INTEGER)
    : undefined;

export function positive(value: unknown): number {
  const count = asCount(value);
  if (count !== undefined && count > 0) return count;
  throw mangoError('invalid_pos_integer', `${erlangTerm(value)} is not an integer greater than zero`);
}

function boolean(value: unknown): boolean {
  if (typeof value === 'boolean') return value;
  throw mangoError('invalid_boolean', `Invalid boolean value: ${erlangTerm(value)}`);
}

function stale(value: unknown): 'ok' | false {
  if (value === 'ok') return value;
  if (value === false || value === 'false') return false;
  throw mangoError('invalid_ok_or_false_value', `Invalid value for stale: ${erlangTerm(value)}`);
}

/** The partition that a query is about: of the body, where an empty one means all documents, or else of the URL. */
function partitionIn(value: unknown, ofUrl: string | undefined, isPartitioned: boolean): string | undefined {
  if (ofUrl !== undefined && value !== '' && value !== ofUrl)
    throw mangoError('bad_partition', 'The body names another partition than the URL.');
  const partition = value === '' ? ofUrl : value;
  if (partition === undefined) return undefined;
  requirePartition(partition);
  if (!isPartitioned) throw queryParseError('`partition` parameter is not supported on this db');
  return partition;
}

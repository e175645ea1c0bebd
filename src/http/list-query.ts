import { badRequest, queryParseError } from '../errors.js';
import type { ListRange } from '../store/types.js';
import { jsonParameter, parseBoolean, parseCount } from './query.js';

/** The parameters that `_all_docs` and its relatives share with views. */
export interface ListQuery {
  startKey: unknown;
  endKey: unknown;
  startDocid: string | undefined;
  endDocid: string | undefined;
  keys: readonly unknown[] | undefined;
  descending: boolean;
  inclusiveEnd: boolean;
  skip: number;
  limit: number;
  includeDocs: boolean;
  conflicts: boolean;
  attachments: boolean;
  /** How attachments are compressed is shown. */
  encodingInfo: boolean;
  updateSeq: boolean;
  reduce: boolean;
  grouped: boolean;
}

export const emptyListQuery = (): ListQuery => ({
  startKey: undefined,
  endKey: undefined,
  startDocid: undefined,
  endDocid: undefined,
  keys: undefined,
  descending: false,
  inclusiveEnd: true,
  skip: 0,
  limit: Infinity,
  includeDocs: false,
  conflicts: false,
  attachments: false,
  encodingInfo: false,
  updateSeq: false,
  reduce: false,
  grouped: false,
});

/**
 * Takes over parameters of a URL (text) or of a body (values); later ones win, unknown ones are ignored.
 * @throws CouchError
 */
export function readListQuery(
  query: ListQuery,
  parameters: Iterable<readonly [key: string, value: unknown]>,
  decoded = false,
): ListQuery {
  for (const [key, value] of parameters) readParameter(query, key, value, decoded);
  return query;
}

function readParameter(query: ListQuery, key: string, value: unknown, decoded: boolean): void {
  const json = (): unknown => (decoded ? value : jsonParameter(String(value)));
  switch (key) {
    case 'key':
      query.startKey = query.endKey = json();
      break;
    case 'keys':
      readKeys(query, json());
      break;
    case 'startkey':
    case 'start_key':
      query.startKey = json();
      break;
    case 'endkey':
    case 'end_key':
      query.endKey = json();
      break;
    case 'startkey_docid':
    case 'start_key_doc_id':
      query.startDocid = String(value);
      break;
    case 'endkey_docid':
    case 'end_key_doc_id':
      query.endDocid = String(value);
      break;
    case 'limit':
      query.limit = parseCount(value, decoded);
      break;
    case 'skip':
      query.skip = parseCount(value, decoded);
      break;
    case 'group_level':
      query.grouped = parseCount(value, decoded) > 0;
      break;
    default:
      readSwitch(query, key, value);
  }
}

/** A single key is a range; where keys were given already they stay, as CouchDB has it. */
function readKeys(query: ListQuery, keys: unknown): void {
  if (!Array.isArray(keys)) throw queryParseError('`keys` must be an array of strings.');
  if (keys.length === 1) query.startKey = query.endKey = keys[0] as unknown;
  else query.keys = keys;
}

function readSwitch(query: ListQuery, key: string, value: unknown): void {
  switch (key) {
    case 'descending':
      query.descending = parseBoolean(value);
      break;
    case 'inclusive_end':
      query.inclusiveEnd = parseBoolean(value);
      break;
    case 'include_docs':
      query.includeDocs = parseBoolean(value);
      break;
    case 'conflicts':
      query.conflicts = parseBoolean(value);
      break;
    case 'attachments':
      query.attachments = parseBoolean(value);
      break;
    case 'att_encoding_info':
      query.encodingInfo = parseBoolean(value);
      break;
    case 'update_seq':
      query.updateSeq = parseBoolean(value);
      break;
    case 'reduce':
      query.reduce = parseBoolean(value);
      break;
    case 'group':
      query.grouped = parseBoolean(value);
      break;
    case 'sorted':
      parseBoolean(value);
      break;
    case 'stale':
    case 'stable':
    case 'update':
      readFreshness(key, value);
      break;
    case 'partition':
      throw queryParseError('`partition` parameter is not supported on this db');
  }
}

const FRESHNESS: Readonly<Record<string, readonly unknown[]>> = {
  stale: ['ok', 'update_after'],
  stable: ['true', 'false', true, false],
  update: ['true', 'false', 'lazy', true, false],
};

function readFreshness(key: string, value: unknown): void {
  if (!FRESHNESS[key]?.includes(value)) throw queryParseError(`Invalid value for \`${key}\`.`);
}

/** What CouchDB refuses for a list of documents. @throws CouchError */
export function checkListQuery({ keys, startKey, endKey, reduce, grouped }: ListQuery): void {
  if (reduce) throw queryParseError('Reduce is invalid for map-only views.');
  if (grouped) throw queryParseError('Invalid use of grouping on a map view.');
  if (keys === undefined || keys.length === 0) return;
  if (startKey === undefined && endKey === undefined) return;
  if (keys.length === 1 && keys[0] === startKey && keys[0] === endKey) return;
  throw queryParseError('`keys` is incompatible with `key`, `start_key` and `end_key`');
}

/** `keys` in a request body or a URL, before anything else is read of it. @throws CouchError */
export function keysOf(value: unknown, where: string): readonly unknown[] {
  if (!Array.isArray(value)) throw badRequest(`\`keys\` ${where} must be an array.`);
  return value;
}

/** The range of ids that the keys mean: anything that is no text sorts before all of them. */
export function idRange(query: ListQuery): ListRange {
  const { descending } = query;
  const { startKey = query.startDocid, endKey = query.endDocid } = query;
  const start = bound(startKey, descending);
  const end = bound(endKey, !descending);
  return {
    ...(start !== undefined && { start }),
    ...(end !== undefined && { end }),
    inclusiveEnd: query.inclusiveEnd,
    descending,
    skip: query.skip,
    ...(query.limit !== Infinity && { limit: query.limit }),
  };
}

const bound = (key: unknown, upper: boolean): string | undefined =>
  typeof key === 'string' || key === undefined ? key : upper ? '' : undefined;

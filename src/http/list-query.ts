import { badRequest, queryParseError } from '../errors.js';
import { elements, members } from '../json/text.js';
import { partitionRange, requirePartition } from '../store/partitions.js';
import type { ListRange } from '../store/types/listings.js';
import type { GroupLevel } from '../views/reductions.js';
import type { UpdateMode } from '../views/types.js';
import type { Exchange } from './exchange.js';
import { jsonParameter, parseBoolean, parseCount } from './query.js';

/** The parameters of `_all_docs`, its relatives, and views. */
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
  conflicts: boolean | undefined;
  attachments: boolean;
  /** How attachments are compressed is shown. */
  encodingInfo: boolean;
  updateSeq: boolean;
  /** Means nothing for documents. */
  update: UpdateMode;
  reduce: boolean | undefined;
  group: boolean | undefined;
  groupLevel: number | undefined;
  /** Undefined where all are meant, or none can be. */
  partition: string | undefined;
}

/** No limit may be as large as that. */
const MOST = 2n ** 59n;

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
  conflicts: undefined,
  attachments: false,
  encodingInfo: false,
  updateSeq: false,
  update: 'true',
  reduce: undefined,
  group: undefined,
  groupLevel: undefined,
  partition: undefined,
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
      if (query.limit > MOST)
        throw queryParseError(`Limit is too large, must not exceed ${String(MOST - 1n)}`);
      break;
    case 'skip':
      query.skip = parseCount(value, decoded);
      break;
    case 'group_level':
      query.groupLevel = parseCount(value, decoded);
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
      query.group = parseBoolean(value);
      break;
    case 'sorted':
      parseBoolean(value);
      break;
    case 'stale':
    case 'stable':
    case 'update':
      readFreshness(query, key, value);
      break;
    case 'partition':
      requirePartition(value);
      query.partition = value;
      break;
  }
}

/** What the values of these say of the index, if anything. */
const FRESHNESS = {
  stale: new Map<unknown, UpdateMode>([
    ['ok', 'false'],
    ['update_after', 'lazy'],
  ]),
  stable: new Map<unknown, undefined>(['true', 'false', true, false].map((value) => [value, undefined])),
  update: new Map<unknown, UpdateMode>([
    ['true', 'true'],
    [true, 'true'],
    ['false', 'false'],
    [false, 'false'],
    ['lazy', 'lazy'],
  ]),
};

function readFreshness(query: ListQuery, key: keyof typeof FRESHNESS, value: unknown): void {
  const values = FRESHNESS[key];
  if (!values.has(value)) throw queryParseError(`Invalid value for \`${key}\`.`);
  query.update = values.get(value) ?? query.update;
}

/**
 * The queries of a `/queries`, each with the parameters of the URL that it does not overrule itself; which keys and
 * groups are meant must stand in it. @throws CouchError
 */
export async function readQueries(exchange: Exchange): Promise<readonly ListQuery[]> {
  const given = (await exchange.bodyMembers()).get('queries');
  if (given === undefined) throw badRequest('POST body must include `queries` parameter.');
  const texts = elements(given);
  if (texts === undefined) throw badRequest('`queries` member must be an array.');
  const shared = readListQuery(emptyListQuery(), exchange.query);
  return texts.map((text) => {
    const own = members(text);
    if (own === undefined) throw badRequest('each of `queries` must be an object');
    const query = { ...shared, keys: undefined, group: undefined, groupLevel: undefined };
    return readListQuery(query, values(own), true);
  });
}

/** The members of a body, each parsed. */
export function* values(texts: Iterable<readonly [string, string]>): Generator<readonly [string, unknown]> {
  for (const [key, text] of texts) yield [key, JSON.parse(text)];
}

// ---- what does not go together --------------------------------------------------------------------------------

/** What is listed: documents, rows of a view, or what these reduce to. */
export type Listed = 'documents' | 'rows' | 'reductions';

/**
 * What CouchDB refuses.
 * @param isPartitioned whether what is listed has partitions
 * @throws CouchError
 */
export function checkListQuery(query: ListQuery, listed: Listed = 'documents', isPartitioned = false): void {
  const level = groupLevelOf(query);
  if (listed === 'reductions') {
    if (query.keys !== undefined && level !== 'exact') {
      throw queryParseError('Multi-key fetches for reduce views must use `group=true`');
    }
  } else if (query.reduce === true) {
    throw queryParseError('Reduce is invalid for map-only views.');
  }
  checkKeys(query);
  if (listed === 'reductions') {
    if (query.includeDocs) throw queryParseError('`include_docs` is invalid for reduce');
    if (query.conflicts !== undefined) throw queryParseError('`conflicts` is invalid for reduce views.');
  } else if (level !== 0) {
    throw queryParseError('Invalid use of grouping on a map view.');
  }
  if (isPartitioned) {
    if (listed === 'documents' || query.partition !== undefined) return;
    throw queryParseError('`partition` parameter is mandatory for queries to this view.');
  }
  if (query.partition === undefined) return;
  const where = listed === 'documents' ? 'on this db' : 'in this design doc';
  throw queryParseError(`\`partition\` parameter is not supported ${where}`);
}

/** @throws CouchError */
export function groupLevelOf({ group, groupLevel }: ListQuery): GroupLevel {
  if (groupLevel === undefined) return group === true ? 'exact' : 0;
  if (group !== false || groupLevel === 0) return groupLevel;
  throw queryParseError("Can't specify group=false and group_level>0 at the same time");
}

function checkKeys({ keys, startKey, endKey }: ListQuery): void {
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
  const { descending, partition } = query;
  const range = boundsOf(query);
  const { start, end } =
    partition === undefined ? range : partitionRange(partition, { ...range, descending });
  return {
    ...(start !== undefined && { start }),
    ...(end !== undefined && { end }),
    inclusiveEnd: query.inclusiveEnd,
    descending,
    skip: query.skip,
    ...(query.limit !== Infinity && { limit: query.limit }),
  };
}

function boundsOf(query: ListQuery): Pick<ListRange, 'start' | 'end'> {
  const { descending, partition } = query;
  // In a partition only keys count.
  const own = partition === undefined ? query : { startDocid: undefined, endDocid: undefined };
  const { startKey = own.startDocid, endKey = own.endDocid } = query;
  const start = bound(startKey, descending);
  const end = bound(endKey, !descending);
  return { ...(start !== undefined && { start }), ...(end !== undefined && { end }) };
}

const bound = (key: unknown, upper: boolean): string | undefined =>
  typeof key === 'string' || key === undefined ? key : upper ? '' : undefined;

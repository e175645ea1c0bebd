import { compileSelector } from '../selector/match.js';
import type { Config } from '../config/schema.js';
import { CouchError } from '../errors.js';
import { sortingDistinct } from '../json/sort.js';
import { atOnce, type Work } from '../json/turns.js';
import type { ReplicationOptions, ReplicationTuning } from '../replication/options.js';
import { isObject, type Endpoint, type NameResolver, parseEndpoint } from './endpoint.js';
import { InvalidReplication } from './invalid.js';

/** A replication that was asked for, checked. */
export interface ReplicationRequest {
  readonly source: Endpoint;
  readonly target: Endpoint;
  readonly options: ReplicationOptions;
  readonly tuning: Partial<ReplicationTuning>;
  readonly http: {
    /** Connections to each side. */
    readonly connections: number;
    /** Milliseconds of silence after which a request is given up. */
    readonly timeout: number;
  };
}

export type ReplicationDefaults = Config['replication'];

type Members = Readonly<Record<string, unknown>>;

/**
 * Reads the body of a request to `_replicate`, or a document of a replicator database.
 * @param resolve what names of databases mean; left out where there may be none
 * @throws InvalidReplication
 */
export function parseRequest(
  members: Members,
  defaults: ReplicationDefaults,
  resolve?: NameResolver,
): ReplicationRequest {
  return atOnce(readRequest(members, defaults, resolve));
}

/** The same bit by bit: a request may name hundreds of thousands of documents. @throws InvalidReplication */
export function* readRequest(
  members: Members,
  defaults: ReplicationDefaults,
  resolve?: NameResolver,
): Work<ReplicationRequest> {
  refuseProxies(members);
  const options = yield* readOptions(members, defaults);
  const tuning = parseTuning(members, defaults);
  const connections = integer(members, 'http_connections', 1, MOST.connections) ?? defaults.httpConnections;
  const timeout = integer(members, 'connection_timeout', 1, MOST.milliseconds) ?? defaults.connectionTimeout;
  refuseTwoFilters(options);
  const source = parseEndpoint(members.source, resolve);
  const target = parseEndpoint(members.target, resolve);
  requireFilter(options);
  return { source, target, options, tuning, http: { connections, timeout } };
}

/** The most of each that is taken; more is as good as this. */
const MOST = { connections: 1000, workers: 32, batch: 5000, retries: 100, milliseconds: 2_147_483_647 };

/** What a cancelling request names: a replication by its id, or by what it is. */
export interface Cancellation {
  readonly id: string | undefined;
}

/** @returns undefined where it is not to be cancelled. @throws InvalidReplication */
export function parseCancellation(members: Members): Cancellation | undefined {
  if (boolean(members, 'cancel') !== true) return undefined;
  const id = members._local_id ?? members.replication_id ?? members.id;
  if (id !== undefined && typeof id !== 'string')
    throw InvalidReplication.member('the id of a replication must be a string');
  return { id };
}

function* readOptions(members: Members, defaults: ReplicationDefaults): Work<ReplicationOptions> {
  boolean(members, 'cancel');
  const { since_seq: since } = members;
  if (since !== undefined && typeof since !== 'string' && typeof since !== 'number')
    throw InvalidReplication.member('parameter `since_seq` must be a sequence');
  return {
    ...given('continuous', boolean(members, 'continuous')),
    ...given('createTarget', boolean(members, 'create_target')),
    ...given('createTargetParams', object(members, 'create_target_params', 'a JSON object')),
    ...given('docIds', yield* docIds(members.doc_ids)),
    ...given('selector', selector(members)),
    ...given('filter', text(members, 'filter')),
    ...given('queryParams', object(members, 'query_params', 'an object')),
    ...given('sinceSeq', since),
    ...given('winningRevsOnly', boolean(members, 'winning_revs_only')),
    useCheckpoints: boolean(members, 'use_checkpoints') ?? defaults.useCheckpoints,
    useBulkGet: boolean(members, 'use_bulk_get') ?? defaults.useBulkGet,
  };
}

function parseTuning(members: Members, defaults: ReplicationDefaults): Partial<ReplicationTuning> {
  const { workers, batch, retries, milliseconds } = MOST;
  return {
    workers: integer(members, 'worker_processes', 1, workers) ?? defaults.workerProcesses,
    batchSize: integer(members, 'worker_batch_size', 1, batch) ?? defaults.workerBatchSize,
    retries: integer(members, 'retries_per_request', 0, retries) ?? defaults.retriesPerRequest,
    checkpointInterval:
      integer(members, 'checkpoint_interval', 1, milliseconds) ?? defaults.checkpointInterval,
  };
}

/** An object with this member, or an empty one. */
const given = <K extends string, V>(key: K, value: V | undefined): Partial<Readonly<Record<K, V>>> =>
  value === undefined ? {} : ({ [key]: value } as Record<K, V>);

function boolean(members: Members, name: string): boolean | undefined {
  const value = members[name];
  if (value === undefined || typeof value === 'boolean') return value;
  throw InvalidReplication.member(`parameter \`${name}\` must be a boolean`);
}

function object(members: Members, name: string, what: string): Members | undefined {
  const value = members[name];
  if (value === undefined || isObject(value)) return value;
  throw InvalidReplication.member(`parameter \`${name}\` must be ${what}`);
}

function text(members: Members, name: string): string | undefined {
  const value = members[name];
  if (value === undefined || typeof value === 'string') return value;
  throw InvalidReplication.member(`parameter \`${name}\` must be a string`);
}

/** CouchDB takes texts of digits, too. */
function integer(members: Members, name: string, least: number, most: number): number | undefined {
  const value = members[name];
  if (value === undefined) return undefined;
  const number = typeof value === 'string' && /^[0-9]{1,15}$/.test(value) ? Number(value) : value;
  if (typeof number !== 'number' || !Number.isSafeInteger(number) || number < least)
    throw InvalidReplication.member(`parameter \`${name}\` must be an integer of at least ${least}`);
  return Math.min(number, most);
}

/** Ids that are decoded before others may have a turn. */
const AT_A_STRETCH = 500;

/** They may be percent-encoded, as they were for the replicators of old. */
function* docIds(value: unknown): Work<readonly string[] | undefined> {
  if (value === undefined || value === null) return undefined;
  if (!Array.isArray(value)) throw InvalidReplication.member('parameter `doc_ids` must be an array');
  const ids: string[] = [];
  for (const id of value as readonly unknown[]) {
    if (typeof id !== 'string') throw InvalidReplication.member('parameter `doc_ids` must hold strings');
    ids.push(decoded(id));
    if (ids.length % AT_A_STRETCH === 0) yield;
  }
  return yield* sortingDistinct(ids);
}

function decoded(id: string): string {
  try {
    return decodeURIComponent(id);
  } catch {
    return id;
  }
}

function selector(members: Members): string | undefined {
  const value = object(members, 'selector', 'a JSON object');
  if (value === undefined) return undefined;
  try {
    compileSelector(value);
  } catch (error) {
    // The source may know operators that are not known here.
    if (!(error instanceof CouchError)) throw error;
    if (error.status !== 501) throw InvalidReplication.because(error);
  }
  return JSON.stringify(value);
}

function refuseTwoFilters({ docIds: ids, selector: mango, filter }: ReplicationOptions): void {
  if ([ids, mango, filter].filter((one) => one !== undefined).length > 1)
    throw InvalidReplication.members('`doc_ids`,`filter`,`selector` are mutually exclusive');
}

/** A filter function is named by its design document and its name; those that are built in begin with `_`. */
function requireFilter({ filter, queryParams = {} }: ReplicationOptions): void {
  if (filter === undefined) return;
  const { view } = queryParams;
  if (filter === '_view' && !(typeof view === 'string' && /^[^/]*\/[^/]*$/.test(view)))
    throw InvalidReplication.member('Invalid `view` parameter.');
  if (!filter.startsWith('_') && !filter.includes('/'))
    throw InvalidReplication.error('Invalid filter. Must match `ddocname/filtername`.');
}

/** A proxy would resolve names that nobody here has looked at. */
function refuseProxies(members: Members): void {
  for (const name of ['proxy', 'source_proxy', 'target_proxy']) {
    if (members[name] !== undefined && members[name] !== '')
      throw InvalidReplication.member(`parameter \`${name}\` is not supported by this version of Causeway`);
  }
}

import type { AddResource } from './index.js';
import { openFeed, type ChangesFilter, type ChangesQuery } from '../../changes/feed.js';
import { compileFields, compileSelector } from '../../changes/selector.js';
import type { CouchError } from '../../errors.js';
import { badRequest, notFound, notImplemented } from '../../errors.js';
import { membersInTurns, valuesInTurns } from '../../json/text.js';
import { inTurns, type Work } from '../../json/turns.js';
import type { Database } from '../../store/types.js';
import { ALL, filledListing, NONE, shownText } from '../attachment-text.js';
import type { Exchange } from '../exchange.js';
import { lifetimeOf, sendFeed, sinceOf } from '../feed.js';
import { integer, jsonParameter } from '../query.js';
import { json, onDatabase } from '../resource.js';
import { decodeSegment } from '../url.js';

export function changesRoutes(add: AddResource): void {
  add({
    path: '/:db/_changes',
    allow: 'GET,POST,HEAD',
    methods: { GET: onDatabase('lister', changes), POST: json(onDatabase('lister', changes)) },
    other: onDatabase('lister'),
  });
}

/** Its members, each as text. */
type Body = ReadonlyMap<string, string>;

async function changes(exchange: Exchange, db: Database): Promise<void> {
  const body = exchange.method === 'POST' ? await readBody(exchange) : undefined;
  const parameters = readParameters(exchange);
  const settings = settingsOf(exchange, parameters);
  const filter = await filterOf(exchange, db, body, parameters);
  const feed = feedOf(parameters.get('feed'));
  // A feed that goes backwards begins at the end, whatever it is asked.
  const since = settings.descending ? 0 : sinceOf(exchange, db, feed, parameters.get('since'));
  const lifetime = lifetimeOf(exchange, feed);
  const query: ChangesQuery = {
    ...settings,
    feed,
    since,
    ...(filter && { filter }),
    ...(lifetime !== undefined && { lifetime }),
  };
  const isFilled = settings.includeDocs && parameters.get('attachments') === 'true';
  await sendFeed(exchange, db, query, (signal) => {
    const rows = openFeed(db, query, signal);
    return isFilled ? filledListing(db, rows) : rows;
  });
}

async function readBody(exchange: Exchange): Promise<Body | undefined> {
  const text = await exchange.bodyText();
  if (text === '') return undefined;
  const body = await membersInTurns(text);
  if (body === undefined) throw badRequest('Request body must be a JSON object');
  return body;
}

// ---- parameters -----------------------------------------------------------------------------------------------

/** Keys count in any case, and the last of several counts; `last-event-id` is another name of `since`. */
function readParameters(exchange: Exchange): Map<string, string> {
  const parameters = new Map<string, string>();
  for (const [name, value] of exchange.query) {
    const key = name.toLowerCase();
    parameters.set(key === 'last-event-id' ? 'since' : key, value);
  }
  return parameters;
}

/** What CouchDB judges first. */
function settingsOf(
  exchange: Exchange,
  parameters: Map<string, string>,
): Omit<ChangesQuery, 'feed' | 'since' | 'filter'> {
  const { changesTimeout } = exchange.server.config.limits;
  const is = (key: string): boolean => parameters.get(key) === 'true';
  const heartbeat = heartbeatOf(exchange, parameters.get('heartbeat'));
  const seqInterval = seqIntervalOf(parameters.get('seq_interval'));
  const style = parameters.get('style') ?? 'main_only';
  if (style !== 'main_only' && style !== 'all_docs')
    throw badRequest('The style must be main_only or all_docs.');
  const wanted = is('attachments') ? ALL : NONE;
  const shown = { wanted, encodingInfo: is('att_encoding_info') };
  return {
    limit: limitOf(parameters),
    descending: is('descending'),
    style,
    includeDocs: is('include_docs'),
    conflicts: is('conflicts'),
    show: (stored, extras) => shownText(stored, extras, shown),
    timeout: Math.min(Math.max(0, number(parameters, 'timeout') ?? changesTimeout), changesTimeout),
    ...(heartbeat !== undefined && { heartbeat }),
    ...(seqInterval !== undefined && { seqInterval }),
  };
}

const FEEDS: Readonly<Record<string, ChangesQuery['feed']>> = {
  normal: 'normal',
  longpoll: 'longpoll',
  continuous: 'continuous',
  live: 'continuous',
  eventsource: 'eventsource',
};

function feedOf(name = 'normal'): ChangesQuery['feed'] {
  const feed = Object.hasOwn(FEEDS, name) ? FEEDS[name] : undefined;
  if (feed === undefined) {
    throw badRequest('Supported `feed` types: normal, continuous, live, longpoll, eventsource');
  }
  return feed;
}

/** One below zero is none. */
function limitOf(parameters: Map<string, string>): number {
  const limit = number(parameters, 'limit') ?? Infinity;
  return limit < 0 ? Infinity : limit;
}

function number(parameters: Map<string, string>, key: string): number | undefined {
  const text = parameters.get(key);
  if (text === undefined) return undefined;
  const value = integer(text);
  if (value === undefined) throw badRequest(`The ${key} parameter should be a non-negative integer`);
  return value;
}

function heartbeatOf(exchange: Exchange, text: string | undefined): number | undefined {
  const { changesHeartbeat, changesTimeout } = exchange.server.config.limits;
  if (text === undefined) return undefined;
  if (text === 'true') return changesHeartbeat;
  const value = integer(text);
  if (value === undefined) {
    throw badRequest('Invalid heartbeat value. Expecting a positive integer value (in milliseconds).');
  }
  if (value <= 0) throw badRequest('The heartbeat value should be a positive integer (in milliseconds).');
  return Math.min(value, changesTimeout);
}

function seqIntervalOf(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const value = integer(text);
  if (value === undefined || value <= 0) throw badRequest('invalid_seq_interval');
  return value;
}

// ---- filters --------------------------------------------------------------------------------------------------

async function filterOf(
  exchange: Exchange,
  db: Database,
  body: Body | undefined,
  parameters: Map<string, string>,
): Promise<ChangesFilter | undefined> {
  const given = parameters.get('filter') ?? '';
  const name = /^\/+$/.test(given) ? '' : given;
  switch (name) {
    case '':
      return undefined;
    case '_doc_ids':
      return docIdsFilter(exchange, body);
    case '_selector':
      return selectorFilter(exchange, body);
    case '_design':
      return { kind: 'design' };
    case '_view':
      throw viewFilter(db, exchange.parameter('view') ?? '');
    default:
      if (name.startsWith('_')) throw badRequest('unknown builtin filter name');
      throw functionFilter(db, name, 'filters', '`filter` must be of the form `designname/filtername`');
  }
}

async function docIdsFilter(exchange: Exchange, body: Body | undefined): Promise<ChangesFilter> {
  const ids =
    exchange.method === 'POST'
      ? await valuesInTurns(body?.get('doc_ids') ?? 'null')
      : jsonParameter(exchange.parameter('doc_ids') ?? 'null');
  const set = await inTurns(idSet(ids));
  const few = set.size <= exchange.server.config.limits.changesDocIdsOptimizationThreshold;
  return { kind: 'doc_ids', ids: set, few };
}

function* idSet(ids: unknown): Work<ReadonlySet<string>> {
  const refusal = badRequest('`doc_ids` filter parameter is not a list of doc ids.');
  if (!Array.isArray(ids)) throw refusal;
  const found = new Set<string>();
  for (const id of ids as readonly unknown[]) {
    if (typeof id !== 'string') throw refusal;
    found.add(id);
    yield;
  }
  return found;
}

/** Reading a selector is not interrupted, and it is asked about every document. */
const MAX_SELECTOR = 100_000;

function selectorFilter(exchange: Exchange, body: Body | undefined): ChangesFilter {
  if (exchange.method !== 'POST') throw badRequest('Selector must be specified in POST payload');
  const matches = compileSelector(selectorPart(body, 'selector') ?? null);
  const project = compileFields(selectorPart(body, 'fields'));
  return { kind: 'selector', matches, ...(project && { project }) };
}

function selectorPart(body: Body | undefined, name: 'selector' | 'fields'): unknown {
  const text = body?.get(name);
  if (text === undefined) return undefined;
  if (text.length > MAX_SELECTOR)
    throw badRequest(`Selector error: ${name} must not be longer than ${MAX_SELECTOR} characters`);
  return JSON.parse(text) as unknown;
}

function viewFilter(db: Database, view: string): CouchError {
  if (view === '') return badRequest('`view` filter parameter is not provided.');
  return functionFilter(db, view, 'views', '`view` must be of the form `designname/viewname`');
}

/** Why a function of a design document cannot filter: it is not there, or it cannot be run. */
function functionFilter(db: Database, path: string, kind: 'filters' | 'views', form: string): CouchError {
  const parts = path.split('/').filter((part) => part !== '');
  const [design, name] = parts.map((part) => decodeSegment(part) ?? part);
  if (design === undefined || name === undefined || parts.length !== 2) return badRequest(form);
  const record = db.get(`_design/${design}`);
  if (record === undefined) return notFound('missing');
  if (record.deleted) return notFound('deleted');
  const document = JSON.parse(db.read(record, record.winner) ?? '{}') as Record<string, unknown>;
  const functions = document[kind];
  if (typeof functions !== 'object' || functions === null) return notFound(`missing json key: ${kind}`);
  if (!Object.hasOwn(functions, name)) return notFound(`missing json key: ${name}`);
  return notImplemented('Functions of design documents cannot be run by this version of Causeway.');
}

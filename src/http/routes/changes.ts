import type { AddResource } from './index.js';
import { openFeed, type ChangesQuery } from '../../changes/feed.js';
import { badRequest } from '../../errors.js';
import { membersInTurns } from '../../json/text.js';
import type { Database } from '../../store/types/database.js';
import { ALL, filledListing, NONE, shownText } from '../../store/attachments/text.js';
import { type ChangesBody, filterOf } from '../changes-filter.js';
import type { Exchange } from '../exchange.js';
import { heartbeatOf, lifetimeOf, sendFeed, sinceOf } from '../feed.js';
import { integer } from '../query.js';
import { json, onDatabase } from '../resource.js';

export function changesRoutes(add: AddResource): void {
  add({
    path: '/:db/_changes',
    allow: 'GET,POST,HEAD',
    methods: { GET: onDatabase('lister', changes), POST: json(onDatabase('lister', changes)) },
    other: onDatabase('lister'),
  });
}

async function changes(exchange: Exchange, db: Database): Promise<void> {
  const body = exchange.method === 'POST' ? await readBody(exchange) : undefined;
  const parameters = readParameters(exchange);
  const settings = settingsOf(exchange, parameters);
  const filter = await filterOf(exchange, db, parameters.get('filter'), body, settings);
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

async function readBody(exchange: Exchange): Promise<ChangesBody | undefined> {
  const text = await exchange.bodyText();
  if (text === '') return undefined;
  const members = await membersInTurns(text);
  if (members === undefined) throw badRequest('Request body must be a JSON object');
  return { text, members };
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

function seqIntervalOf(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const value = integer(text);
  if (value === undefined || value <= 0) throw badRequest('invalid_seq_interval');
  return value;
}

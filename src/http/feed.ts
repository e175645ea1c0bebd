import type { ChangesQuery } from '../changes/query.js';
import { badRequest } from '../errors.js';
import type { Database } from '../store/types/database.js';
import { etagOf, matches } from './etag.js';
import type { Exchange } from './exchange.js';
import { integer } from './query.js';
import { sendStream } from './stream.js';

const EVENTS = { type: 'text/event-stream', headers: ['Cache-Control', 'no-cache'] };

/** Answers with a feed of a database; one that has an end can be asked for again with its ETag. */
export async function sendFeed(
  exchange: Exchange,
  db: Database,
  { feed }: ChangesQuery,
  open: (signal: AbortSignal) => AsyncIterable<string>,
): Promise<void> {
  if (feed === 'normal') {
    const etag = etagOf(`${db.name} ${db.token(db.updateSeq)}`);
    if (matches(exchange.header('if-none-match'), etag)) exchange.empty(304, ['ETag', etag]);
    else await sendStream(exchange, open, { headers: ['ETag', etag] });
  } else if (feed === 'eventsource') {
    await sendStream(exchange, open, { ...EVENTS, live: true });
  } else {
    await sendStream(exchange, open, { live: true });
  }
}

const FEEDS = ['normal', 'continuous', 'longpoll', 'eventsource'] as const;

/** The kind of a feed by its name. @throws CouchError 400 */
export function feedOf(name = 'normal'): ChangesQuery['feed'] {
  const feed = FEEDS.find((known) => known === name);
  if (feed === undefined) throw badRequest(`Supported \`feed\` types: ${FEEDS.join(', ')}`);
  return feed;
}

/** Milliseconds of silence between signs of life, as a client wants them. @throws CouchError 400 */
export function heartbeatOf(exchange: Exchange, text: string | undefined): number | undefined {
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

/**
 * How long a longpoll may take, in milliseconds: one that outlasts the session of its client would be its last, for a
 * cookie is renewed only when an answer begins.
 */
export function lifetimeOf({ authMethod, server }: Exchange, feed: ChangesQuery['feed']): number | undefined {
  if (feed !== 'longpoll' || authMethod !== 'cookie') return undefined;
  return (server.config.session.timeout * 1000) / 2;
}

/**
 * The sequence after which a feed begins. Browsers that come back to an event source say it in a header, which counts
 * more than the URL. @throws CouchError 400
 */
export function sinceOf(
  exchange: Exchange,
  db: Database,
  feed: ChangesQuery['feed'],
  given: string | undefined,
): number {
  const header = feed === 'eventsource' ? exchange.header('last-event-id') : undefined;
  const since = header ?? given ?? '0';
  if (since === 'now') return db.updateSeq;
  if (since !== '0' && !TOKEN.test(since))
    throw badRequest("Malformed sequence supplied in 'since' parameter.");
  return db.parseToken(since);
}

/** What this server or a CouchDB gave out: a number, which may be cut off from CouchDB's, and who knows it. */
const TOKEN = /^"?([0-9]{1,15}-[0-9a-f]{12}|([0-9]+-)?g[0-9][A-Za-z0-9_-]{8,})"?$/;

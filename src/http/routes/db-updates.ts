import type { AddResource } from './index.js';
import { openFeed, type ChangesQuery } from '../../changes/feed.js';
import { badRequest } from '../../errors.js';
import { GLOBAL_CHANGES } from '../../store/global-changes.js';
import type { ChangeRow } from '../../store/types/changes.js';
import type { Database } from '../../store/types/database.js';
import type { Exchange } from '../exchange.js';
import { feedOf, lifetimeOf, sendFeed, sinceOf } from '../feed.js';
import { integer } from '../query.js';
import { onServer } from '../resource.js';

export function dbUpdatesRoutes(add: AddResource): void {
  add({
    path: '/_db_updates',
    allow: 'GET',
    methods: {
      // As in CouchDB there are no events where nobody made the database that keeps them.
      GET: onServer('serverAdmin', (exchange) =>
        exchange.server.databases.use(GLOBAL_CHANGES, (db) => updates(exchange, db)),
      ),
    },
    other: onServer('serverAdmin'),
  });
}

/** The feed of the events' database, read as events. */
async function updates(exchange: Exchange, db: Database): Promise<void> {
  const query = readQuery(exchange, db);
  await sendFeed(exchange, db, query, (signal) => openFeed(db, query, signal));
}

function readQuery(exchange: Exchange, db: Database): ChangesQuery {
  // Of several the last one counts.
  const parameters = new Map(exchange.query);
  const { changesTimeout, changesHeartbeat } = exchange.server.config.limits;
  const descending = parameters.get('descending') === 'true';
  const feed = feedOf(parameters.get('feed'));
  const beat = parameters.get('heartbeat') ?? 'false';
  const heartbeat = beat === 'true' ? changesHeartbeat : beat === 'false' ? undefined : count(beat);
  const limit = parameters.get('limit');
  const timeout = parameters.get('timeout');
  const lifetime = lifetimeOf(exchange, feed);
  return {
    feed,
    since: descending ? 0 : sinceOf(exchange, db, feed, parameters.get('since')),
    limit: limit === undefined ? Infinity : count(limit),
    descending,
    timeout: Math.min(timeout === undefined ? changesTimeout : count(timeout), changesTimeout),
    // One that never ends by itself and beats without a pause is no use to anybody.
    ...(heartbeat !== undefined && { heartbeat: Math.min(Math.max(heartbeat, 1), changesTimeout) }),
    ...(lifetime !== undefined && { lifetime }),
    style: 'main_only',
    includeDocs: false,
    conflicts: false,
    retell: eventOf,
  };
}

function count(text: string): number {
  const value = integer(text);
  if (value === undefined || value < 0) throw badRequest('invalid_integer');
  return value;
}

const EVENT_ID = /^(created|updated|deleted):(.*)$/s;

/** The event that a row of the database tells of; whatever else somebody keeps there, or removed, is none. */
function eventOf({ seq, text }: ChangeRow): ChangeRow | undefined {
  const row = JSON.parse(text) as { seq: string; id: string; deleted?: boolean };
  const [, type, name] = EVENT_ID.exec(row.id) ?? [];
  if (type === undefined || row.deleted === true) return undefined;
  return { seq, text: JSON.stringify({ seq: row.seq, db_name: name, type }) };
}

import type { AddResource } from './index.js';
import { openFeed, type ChangesQuery } from '../../changes/feed.js';
import { ConflictChanges } from '../../conflicts/changes.js';
import type { MergeRule } from '../../conflicts/rules.js';
import { LISTED_STATES, type ListedConflict, listed, standingOf } from '../../conflicts/standing.js';
import { badRequest } from '../../errors.js';
import type { Database } from '../../store/types/database.js';
import type { Exchange } from '../exchange.js';
import { feedOf, heartbeatOf, lifetimeOf, sendFeed, sinceOf } from '../feed.js';
import { count, limitOf, stateOf } from '../page.js';
import { onDatabase } from '../resource.js';

/** Of a database. */
export const CONFLICTS = '/_gateway/databases/:db/conflicts';

export const NOT_KEPT = ['Cache-Control', 'no-cache'];

/** Which documents of a database are in conflict, and what became of them. */
export function conflictsRoutes(add: AddResource): void {
  add({
    path: CONFLICTS,
    allow: 'GET,HEAD',
    methods: { GET: onDatabase('lister', conflicts) },
    other: onDatabase('lister'),
  });
}

/** How conflicts of a database are resolved; undefined where they are kept. */
export const ruleOf = ({ server }: Exchange, db: Database): MergeRule | undefined =>
  server.mergeFunctions.ruleIn(db, server.upstream.rules.mergeOf(db.name));

function conflicts(exchange: Exchange, db: Database): Promise<void> {
  const feed = feedOf(exchange.parameter('feed'));
  const since = sinceOf(exchange, db, feed, exchange.parameter('since') ?? exchange.parameter('start'));
  return feed === 'normal' ? list(exchange, db, since) : follow(exchange, db, feed, since);
}

/** So many rows are looked at for one page of those in one state. */
const MOST_LOOKED_AT = 10_000;

/**
 * A page in the order of their last changes. The following one begins at `next`, and a feed goes on at `last_seq` where the
 * page is the last one.
 */
async function list(exchange: Exchange, db: Database, since: number): Promise<void> {
  const limit = limitOf(exchange);
  const state = stateOf(exchange, LISTED_STATES);
  const rule = ruleOf(exchange, db);
  const until = db.updateSeq;
  const most = state === undefined ? limit : MOST_LOOKED_AT;
  const found: ListedConflict[] = [];
  let at = since;
  let [left, seen] = [limit, 0];
  for await (const page of db.conflicts.rows({ since, until, limit: most })) {
    const fitting = page.filter((row) => state === undefined || standingOf(row, rule).state === state);
    const chosen = fitting.slice(0, left);
    found.push(...(await listed(db, chosen, rule)));
    left -= chosen.length;
    seen += page.length;
    at = (left === 0 ? chosen : page).at(-1)?.seq ?? at;
    if (left === 0) break;
  }
  const isLast = left > 0 && seen < most;
  const last = db.token(isLast ? until : at);
  const body = { total: db.conflicts.count, next: isLast ? null : last, last_seq: last, conflicts: found };
  exchange.json(200, JSON.stringify(body), NOT_KEPT);
}

/**
 * Documents as they come to be in conflict, and as they come to be in none. What becomes of them without a change is not told
 * again, so that those in one state cannot be asked for.
 */
async function follow(
  exchange: Exchange,
  db: Database,
  feed: ChangesQuery['feed'],
  since: number,
): Promise<void> {
  if (exchange.parameter('state') !== undefined)
    throw badRequest('A feed tells of conflicts in all states: those in one state are listed without it.');
  const { changesTimeout } = exchange.server.config.limits;
  const heartbeat = heartbeatOf(exchange, exchange.parameter('heartbeat'));
  const lifetime = lifetimeOf(exchange, feed);
  const query: ChangesQuery = {
    feed,
    since,
    limit: count(exchange, 'limit', Infinity),
    timeout: Math.min(count(exchange, 'timeout', changesTimeout), changesTimeout),
    ...(heartbeat !== undefined && { heartbeat }),
    ...(lifetime !== undefined && { lifetime }),
    descending: false,
    style: 'all_docs',
    includeDocs: false,
    conflicts: false,
    // They are told as they are; how many of the database's rows follow is nothing to their readers.
    retell: (row) => row,
  };
  const changes = new ConflictChanges(db, () => ruleOf(exchange, db));
  await sendFeed(exchange, db, query, (signal) => openFeed(changes, query, signal));
}

import type { PurgeOutcome } from '../../conflicts/purging.js';
import { CouchError } from '../../errors.js';
import type { Database } from '../../store/types/database.js';
import type { Creations } from './creations.js';
import type { Mirror } from './mirror.js';
import { isWaiting } from './synced.js';

type Requests = ReadonlyMap<string, readonly string[]>;

/** What servers answer that have no purges, or do not let somebody make them. */
const NO_PURGES = new Set([400, 401, 403, 404, 405, 501]);
const LATER: PurgeOutcome = { kind: 'later' };

/**
 * Purges branches of merged leaves upstream, and then here. What the upstream has not got is left for later: a leaf that is
 * alive there still needs its tombstone. Where it stops in between, the purge is followed like anybody else's.
 * @throws CouchError, the reason of the signal
 */
export async function purgeBranches(
  mirror: Mirror,
  control: Pick<Creations, 'purge'>,
  db: Database,
  requests: Requests,
  signal: AbortSignal,
): Promise<PurgeOutcome> {
  if (!isReady(mirror)) return LATER;
  const waiting = await waitingOf(mirror, db, requests);
  const sent = new Map([...requests].filter(([id]) => !waiting.includes(id)));
  if (sent.size === 0) return { kind: 'purged', purged: sent, waiting };
  const ending = AbortSignal.any([signal, mirror.context.closing]);
  try {
    const body = JSON.stringify(Object.fromEntries(sent));
    const purged = await control.purge(mirror.name, body, () => db.purge(sent), ending);
    // It hears of its own purge while the upstream remembers it.
    mirror.wake();
    return { kind: 'purged', purged, waiting };
  } catch (error) {
    signal.throwIfAborted();
    if (!(error instanceof CouchError)) throw error;
    if (NO_PURGES.has(error.status)) return { kind: 'refused', reason: error.reason };
    if (error.status === 503) return LATER;
    throw error;
  }
}

const isReady = ({ standing: { state, isWarm }, rule, context }: Mirror): boolean =>
  state === 'warm' && isWarm && rule.direction !== 'pull' && context.upstream.isOnline;

/** Documents that have not gone up as they are, or of which something was refused. */
async function waitingOf(mirror: Mirror, db: Database, requests: Requests): Promise<readonly string[]> {
  const { rejected } = mirror.context;
  const areRefused = (await rejected.count(mirror)) > 0;
  const waiting: string[] = [];
  for (const id of requests.keys()) {
    const record = db.get(id);
    const isHeld =
      (record !== undefined && (await isWaiting(db, record))) ||
      (areRefused && (await rejected.read(mirror, id)).length > 0);
    if (isHeld) waiting.push(id);
  }
  return waiting;
}

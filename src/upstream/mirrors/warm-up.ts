import { copySecurity } from './control.js';
import { patiently } from './patiently.js';
import { pull } from './pull.js';
import { betweenPurges } from './purge-watch.js';
import type { Session } from './session.js';

/**
 * Milliseconds for which writes wait at most while the requests of a mirror move here: the first time, and when that was
 * not enough. Clients are patient for half a minute, mostly.
 */
const FIRST_HOLD = 2000;
const LONGEST_HOLD = 30_000;
/** Writers get on in between for so many times as long. */
const REST = 2;

/**
 * Brings everything that the upstream has, and then has requests answered here. A crash before the record is on the disk
 * leaves a mirror that is not warm, whose requests go on to the upstream.
 * @throws CouchError, PeerUnreachable
 */
export async function warmUp(session: Session): Promise<void> {
  const { mirror } = session;
  for (let patience = FIRST_HOLD; ; patience = Math.min(LONGEST_HOLD, patience * 2)) {
    if (bringsAnything(session)) await betweenPurges(session, (within) => pull(within, false));
    if (await move(session, patience)) return;
    mirror.context.log.info(
      { database: mirror.name, patience },
      'a mirror has everything, and waits for requests that take long',
    );
    await session.turn.rest(patience * REST);
  }
}

const bringsAnything = ({ mirror }: Session): boolean => mirror.rule.direction !== 'push';

/**
 * Has requests answered here. Meanwhile no write may be lost sight of: new ones wait, those under way to the upstream are
 * waited for, and what they wrote is brought, too.
 * @returns false where that took longer than the writers that wait may be kept
 * @throws CouchError, PeerUnreachable
 */
async function move(session: Session, patience: number): Promise<boolean> {
  const { mirror, signal, purges } = session;
  const { crossing } = mirror;
  const limit = AbortSignal.timeout(patience);
  const within = { ...session, signal: AbortSignal.any([signal, limit]) };
  try {
    await crossing.hold(within.signal);
    if (bringsAnything(session)) await pull(within, false);
    // What was purged while something flowed may be here.
    await patiently(() => purges.follow(within.signal), within.signal);
    await patiently(() => copySecurity(mirror, within.signal), within.signal);
    await mirror.hear({ type: 'warmed' });
  } catch (error) {
    crossing.settle('there');
    signal.throwIfAborted();
    if (limit.aborted) return false;
    throw error;
  }
  crossing.settle('here');
  return true;
}

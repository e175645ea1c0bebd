import { PeerUnreachable } from '../../replication/peer.js';
import { copySecurity } from './control.js';
import { pull } from './pull.js';
import type { Session } from './session.js';

/** Milliseconds for which writes wait at most while the requests of a mirror move here. */
const LONGEST_HOLD = 10_000;

/**
 * Brings everything that the upstream has, and then has requests answered here. In between no write may be lost sight of:
 * new ones wait, those under way to the upstream are waited for, and what they wrote is brought, too. A crash before the
 * record is on the disk leaves a mirror that is not warm, whose requests go on to the upstream.
 * @throws CouchError, PeerUnreachable
 */
export async function warmUp(session: Session): Promise<void> {
  const { mirror, signal } = session;
  const isPulled = mirror.rule.direction !== 'push';
  if (isPulled) await pull(session, false);
  signal.throwIfAborted();
  const { crossing } = mirror;
  const patience = AbortSignal.timeout(LONGEST_HOLD);
  const within = { ...session, signal: AbortSignal.any([signal, patience]) };
  try {
    await crossing.hold(within.signal);
    if (isPulled) await pull(within, false);
    within.signal.throwIfAborted();
    await copySecurity(mirror, within.signal);
    await mirror.hear({ type: 'warmed' });
  } catch (error) {
    crossing.settle('there');
    signal.throwIfAborted();
    if (patience.aborted)
      throw new PeerUnreachable('requests are under way that take too long', { cause: error });
    throw error;
  }
  crossing.settle('here');
}

import { setTimeout as sleep } from 'node:timers/promises';
import { patiently } from './patiently.js';
import type { Session } from './session.js';

/** Milliseconds between two looks whether something was purged upstream, at most. */
const INTERVAL = 20_000;

/** Resolves once something was purged upstream: nothing else says so. @throws the reason of the signal, CouchError */
export async function whenPurged({ mirror, purges, signal }: Session): Promise<void> {
  const interval = Math.min(INTERVAL, mirror.context.config.upstream.pollInterval);
  do await sleep(interval, undefined, { signal, ref: false });
  while (!(await patiently(() => purges.areNew(signal), signal)));
}

/**
 * Lets something flow to its end. Where something is purged upstream meanwhile, what is under way could bring it back: it
 * is stopped, the purge followed, and then it goes on.
 * @throws what `work` fails with, CouchError, PeerUnreachable
 */
export async function betweenPurges(
  session: Session,
  work: (within: Session) => Promise<void>,
): Promise<void> {
  const { signal, purges } = session;
  for (let isDone = false; !isDone;) {
    const over = new AbortController();
    const purged = new AbortController();
    const watching = watch({ ...session, signal: AbortSignal.any([signal, over.signal]) }, () =>
      purged.abort(new Error('something was purged upstream')),
    );
    try {
      await work({ ...session, signal: AbortSignal.any([signal, purged.signal]) });
      isDone = true;
    } catch (error) {
      signal.throwIfAborted();
      if (!purged.signal.aborted) throw error;
    } finally {
      over.abort();
      await watching;
    }
    if (!isDone) await patiently(() => purges.follow(signal), signal);
  }
}

/** Resolves once something was purged upstream and that was told, or the signal has fired. */
async function watch(session: Session, tell: () => void): Promise<void> {
  while (!session.signal.aborted) {
    try {
      await whenPurged(session);
      tell();
      return;
    } catch {
      // Whatever is the matter with the upstream, those who work find out, or it was a moment.
    }
  }
}

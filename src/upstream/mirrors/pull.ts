import { LocalPeer } from '../../replication/local/peer.js';
import { localSide } from './context.js';
import type { Session } from './session.js';

/**
 * Brings what the upstream has.
 * @param isEndless whether it goes on when everything is here
 * @throws CouchError, PeerUnreachable
 */
export async function pull({ mirror, upstream, signal }: Session, isEndless: boolean): Promise<void> {
  const { context, name, rule } = mirror;
  const { docIds, selector } = rule;
  const target = new LocalPeer({ ...localSide(name, context), origin: 'upstream' });
  const options = { ...(docIds !== undefined && { docIds }), ...(selector !== undefined && { selector }) };
  await mirror.pull.run(
    { source: upstream, target, isEndless, options, signal },
    (hasMoved) => {
      if (hasMoved) mirror.lastUsed = performance.now();
      mirror.tell();
    },
    () => undefined,
  );
}

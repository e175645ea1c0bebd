import { LocalPeer } from '../../replication/local/peer.js';
import type { Source } from '../../replication/peer.js';
import { localSide } from './context.js';
import { Selection } from './partial.js';
import { pullPart } from './partial-pull.js';
import type { Session } from './session.js';

/**
 * Brings what the upstream has, or the part of it that the rule chooses.
 * @param isEndless whether it goes on when everything is here
 * @throws CouchError, PeerUnreachable
 */
export async function pull(session: Session, isEndless: boolean): Promise<void> {
  const { mirror, upstream, client, signal } = session;
  const side = localSide(mirror.name, mirror.context);
  const { docIds, selector } = mirror.rule;
  const options = { ...(docIds !== undefined && { docIds }), ...(selector !== undefined && { selector }) };
  const target = new LocalPeer({ ...side, origin: 'upstream' });
  const bring = (source: Source, goesOn: boolean): Promise<void> =>
    mirror.pull.run(
      { source, target, isEndless: goesOn, options, signal },
      (hasMoved) => {
        if (hasMoved) mirror.lastUsed = performance.now();
        mirror.tell();
      },
      () => undefined,
    );
  const selection = Selection.of(mirror.rule);
  if (selection === undefined) {
    await bring(upstream, isEndless);
    return;
  }
  const { followed: known } = mirror.record;
  const part = {
    upstream,
    client,
    access: side.access,
    selection,
    known,
    onDone: (followed: NonNullable<typeof known>) => mirror.note({ followed }),
  };
  await pullPart(part, isEndless, bring, signal);
  signal.throwIfAborted();
}

import { LocalPeer } from '../../replication/local/peer.js';
import type { Source } from '../../replication/peer.js';
import { localSide } from './context.js';
import { Selection } from './partial.js';
import { pullPart } from './partial-pull.js';
import type { MirrorRecord } from './records.js';
import { naming } from './refused-account.js';
import type { Session } from './session.js';

/**
 * Brings what the upstream has, or the part of it that the rule chooses.
 * @param isEndless whether it goes on when everything is here
 * @throws CouchError, PeerUnreachable, the reason of the signal
 */
export function pull(session: Session, isEndless: boolean): Promise<void> {
  return pullAll(session, isEndless).catch(naming(session, 'read, or keep checkpoints in,'));
}

async function pullAll(session: Session, isEndless: boolean): Promise<void> {
  const { mirror, upstream, signal } = session;
  const selection = Selection.of(mirror.rule);
  if (selection === undefined) {
    // Everything comes now: whoever selects again has to look at all of it.
    if (mirror.record.followed !== undefined) await mirror.note({ followed: undefined });
    await pullFrom(upstream, session, isEndless);
    return;
  }
  const part = {
    upstream,
    access: localSide(mirror.name, mirror.context).access,
    selection,
    known: mirror.record.followed,
    onDone: (followed: MirrorRecord['followed']) => mirror.note({ followed }),
  };
  await pullPart(part, isEndless, (source, goesOn) => pullFrom(source, session, goesOn), signal);
}

async function pullFrom(source: Source, { mirror, signal }: Session, isEndless: boolean): Promise<void> {
  const { context, name, rule } = mirror;
  const { docIds, selector } = rule;
  const target = new LocalPeer({ ...localSide(name, context), origin: 'upstream' });
  const options = { ...(docIds !== undefined && { docIds }), ...(selector !== undefined && { selector }) };
  await mirror.undelivered.during((account) =>
    mirror.pull.run(
      { source, target, isEndless, options, ...account, signal },
      (hasMoved) => {
        if (hasMoved) mirror.lastUsed = performance.now();
        mirror.tell();
      },
      () => undefined,
    ),
  );
}

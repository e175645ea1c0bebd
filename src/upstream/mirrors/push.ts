import { compareLogs } from '../../replication/checkpoint-log.js';
import { UnsentSource } from '../../replication/local/unsent.js';
import type { Sequence } from '../../replication/peer.js';
import { noteRefused, noteWritten } from '../../replication/rejected.js';
import { Queue } from '../../store/queue.js';
import { localSide } from './context.js';
import { PurgedTarget } from './purged-target.js';
import type { Session } from './session.js';

/**
 * Brings to the upstream what it has not got. What it refuses for good is put on a list, and passed.
 * @param isEndless whether it goes on when everything is there
 * @throws CouchError, PeerUnreachable
 */
export async function push(session: Session, isEndless: boolean): Promise<void> {
  const { mirror, upstream, signal } = session;
  const { context, name } = mirror;
  const { databases, rejections, config } = context;
  await voidWhatWasLost(session);
  const source = new UnsentSource(localSide(name, context));
  const sent = new Queue();
  /** What was sent waits no more. */
  const passTo = (seq: Sequence): void => {
    void sent
      .add(() =>
        databases.use(name, async (db) => {
          await db.unsent.sentThrough(db.parseToken(String(seq)));
          mirror.tell();
        }),
      )
      .catch((error: unknown) => {
        context.log.error({ database: name, err: error }, 'what was sent could not be noted');
      });
  };
  await rejections.use({ name: mirror.push.id, owner: null }, async (list) => {
    const listener = {
      onRefused: async (refusal: Parameters<typeof noteRefused>[1]) => {
        await noteRefused(list, refusal, { mirror: name }, config.replication.maxRejections);
      },
      onWritten: (documents: Parameters<typeof noteWritten>[1]) => noteWritten(list, documents),
    };
    await mirror.push.run(
      {
        source,
        target: new PurgedTarget(upstream, session.purges),
        isEndless,
        options: {},
        listener,
        signal,
      },
      (hasMoved) => {
        if (hasMoved) mirror.lastUsed = performance.now();
      },
      passTo,
    );
  });
  await sent.add(() => Promise.resolve());
}

/**
 * An upstream database that was put back to an older state has lost what it was sent since: its checkpoint is an older
 * one, or gone.
 */
async function voidWhatWasLost({ mirror, upstream, signal }: Session): Promise<void> {
  const id = `_local/${mirror.push.id}`;
  const { databases } = mirror.context;
  const text = await databases.use(mirror.name, (db) => db.getLocal(id)?.text);
  if (text === undefined) return;
  const ours = JSON.parse(text) as Parameters<typeof compareLogs>[0];
  const theirs = await upstream.getLocal(id, signal);
  if (compareLogs(ours, theirs).seq === ours?.source_last_seq) return;
  await databases.use(mirror.name, (db) => db.unsent.voidAll());
}

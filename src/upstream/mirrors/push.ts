import { setTimeout as sleep } from 'node:timers/promises';
import { tombstonesLast } from '../../conflicts/sending.js';
import { compareLogs } from '../../replication/checkpoint-log.js';
import { UnsentSource } from '../../replication/local/unsent.js';
import type { HttpPeer } from '../../replication/http/peer.js';
import type { LocalLog, Sequence } from '../../replication/peer.js';
import { LocalPeer } from '../../replication/local/peer.js';
import { Queue } from '../../store/queue.js';
import { localSide } from './context.js';
import type { Flow } from './flow.js';
import type { Mirror } from './mirror.js';
import { patiently } from './patiently.js';
import { naming } from './refused-account.js';
import { PurgedTarget } from './purged-target.js';
import type { PushSpec } from './rejected.js';
import type { Session } from './session.js';
import { surely } from '../surely.js';

/**
 * Brings to the upstream what it has not got. What it refuses for good is put on a list, and passed.
 * @param isEndless whether it goes on when everything is there
 * @throws CouchError, PeerUnreachable
 */
export function push(session: Session, isEndless: boolean): Promise<void> {
  return pushAll(session, isEndless).catch(naming(session, 'write to'));
}

async function pushAll(session: Session, isEndless: boolean): Promise<void> {
  const { mirror, signal } = session;
  const { context, name } = mirror;
  const { databases } = context;
  await voidWhatWasLost(session);
  const target = new PurgedTarget(session.upstream, session.purges);
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
  const sides = { ...pushSides(session), target };
  const flow = context.rejected.during(mirror, async (account) => {
    const { listener } = account;
    if (!isEndless) await patiently(() => account.review(sides, signal), signal);
    const over = new AbortController();
    const within = AbortSignal.any([signal, over.signal]);
    const tell = (error: unknown): void => {
      if (within.aborted) return;
      context.log.warn({ database: name, err: error }, 'what the upstream refused could not be tried again');
    };
    const reviews = isEndless ? nowAndThen(() => account.review(sides, within), within, tell) : undefined;
    await mirror.push
      .run(
        { source, target, isEndless, options: {}, order: tombstonesLast, listener, signal },
        (hasMoved) => {
          if (hasMoved) mirror.lastUsed = performance.now();
        },
        passTo,
      )
      .finally(() => over.abort());
    await reviews;
  });
  // Nothing looks at the database here any more once this is over: it may be about to be deleted.
  await flow.finally(() => sent.add(() => Promise.resolve()));
}

/**
 * What is written once more, whether it waits or not; an admin may have it be what was purged there.
 * @throws CouchError 503 while the upstream is away
 */
export const pushSides = ({ mirror, upstream }: Pick<Session, 'mirror' | 'upstream'>): PushSpec => ({
  source: new LocalPeer(localSide(mirror.name, mirror.context)),
  target: upstream,
});

/** Milliseconds between two looks at what the upstream judges by, while a push goes on and something was refused. */
const REVIEW = 60_000;

/**
 * Resolves once the signal has fired and nothing is under way. What fails is tried again the next time.
 * @param tell is told of the first of failures in a row
 */
async function nowAndThen(
  work: () => Promise<void>,
  signal: AbortSignal,
  tell: (error: unknown) => void,
): Promise<void> {
  for (let isTold = false; ;) {
    await sleep(REVIEW, undefined, { signal, ref: false }).catch(() => undefined);
    if (signal.aborted) return;
    try {
      await work();
      isTold = false;
    } catch (error) {
      if (!isTold) tell(error);
      isTold = true;
    }
  }
}

/**
 * An upstream database that was put back to an older state has lost what it was sent since: its checkpoint is an older
 * one, or gone.
 */
async function voidWhatWasLost({ mirror, upstream, signal }: Session): Promise<void> {
  const read = (): Promise<Checkpoint> => checkpointOf(mirror, mirror.push, upstream, signal);
  if (isOnBothSides(await surely(read, (found) => !isOnBothSides(found), signal))) return;
  await mirror.context.databases.use(mirror.name, (db) => db.unsent.voidAll());
}

/**
 * What both sides have noted to be sent waits no more, though a crash, or the end of a push, came before that was noted.
 * What was purged upstream since would else stay here as if it had not gone yet.
 * @returns whether the upstream has the checkpoints that are here: one that was put back to an older state has not
 * @throws CouchError, PeerUnreachable
 */
export async function passWhatWasSent(
  mirror: Mirror,
  upstream: HttpPeer,
  signal: AbortSignal,
): Promise<boolean> {
  const { direction } = mirror.rule;
  const sent = await checkpointOf(mirror, mirror.push, upstream, signal);
  const { common } = sent;
  if (common !== undefined && isOnBothSides(sent))
    await mirror.context.databases.use(mirror.name, (db) =>
      db.unsent.sentThrough(db.parseToken(String(common))),
    );
  if (direction !== 'pull' && !isOnBothSides(sent)) return false;
  return direction === 'push' || isOnBothSides(await checkpointOf(mirror, mirror.pull, upstream, signal));
}

/** What is here of the checkpoints of one direction, and there. */
interface Checkpoint {
  /** Undefined where there is none yet. */
  readonly ours?: LocalLog;
  /** Up to where the upstream has the same. */
  readonly common?: Sequence;
}

const isOnBothSides = ({ ours, common }: Checkpoint): boolean => common === ours?.source_last_seq;

async function checkpointOf(
  mirror: Mirror,
  flow: Pick<Flow, 'id'>,
  upstream: HttpPeer,
  signal: AbortSignal,
): Promise<Checkpoint> {
  const id = `_local/${flow.id}`;
  const text = await mirror.context.databases.use(mirror.name, (db) => db.getLocal(id)?.text);
  if (text === undefined) return {};
  const ours = JSON.parse(text) as LocalLog;
  const theirs = await patiently(() => upstream.getLocal(id, signal), signal);
  return { ours, common: compareLogs(ours, theirs).seq };
}

import { setTimeout as sleep } from 'node:timers/promises';
import { CouchError } from '../../errors.js';
import type { HttpPeer } from '../../replication/http/peer.js';
import { copySecurity } from './control.js';
import { meetUpstream, prepareLocal } from './beginning.js';
import { localSide } from './context.js';
import type { Mirror } from './mirror.js';
import { patiently } from './patiently.js';
import { pull } from './pull.js';
import { Purges } from './purges.js';
import { betweenPurges, whenPurged } from './purge-watch.js';
import { passWhatWasSent, push } from './push.js';
import { naming } from './refused-account.js';
import { mayFlow } from './state.js';
import type { Turn } from './turns.js';
import { warmUp } from './warm-up.js';

/** What a mirror works with while it has its turn. */
export interface Session {
  readonly mirror: Mirror;
  /** The upstream database. */
  readonly upstream: HttpPeer;
  /** What was purged there. */
  readonly purges: Purges;
  /** Whoever waits for something else than the upstream has others work meanwhile. */
  readonly turn: Pick<Turn, 'rest'>;
  readonly signal: AbortSignal;
}

/** How often it is looked whether a mirror has still something to do, in milliseconds. */
const LOOK = 1000;
/** Others wait no longer for one that has always something to do. */
const LONGEST_TURN = 10_000;

/**
 * Works on a mirror for one turn: everything flows that there is, and whatever comes meanwhile, until nothing comes any
 * more, or others wait.
 * @throws CouchError, PeerUnreachable, the reason of the signal
 */
export async function runSession(
  mirror: Mirror,
  turn: Pick<Turn, 'rest'>,
  signal: AbortSignal,
): Promise<void> {
  const upstream = mirror.context.upstream.peerOf(mirror.name);
  const purges = purgesOf(mirror, upstream);
  const session = { mirror, upstream, purges, turn, signal };
  await patiently(() => meetUpstream(session), signal).catch(naming(session, 'read, or mark,'));
  if (!mayFlow(mirror.standing.state) || mirror.isClosed) return;
  await patiently(() => prepareLocal(session), signal);
  await patiently(() => purges.follow(signal), signal);
  if (mirror.standing.isWarm) await patiently(() => copySecurity(mirror, signal), signal);
  else await warmUp(session);
  await betweenPurges(session, (within) => exchange(within));
  signal.throwIfAborted();
  await mirror.hear({ type: 'ran' });
  mirror.synced();
  await follow(session);
}

const purgesOf = (mirror: Mirror, upstream: HttpPeer): Purges =>
  new Purges({
    upstream,
    access: localSide(mirror.name, mirror.context).access,
    known: mirror.record.purgeSeq,
    prepare: (signal) => passWhatWasSent(mirror, upstream, signal),
    refusedOf: async (id) => (await mirror.context.rejected.read(mirror, id)).map(({ rev }) => rev),
    onDone: (purgeSeq) => mirror.note({ purgeSeq }),
  });

/**
 * Lets both directions flow that the rule allows.
 * @param meanwhile what is done beside them where they go on when everything has flowed
 */
async function exchange(
  session: Session,
  meanwhile: readonly ((within: Session) => Promise<void>)[] = [],
): Promise<void> {
  const isEndless = meanwhile.length > 0;
  const { direction } = session.mirror.rule;
  const ending = new AbortController();
  const within = { ...session, signal: AbortSignal.any([session.signal, ending.signal]) };
  const flows = [
    ...(direction === 'push' ? [] : [pull(within, isEndless)]),
    ...(direction === 'pull' ? [] : [push(within, isEndless)]),
    ...meanwhile.map((work) => work(within)),
  ];
  try {
    await Promise.all(flows);
  } catch (error) {
    // Neither goes on alone.
    ending.abort();
    await Promise.allSettled(flows);
    session.signal.throwIfAborted();
    await meetAgain(session, error);
    throw error;
  }
}

/** Goes on until there is nothing to do. */
async function follow({ signal, ...session }: Session): Promise<void> {
  const { mirror } = session;
  const over = new AbortController();
  const began = performance.now();
  mirror.lastUsed = Math.max(mirror.lastUsed, began - LOOK);
  const timer = setInterval(() => {
    if (isOver(mirror, began)) over.abort();
  }, LOOK);
  // What is under way could bring back what is purged beside it: the next turn begins with that, while nothing flows.
  const endAtPurge = async (within: Session): Promise<void> => {
    await whenPurged(within);
    mirror.wake();
    over.abort();
  };
  try {
    const within = { ...session, signal: AbortSignal.any([signal, over.signal]) };
    await exchange(within, [endAtPurge, followSecurity]);
  } catch (error) {
    if (!over.signal.aborted) throw error;
  } finally {
    clearInterval(timer);
  }
  signal.throwIfAborted();
  await mirror.settle();
}

/** One that is in use all the time has no next turn, and no feed tells who may use it. */
async function followSecurity({ mirror, signal }: Session): Promise<never> {
  for (;;) {
    await sleep(mirror.context.config.upstream.pollInterval, undefined, { signal, ref: false });
    await patiently(() => copySecurity(mirror, signal), signal);
  }
}

function isOver(mirror: Mirror, began: number): boolean {
  const { turns, config } = mirror.context;
  const now = performance.now();
  const quiet = now - mirror.lastUsed;
  return (
    quiet >= config.upstream.mirrorIdle ||
    (turns.waiting > 0 && (quiet >= LOOK || now - began >= LONGEST_TURN))
  );
}

/** A database that is gone, or another one by now, is told at once. */
async function meetAgain(session: Session, error: unknown): Promise<void> {
  const isOther = error instanceof CouchError && (error.status === 404 || OTHER.has(error.error));
  if (isOther) await patiently(() => meetUpstream(session), session.signal);
}

const OTHER = new Set(['db_not_found', 'database_replaced']);

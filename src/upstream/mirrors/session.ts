import { setTimeout as sleep } from 'node:timers/promises';
import { CouchError } from '../../errors.js';
import type { HttpClient } from '../../replication/http/client.js';
import type { Peer } from '../../replication/peer.js';
import { copySecurity } from './control.js';
import { meetUpstream, prepareLocal } from './beginning.js';
import type { Mirror } from './mirror.js';
import { localSide } from './context.js';
import { pull } from './pull.js';
import { Purges } from './purges.js';
import { push } from './push.js';
import { mayFlow } from './state.js';
import { warmUp } from './warm-up.js';

/** What a mirror works with while it has its turn. */
export interface Session {
  readonly mirror: Mirror;
  /** The upstream database, and what asks it. */
  readonly upstream: Peer;
  readonly client: HttpClient;
  readonly purges: Purges;
  readonly signal: AbortSignal;
}

/** How often it is looked whether a mirror has still something to do, in milliseconds. */
const LOOK = 1000;
/** How often it is asked what was purged upstream, in milliseconds. */
const PURGES = 30_000;
/** Others wait no longer for one that has always something to do. */
const LONGEST_TURN = 10_000;

/**
 * Works on a mirror for one turn: everything flows that there is, and whatever comes meanwhile, until nothing comes any
 * more, or others wait.
 * @throws CouchError, PeerUnreachable, the reason of the signal
 */
export async function runSession(mirror: Mirror, signal: AbortSignal): Promise<void> {
  const { peer: upstream, client } = mirror.context.upstream.peerOf(mirror.name);
  const purges = new Purges({
    client,
    upstream,
    access: localSide(mirror.name, mirror.context).access,
    known: mirror.record.purgeSeq,
    onDone: (purgeSeq) => mirror.note({ purgeSeq }),
  });
  const session = { mirror, upstream, client, purges, signal };
  await meetUpstream(session);
  if (!mayFlow(mirror.standing.state) || mirror.isClosed) return;
  await prepareLocal(session);
  if (mirror.standing.isWarm) await copySecurity(mirror, signal);
  else await warmUp(session);
  // What was purged there would go up again.
  await purges.follow(signal);
  await exchange(session, false);
  signal.throwIfAborted();
  await mirror.hear({ type: 'ran' });
  mirror.synced();
  await follow(session);
}

/** Lets both directions flow that the rule allows. */
async function exchange(session: Session, isEndless: boolean): Promise<void> {
  const { direction } = session.mirror.rule;
  const ending = new AbortController();
  const within = { ...session, signal: AbortSignal.any([session.signal, ending.signal]) };
  const flows = [
    ...(direction === 'push' ? [] : [pull(within, isEndless)]),
    ...(direction === 'pull' ? [] : [push(within, isEndless)]),
    ...(isEndless ? [followPurges(within)] : []),
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

/** No feed tells of purges. */
async function followPurges({ purges, signal }: Session): Promise<void> {
  for (;;) {
    await sleep(PURGES, undefined, { signal, ref: false });
    await purges.follow(signal);
  }
}

/** Goes on until there is nothing to do. */
async function follow(session: Session): Promise<void> {
  const { mirror, signal } = session;
  const over = new AbortController();
  const began = performance.now();
  mirror.lastUsed = Math.max(mirror.lastUsed, began - LOOK);
  const timer = setInterval(() => {
    if (isOver(mirror, began)) over.abort();
  }, LOOK);
  try {
    await exchange({ ...session, signal: AbortSignal.any([signal, over.signal]) }, true);
  } catch (error) {
    if (!over.signal.aborted) throw error;
  } finally {
    clearInterval(timer);
  }
  signal.throwIfAborted();
  await mirror.settle();
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
  if (isOther) await meetUpstream(session);
}

const OTHER = new Set(['db_not_found', 'database_replaced']);

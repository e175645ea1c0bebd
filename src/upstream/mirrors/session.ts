import { CouchError } from '../../errors.js';
import type { Peer } from '../../replication/peer.js';
import { copySecurity } from './control.js';
import { meetUpstream, prepareLocal } from './beginning.js';
import type { Mirror } from './mirror.js';
import { pull } from './pull.js';
import { push } from './push.js';
import { mayFlow } from './state.js';
import { warmUp } from './warm-up.js';

/** What a mirror works with while it has its turn. */
export interface Session {
  readonly mirror: Mirror;
  /** The upstream database. */
  readonly upstream: Peer;
  readonly signal: AbortSignal;
}

/** How often it is looked whether a mirror has still something to do, in milliseconds. */
const LOOK = 1000;
/** Others wait no longer for one that has always something to do. */
const LONGEST_TURN = 10_000;

/**
 * Works on a mirror for one turn: everything flows that there is, and whatever comes meanwhile, until nothing comes any
 * more, others wait, or the signal fires.
 * @throws CouchError, PeerUnreachable
 */
export async function runSession(mirror: Mirror, signal: AbortSignal): Promise<void> {
  const session = { mirror, upstream: mirror.context.upstream.peerOf(mirror.name), signal };
  await meetUpstream(session);
  if (signal.aborted || !mayFlow(mirror.standing.state)) return;
  await prepareLocal(session);
  if (mirror.standing.isWarm) await copySecurity(mirror, signal);
  else await warmUp(session);
  if (signal.aborted) return;
  await exchange(session, false);
  if (signal.aborted) return;
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
  ];
  try {
    await Promise.all(flows);
  } catch (error) {
    // Neither goes on alone.
    ending.abort();
    await Promise.allSettled(flows);
    throw await asMet(session, error);
  }
}

/** Goes on until there is nothing to do. */
async function follow({ mirror, upstream, signal }: Session): Promise<void> {
  const over = new AbortController();
  const began = performance.now();
  mirror.lastUsed = Math.max(mirror.lastUsed, began - LOOK);
  const timer = setInterval(() => {
    if (isOver(mirror, began)) over.abort();
  }, LOOK);
  try {
    await exchange({ mirror, upstream, signal: AbortSignal.any([signal, over.signal]) }, true);
  } finally {
    clearInterval(timer);
  }
  if (!signal.aborted) await mirror.settle();
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

/** A database that is gone, or another one, is found out about when it is next met. */
async function asMet(session: Session, error: unknown): Promise<unknown> {
  const isOther =
    error instanceof CouchError &&
    (error.error === 'db_not_found' || error.error === 'database_replaced' || error.status === 404);
  if (isOther && !session.signal.aborted) await meetUpstream(session);
  return error;
}

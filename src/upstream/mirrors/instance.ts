import { randomBytes } from 'node:crypto';
import { CouchError } from '../../errors.js';
import type { Peer } from '../../replication/peer.js';
import type { UpstreamInstance } from './records.js';

/** What tells an upstream database from others of its name; all gateways in front of it share one. */
const MARKER = '_local/causeway-mirror';

/** What was found where the upstream database of a mirror should be. */
export type Meeting =
  /** The one that is known, or one that a mirror meets for the first time. */
  | { readonly type: 'met'; readonly upstream: UpstreamInstance }
  | { readonly type: 'missing'; readonly reason: string }
  | { readonly type: 'replaced'; readonly reason: string };

/**
 * Finds out whether an upstream database is the one that a mirror knows. One that it meets for the first time is marked,
 * unless another gateway did that.
 * @param known undefined at the first time
 * @param keepsStartTimes whether `instance_start_time` says when a database was made
 * @throws CouchError, PeerUnreachable
 */
export async function meet(
  peer: Peer,
  known: UpstreamInstance | undefined,
  keepsStartTimes: boolean,
  signal: AbortSignal,
): Promise<Meeting> {
  let start;
  try {
    start = (await peer.info(signal)).instanceStartTime;
  } catch (error) {
    if (!(error instanceof CouchError) || error.status !== 404) throw error;
    return { type: 'missing', reason: 'There is no such database upstream.' };
  }
  const startTime = keepsStartTimes && start !== '0' ? start : undefined;
  const marker = await readMarker(peer, signal);
  if (known === undefined)
    return { type: 'met', upstream: { marker: marker ?? (await mark(peer, signal)), startTime } };
  const reason = differenceOf(known, { marker, startTime });
  if (reason !== undefined) return { type: 'replaced', reason };
  // A server that was updated may have begun to keep it.
  return { type: 'met', upstream: { ...known, startTime: startTime ?? known.startTime } };
}

function differenceOf(
  known: UpstreamInstance,
  { marker, startTime }: { readonly [Key in keyof UpstreamInstance]: string | undefined },
): string | undefined {
  if (marker === undefined)
    return 'The upstream database was made anew, or put back to what it was before it was mirrored.';
  if (marker !== known.marker) return 'The upstream database was made anew, and is mirrored by others.';
  if (startTime !== undefined && known.startTime !== undefined && startTime !== known.startTime)
    return 'The upstream database was made anew, or put back from a copy.';
  return undefined;
}

async function readMarker(peer: Peer, signal: AbortSignal): Promise<string | undefined> {
  const marker = (await peer.getLocal(MARKER, signal))?.instance;
  return typeof marker === 'string' ? marker : undefined;
}

/** Of several gateways that mark it at once all go by the last. */
async function mark(peer: Peer, signal: AbortSignal): Promise<string> {
  const instance = randomBytes(16).toString('hex');
  await peer.putLocal(MARKER, { instance }, signal).catch((error: unknown) => {
    if (!(error instanceof CouchError) || error.status !== 409) throw error;
  });
  return (await readMarker(peer, signal)) ?? instance;
}

import { randomBytes } from 'node:crypto';
import { isMissing } from '../../replication/http/peer.js';
import type { Peer } from '../../replication/peer.js';
import type { UpstreamInstance } from './records.js';

/**
 * What tells an upstream database from others of its name. Each gateway has one of its own there: of two that mark it at
 * once, neither has to know of the other's.
 */
const markerOf = (uuid: string): string => `_local/causeway-mirror-${uuid}`;

/** What was found where the upstream database of a mirror should be. */
export type Meeting =
  /** The one that is known, or one that a mirror meets for the first time. */
  | { readonly type: 'met'; readonly upstream: UpstreamInstance }
  | { readonly type: 'missing'; readonly reason: string }
  | { readonly type: 'replaced'; readonly reason: string };

/** Who meets an upstream database. */
export interface Guest {
  /** Of this server. */
  readonly uuid: string;
  /** The database that it knows; undefined at the first time. */
  readonly known: UpstreamInstance | undefined;
  /** Whether `instance_start_time` says there when a database was made. */
  readonly keepsStartTimes: boolean;
}

/**
 * Finds out whether an upstream database is the one that a mirror knows. One that it meets for the first time is marked.
 * @throws CouchError, PeerUnreachable
 */
export async function meet(
  peer: Peer,
  { uuid, known, keepsStartTimes }: Guest,
  signal: AbortSignal,
): Promise<Meeting> {
  let start;
  try {
    start = (await peer.info(signal)).instanceStartTime;
  } catch (error) {
    if (!isMissing(error)) throw error;
    return { type: 'missing', reason: 'There is no such database upstream.' };
  }
  const startTime = keepsStartTimes && start !== '0' ? start : undefined;
  const id = markerOf(uuid);
  const marker = await readMarker(peer, id, signal);
  if (known === undefined)
    return { type: 'met', upstream: { marker: marker ?? (await mark(peer, id, signal)), startTime } };
  const reason = differenceOf(known, { marker, startTime });
  if (reason !== undefined) return { type: 'replaced', reason };
  // A server that was updated may have begun to keep it.
  return { type: 'met', upstream: { ...known, startTime: startTime ?? known.startTime } };
}

const ANEW = 'The upstream database was made anew, or put back from a copy.';

function differenceOf(
  known: UpstreamInstance,
  { marker, startTime }: { readonly [Key in keyof UpstreamInstance]: string | undefined },
): string | undefined {
  if (marker === undefined)
    return 'The upstream database was made anew, or put back to what it was before it was mirrored.';
  if (marker !== known.marker) return 'The upstream database was made anew, and is mirrored by others.';
  if (startTime !== undefined && known.startTime !== undefined && startTime !== known.startTime) return ANEW;
  return undefined;
}

async function readMarker(peer: Peer, id: string, signal: AbortSignal): Promise<string | undefined> {
  const marker = (await peer.getLocal(id, signal))?.instance;
  return typeof marker === 'string' ? marker : undefined;
}

async function mark(peer: Peer, id: string, signal: AbortSignal): Promise<string> {
  const instance = randomBytes(16).toString('hex');
  await peer.putLocal(id, { instance }, signal);
  return instance;
}

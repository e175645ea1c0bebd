import type { HttpClient } from './client.js';
import { readChanges } from './changes.js';

/** Names one revision of one document. */
export interface RevisionName {
  readonly id: string;
  readonly rev: string;
}

/** Documents that are asked about at once: for no more does a CouchDB look each up instead of reading its whole feed. */
const MOST_AT_ONCE = 100;

/**
 * Those of the revisions that the feed announces: what a server says it has not got is gone only where they are none of
 * these. Otherwise somebody, as one node of a cluster, may not have got it yet, and it must not vanish.
 */
export async function announcedOf<T extends RevisionName>(
  client: HttpClient,
  revisions: readonly T[],
  signal: AbortSignal,
): Promise<ReadonlySet<T>> {
  const announced = new Set<string>();
  const ids = [...new Set(revisions.map(({ id }) => id))];
  for (let at = 0; at < ids.length; at += MOST_AT_ONCE)
    await readLeaves(client, ids.slice(at, at + MOST_AT_ONCE), announced, signal);
  return new Set(revisions.filter((one) => announced.has(nameOf(one))));
}

async function readLeaves(
  client: HttpClient,
  docIds: readonly string[],
  announced: Set<string>,
  signal: AbortSignal,
): Promise<void> {
  const limit = docIds.length;
  const asked = { limit, seqInterval: limit, style: 'all_docs', docIds, wait: false } as const;
  // A page ends early where there are very many leaves.
  for (let since: string | number = 0, isEnd = false; !isEnd;) {
    const { rows, lastSeq, pending } = await readChanges(client, { ...asked, since }, signal);
    for (const { id, revs } of rows) for (const rev of revs) announced.add(nameOf({ id, rev }));
    isEnd = rows.length === 0 || pending !== undefined;
    since = lastSeq;
  }
}

const nameOf = ({ id, rev }: RevisionName): string => JSON.stringify([id, rev]);

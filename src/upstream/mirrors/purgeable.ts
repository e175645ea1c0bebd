import type { ChangedDocument } from '../../replication/peer.js';
import type { Database, PurgeRequest } from '../../store/types/database.js';
import type { DocumentRecord } from '../../store/types/records.js';
import { isWaiting } from './synced.js';

export interface PurgeableOptions {
  /** Says which revisions of a document were refused. */
  readonly refusedOf: (id: string) => Promise<readonly string[]>;
  /** Whether the upstream is known to have lost nothing that was sent there, or came from there, but what was purged. */
  readonly isWhole: boolean;
}

/**
 * Leaves of documents of which something was purged that are to be purged here, too, if the upstream lacks them: those that
 * came from the upstream, or went there. They need not be on the list: it names what was a leaf there, and here may be what
 * led to that. Nor does it say when something was purged. What was written here and has not gone may have been written after
 * it: it stays, and the upstream is not sent it, so that somebody hears of it. So does what the upstream refused, until
 * somebody decided about it.
 * Nothing may flow meanwhile.
 */
export async function purgeable(
  db: Database,
  requests: readonly PurgeRequest[],
  { refusedOf, isWhole }: PurgeableOptions,
): Promise<readonly ChangedDocument[]> {
  const purged = merged(requests);
  const records = await recordsOf(db, purged.keys());
  const waiting = await db.unsent.leaves(records);
  const found: ChangedDocument[] = [];
  for (const record of records) {
    const { id } = record;
    const refused = new Set(await refusedOf(id));
    const isSent = isWhole && !(await isWaiting(db, record));
    const revs = record
      .leaves()
      .map(({ rev }) => rev)
      .filter((rev) => isSent || purged.get(id)?.has(rev) === true)
      .filter((rev) => waiting.get(id)?.has(rev) !== true && !refused.has(rev));
    if (revs.length > 0) found.push({ id, revs, seq: undefined });
  }
  return found;
}

/** A document of which something was purged more than once stands there once. */
function merged(requests: readonly PurgeRequest[]): ReadonlyMap<string, ReadonlySet<string>> {
  const purged = new Map<string, Set<string>>();
  for (const { id, revs } of requests) {
    const known = purged.get(id) ?? new Set();
    purged.set(id, known);
    for (const rev of revs) known.add(rev);
  }
  return purged;
}

const recordsOf = async (db: Database, ids: Iterable<string>): Promise<readonly DocumentRecord[]> =>
  (await db.getMany([...ids])).filter((record) => record !== undefined);

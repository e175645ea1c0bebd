import type { ChangedDocument } from '../../replication/peer.js';
import type { Database, DocumentRecord, PurgeRequest } from '../../store/types.js';

/**
 * What of some purges is to be done here: leaves that came from the upstream, or went there. The list of purges does not
 * say when one was made. What was written here and has not gone may have been written after it: it stays, and the upstream
 * is not sent it, so that somebody hears of it. So does what the upstream refused, until somebody decided about it.
 * Nothing may flow meanwhile.
 * @param refusedOf says which revisions of a document were refused
 */
export async function purgeable(
  db: Database,
  requests: readonly PurgeRequest[],
  refusedOf: (id: string) => Promise<readonly string[]>,
): Promise<readonly ChangedDocument[]> {
  const purged = merged(requests);
  const records = await recordsOf(db, purged.keys());
  const waiting = await db.unsent.leaves(records);
  const found: ChangedDocument[] = [];
  for (const { id, leaves } of leavesAmong(records, purged)) {
    const refused = new Set(await refusedOf(id));
    const revs = leaves.filter((rev) => waiting.get(id)?.has(rev) !== true && !refused.has(rev));
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

/** Only leaves can be purged. */
const leavesAmong = (
  records: readonly DocumentRecord[],
  purged: ReadonlyMap<string, ReadonlySet<string>>,
): readonly { readonly id: string; readonly leaves: readonly string[] }[] =>
  records
    .map((record) => {
      const revs = record.leaves().map(({ rev }) => rev);
      return { id: record.id, leaves: revs.filter((rev) => purged.get(record.id)?.has(rev)) };
    })
    .filter(({ leaves }) => leaves.length > 0);

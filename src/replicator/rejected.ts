import { membersInTurns } from '../json/text.js';
import type { RevisionText } from '../replication/peer.js';
import type { Refusal } from '../replication/replication.js';
import type { RejectionList } from '../rejections/list.js';
import type { ListKey } from '../rejections/rejection.js';
import type { JobSpec } from './jobs.js';

/**
 * The list of what the target of a replication refused. It goes with the checkpoints, which pass what is on it: so what
 * only runs in another way has the same.
 */
export const listOf = ({ id, as }: Pick<JobSpec, 'id' | 'as'>): ListKey => ({
  name: id.base,
  owner: as.name,
});

/** Resolves once it is on the disk. @param most see `RejectionList.add` */
export async function noteRefused(
  list: RejectionList,
  { request, document }: JobSpec,
  { id, rev, error, text }: Refusal,
  most: number,
): Promise<void> {
  const about = {
    source: request.source.url,
    target: request.target.url,
    ...(document !== undefined && { document }),
  };
  const ancestors =
    text !== undefined && list.has(id) ? (await branchOf(text)).filter((one) => one !== rev) : [];
  await list.add(
    { id, rev, status: error.status, error: error.error, reason: error.reason, ancestors },
    about,
    most,
  );
}

/** What was refused before may be written now, or something that descends from it. */
export async function noteWritten(list: RejectionList, documents: readonly RevisionText[]): Promise<void> {
  for (const { id, rev, text } of documents)
    if (list.has(id)) await list.written(id, [rev, ...(await branchOf(text))]);
}

/** A revision and what it descends from. */
async function branchOf(text: string): Promise<readonly string[]> {
  const revisions = (await membersInTurns(text))?.get('_revisions');
  const { start, ids } = JSON.parse(revisions ?? '{}') as {
    readonly start?: unknown;
    readonly ids?: unknown;
  };
  if (typeof start !== 'number' || !Array.isArray(ids)) return [];
  return ids.map((hash, at) => `${start - at}-${String(hash)}`);
}

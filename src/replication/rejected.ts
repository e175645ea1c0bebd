import type { RejectionList } from '../rejections/list.js';
import type { ListInfo, Rejection } from '../rejections/rejection.js';
import type { ChangedDocument, RevisionText } from './peer.js';
import type { Refusal, ReplicationSpec } from './replication.js';
import { branchOf } from './revision-text.js';
import { startReplication } from './run.js';

/**
 * Puts on a list what the target of a replication refused; resolves once it is on the disk.
 * @param about of the list, from now on
 * @param most see `RejectionList.add`
 * @param isAgain see there
 * @returns false where the list is full
 */
export async function noteRefused(
  list: RejectionList,
  { id, rev, error, text }: Refusal,
  about: ListInfo['about'],
  most: number,
  isAgain = false,
): Promise<boolean> {
  const ancestors =
    text !== undefined && list.has(id) ? (await branchOf(text)).filter((one) => one !== rev) : [];
  const { status, error: kind, reason } = error;
  return list.add({ id, rev, status, error: kind, reason, ancestors }, about, most, isAgain);
}

/** What was refused before may be written now, or something that descends from it. */
export async function noteWritten(list: RejectionList, documents: readonly RevisionText[]): Promise<void> {
  for (const { id, rev, text } of documents)
    if (list.has(id)) await list.written(id, [rev, ...(await branchOf(text))]);
}

/**
 * Tries to write what is on a list once more; what is written, or gone from the source, is not on it afterwards.
 * @param rejected what is to be tried of it
 * @param spec of a replication whose listener keeps the list
 * @throws what the sides fail with
 */
export async function writeAgain(
  list: RejectionList,
  rejected: readonly Rejection[],
  spec: Omit<ReplicationSpec, 'revisions'>,
  signal: AbortSignal,
): Promise<void> {
  const wanted = new Map<string, string[]>();
  for (const { id, rev } of rejected) wanted.set(id, [...(wanted.get(id) ?? []), rev]);
  const again = new Set<string>();
  const replication = startReplication({
    ...spec,
    revisions: await leavesOf(spec, wanted, signal),
    listener: {
      ...spec.listener,
      onRefused: (refusal) => {
        again.add(JSON.stringify([refusal.id, refusal.rev]));
        return spec.listener?.onRefused?.(refusal);
      },
    },
  });
  const stop = (): void => void replication.cancel();
  signal.addEventListener('abort', stop);
  await replication.done.finally(() => signal.removeEventListener('abort', stop));
  // The target has the others, or the source has them no more.
  for (const [id, revs] of wanted)
    await list.written(
      id,
      revs.filter((rev) => !again.has(JSON.stringify([id, rev]))),
    );
}

/** Those of the revisions that the source has as leaves; where one is late, with what it may have to wait for. */
async function leavesOf(
  { source, order }: Pick<ReplicationSpec, 'source' | 'order'>,
  wanted: ReadonlyMap<string, readonly string[]>,
  signal: AbortSignal,
): Promise<readonly ChangedDocument[]> {
  const docIds = [...wanted.keys()];
  const { rows } = await source.changes(
    { since: 0, limit: docIds.length, seqInterval: 1, style: 'all_docs', docIds, wait: false },
    signal,
  );
  return rows.map(({ id, revs }) => {
    const asked = wanted.get(id) ?? [];
    const hasLate = order !== undefined && asked.some((rev) => order.isLate(rev));
    return { id, revs: hasLate ? revs : asked.filter((rev) => revs.includes(rev)), seq: undefined };
  });
}

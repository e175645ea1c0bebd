import type { ReplicationOptions, ReplicationTuning } from './options.js';
import type { ChangedDocument, ChangesPage, Sequence, Source } from './peer.js';
import type { Retrying } from './retrying.js';

/** Pages are so many batches long: one round trip for all of them. */
const BATCHES = 4;

/** A stretch of the feed. */
export interface Batch {
  readonly rows: readonly ChangedDocument[];
  /** Its end. */
  readonly seq: Sequence;
  /** Whether it belongs to what was there when the replication began. */
  readonly isBacklog: boolean;
}

/** What becomes known while the feed is read. */
export interface FeedState {
  sourceSeq: Sequence;
  changesPending: number | null;
}

/**
 * Reads the source's feed in batches, one page ahead of whoever asks for them: to its end, or for ever where the
 * replication is continuous.
 */
export async function* readBatches(
  source: Source,
  options: ReplicationOptions,
  { batchSize }: ReplicationTuning,
  retrying: Retrying,
  state: FeedState,
  signal: AbortSignal,
): AsyncGenerator<Batch> {
  const { docIds, selector, filter, queryParams } = options;
  const limit = batchSize * BATCHES;
  const read = (since: Sequence): Promise<ChangesPage> => {
    const page = retrying.run(() =>
      source.changes(
        {
          since,
          limit,
          seqInterval: batchSize,
          style: options.winningRevsOnly === true ? 'main_only' : 'all_docs',
          wait: options.continuous === true,
          ...(docIds !== undefined && { docIds }),
          ...(selector !== undefined && { selector }),
          ...(filter !== undefined && { filter }),
          ...(queryParams !== undefined && { queryParams }),
        },
        signal,
      ),
    );
    // It may fail before anybody waits for it.
    page.catch(() => undefined);
    return page;
  };
  let isBacklog = true;
  for (let next = read(state.sourceSeq); ;) {
    const page = await next;
    const isEnd = page.rows.length === 0 || page.pending === 0;
    const isOver = isEnd && options.continuous !== true;
    if (!isOver) next = read(page.lastSeq);
    yield* batchesOf(page, batchSize, isBacklog, state);
    if (page.rows.length === 0 && !isOver) yield { rows: [], seq: page.lastSeq, isBacklog };
    state.sourceSeq = page.lastSeq;
    state.changesPending = page.pending ?? null;
    if (isOver) return;
    isBacklog &&= !isEnd;
  }
}

/** A batch ends with a row that has a sequence; the last one where the page ends. */
function* batchesOf(
  { rows, lastSeq }: ChangesPage,
  size: number,
  isBacklog: boolean,
  state: FeedState,
): Generator<Batch> {
  for (let from = 0; from < rows.length;) {
    let to = Math.min(from + size, rows.length);
    while (to < rows.length && rows[to - 1]?.seq === undefined) to++;
    const seq = to === rows.length ? lastSeq : (rows[to - 1]?.seq ?? lastSeq);
    state.sourceSeq = seq;
    yield { rows: rows.slice(from, to), seq, isBacklog };
    from = to;
  }
}

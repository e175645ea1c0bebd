import type { ReplicationProgress } from '../replication/progress.js';
import type { ReplicationResult } from '../replication/replication.js';
import type { Sequence } from '../replication/peer.js';
import { REPLICATION_ID_VERSION } from '../replication/id.js';
import { shownUrl } from './endpoint.js';
import type { Members } from './documents.js';
import type { ScheduledJob } from './jobs.js';

/** States of a document as `_scheduler/docs` has them, in the order in which CouchDB names them. */
export const STATES = [
  'initializing',
  'error',
  'running',
  'pending',
  'crashing',
  'completed',
  'failed',
] as const;

export type ShownState = (typeof STATES)[number];

/** A JSON object that is sent. */
export type Shown = Readonly<Record<string, unknown>>;

/** A moment as CouchDB's replicator writes it. @param at milliseconds since 1970 */
export const iso8601 = (at: number): string => `${new Date(at).toISOString().slice(0, 19)}Z`;

/** Sequences are texts here, whatever the source takes them for. */
const sequence = (seq: Sequence): string => (typeof seq === 'string' ? seq : JSON.stringify(seq));

/** The counters of a replication, as documents, jobs and tasks show them. */
export const statistics = (progress: ReplicationProgress): Record<string, string | number | null> => ({
  revisions_checked: progress.missingChecked,
  missing_revisions_found: progress.missingFound,
  docs_read: progress.docsRead,
  docs_written: progress.docsWritten,
  changes_pending: progress.changesPending,
  doc_write_failures: progress.docWriteFailures,
  bulk_get_docs: progress.bulkGetDocs,
  bulk_get_attempts: progress.bulkGetAttempts,
  checkpointed_source_seq: sequence(progress.checkpointedSourceSeq),
});

/** The same with how far the feed was read. */
export const liveStatistics = (progress: ReplicationProgress): Record<string, string | number | null> => ({
  ...statistics(progress),
  source_seq: sequence(progress.sourceSeq),
  through_seq: sequence(progress.throughSeq),
});

const info = (progress: ReplicationProgress | undefined): Shown | null =>
  progress === undefined ? null : liveStatistics(progress);

/** A row of `_scheduler/jobs`. */
export function shownJob({ spec, history, pid, progress }: ScheduledJob, node: string): Shown {
  const { id, request, document, user, startTime } = spec;
  return {
    database: document?.database ?? null,
    id: id.full,
    pid,
    source: request.source.url,
    target: request.target.url,
    user,
    doc_id: document?.id ?? null,
    info: info(progress),
    history: history.map(({ type, at, reason }) => ({
      timestamp: iso8601(at),
      type,
      ...(reason !== undefined && { reason }),
    })),
    node,
    start_time: iso8601(startTime),
  };
}

/** What `_scheduler/docs` shows of a document whose replication the scheduler has. */
export function shownScheduled({ spec, job, history, progress }: ScheduledJob, node: string): Shown {
  const { id, request, document, startTime } = spec;
  return {
    database: document?.database ?? null,
    doc_id: document?.id ?? null,
    id: id.full,
    node,
    source: request.source.url,
    target: request.target.url,
    state: job.state,
    info: job.reason === undefined ? info(progress) : { error: job.reason },
    error_count: job.errorCount,
    last_updated: iso8601(history[0]?.at ?? startTime),
    start_time: iso8601(startTime),
    source_proxy: null,
    target_proxy: null,
  };
}

/** A document that is not with the scheduler yet. */
export interface Unscheduled {
  readonly state: 'initializing' | 'error';
  readonly reason: string | undefined;
  readonly errorCount: number;
  /** Milliseconds since 1970. */
  readonly lastUpdated: number;
  readonly startTime: number;
}

export function shownUnscheduled(database: string, id: string, one: Unscheduled, node: string): Shown {
  return {
    database,
    doc_id: id,
    id: null,
    state: one.state,
    info: one.reason === undefined ? null : { error: one.reason },
    error_count: one.errorCount,
    node,
    last_updated: iso8601(one.lastUpdated),
    start_time: iso8601(one.startTime),
  };
}

/** What `_scheduler/docs` shows of a document that says itself how it ended; undefined where it does not. */
export function shownEnd(database: string, id: string, members: Members): Shown | undefined {
  const { _replication_state: state, _replication_state_time: time = null } = members;
  if (state !== 'completed' && state !== 'failed') return undefined;
  const { source, target, _replication_stats: stats, _replication_state_reason: reason } = members;
  const { start_time: startTime = null, ...counters } = (stats ?? {}) as Members;
  const isFailed = state === 'failed';
  return {
    database,
    doc_id: id,
    id: null,
    source: shownUrl(source),
    target: shownUrl(target),
    state,
    error_count: isFailed ? 1 : 0,
    info: !isFailed ? counters : typeof reason === 'string' ? { error: reason } : null,
    start_time: isFailed ? time : startTime,
    last_updated: time,
  };
}

/** What `_replicate` answers at the end of a replication. */
export function shownResult(result: ReplicationResult, hasDocIds: boolean): Shown {
  const { noChanges, checkpoint } = result;
  const end = { ok: true, ...(noChanges && { no_changes: true }) };
  if (checkpoint === undefined) return end;
  const { sessionId, sourceLastSeq, history } = checkpoint;
  const [newest] = history;
  return {
    ...end,
    session_id: sessionId,
    source_last_seq: sourceLastSeq,
    replication_id_version: REPLICATION_ID_VERSION,
    history,
    // What CouchDB answered before it had checkpoints for these.
    ...(hasDocIds &&
      !noChanges &&
      newest !== undefined && {
        start_time: newest.start_time,
        end_time: newest.end_time,
        docs_read: newest.docs_read,
        docs_written: newest.docs_written,
        doc_write_failures: newest.doc_write_failures,
      }),
  };
}

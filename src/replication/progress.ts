import type { Sequence } from './peer.js';

/** The counters of a replication; those of earlier runs that its checkpoints tell of are in them, as in CouchDB. */
export interface Counters {
  /** Revisions of the source's feed that the target was asked about (`missing_checked`, `revisions_checked`). */
  readonly missingChecked: number;
  /** Those of them that it lacked (`missing_found`, `missing_revisions_found`). */
  readonly missingFound: number;
  readonly docsRead: number;
  readonly docsWritten: number;
  /** Revisions that the target refused for good. */
  readonly docWriteFailures: number;
  /** Revisions that came by `_bulk_get`, and that were asked for in this way. */
  readonly bulkGetDocs: number;
  readonly bulkGetAttempts: number;
}

/** How far a replication is. */
export interface ReplicationProgress extends Counters {
  /** Rows that the source says are still to come; null where it does not say. */
  readonly changesPending: number | null;
  readonly checkpointedSourceSeq: Sequence;
  /** Up to here the feed was read. */
  readonly sourceSeq: Sequence;
  /** Up to here everything was written, or reported as refused. */
  readonly throughSeq: Sequence;
  /** Characters of documents that were written in this run, and bytes of attachments that were, or are just being, sent. */
  readonly bytesWritten: number;
  /** Revisions that failed for no lasting reason and are tried again. */
  readonly held: number;
}

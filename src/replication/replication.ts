import type { CouchError } from '../errors.js';
import type { HistoryEntry } from './checkpoint-log.js';
import type { ReplicationOptions, ReplicationTuning } from './options.js';
import type { ChangedDocument, RevisionText, Sequence, Source, Target } from './peer.js';
import type { ReplicationProgress } from './progress.js';
import type { WriteOrder } from './write-order.js';

/** A revision that the target will never take. */
export interface Refusal {
  readonly id: string;
  readonly rev: string;
  /** Why: mostly 403 `forbidden` or 401 `unauthorized`, or 400 or 413 for what the target cannot store. */
  readonly error: CouchError;
  /** As it was to be written; missing where the target named a revision that it was not sent. */
  readonly text?: string | undefined;
  /** It was not sent: this revision, which has to be there before it, was refused. */
  readonly behind?: string;
}

/** What somebody hears of a replication. */
export interface ReplicationListener {
  /** Both sides are there, and the counters of earlier runs are known. */
  onBegin?(): void;
  /** A revision was refused for good. No checkpoint passes it before the promise resolves; a failure ends the run. */
  onRefused?(refusal: Refusal): void | Promise<void>;
  /** Revisions were written. What it throws or rejects with ends the run. */
  onWritten?(documents: readonly RevisionText[]): void | Promise<void>;
  /** A revision failed for no lasting reason, and is tried again: the run goes on with others meanwhile. */
  onHeld?(refusal: Refusal): void;
  /** Something of the progress changed; called often. */
  onProgress?(): void;
  /** A request failed and is repeated; for logs. Messages hold no credentials. */
  onRetry?(error: Error): void;
}

export interface ReplicationSpec {
  /** As `replicationId` makes it: names the checkpoints. */
  readonly id: string;
  readonly source: Source;
  readonly target: Target;
  readonly options: ReplicationOptions;
  /** Left out where revisions need no order. */
  readonly order?: WriteOrder;
  /** What is left out is as in `TUNING`. */
  readonly tuning?: Partial<ReplicationTuning>;
  readonly listener?: ReplicationListener;
  /** Whether the run may go on without a revision that failed for no lasting reason: then it is passed, and not held. */
  readonly mayPass?: (refusal: Refusal) => boolean;
  /** What is brought instead of what the feed says, where it is given; then no checkpoint is written. */
  readonly revisions?: readonly ChangedDocument[];
}

/** What a run came to, as `_replicate` answers it. */
export interface ReplicationResult {
  /** There was nothing to do since the last checkpoint. */
  readonly noChanges: boolean;
  /** Missing where nothing was ever recorded. */
  readonly checkpoint?: {
    readonly sessionId: string;
    readonly sourceLastSeq: Sequence;
    /** The newest first. */
    readonly history: readonly HistoryEntry[];
  };
  /** When it began and ended; HTTP dates. */
  readonly startTime: string;
  readonly endTime: string;
}

/** A replication that runs. */
export interface Replication {
  readonly progress: ReplicationProgress;
  /**
   * Resolves at the end of the source's feed, of a continuous one never. Rejects with a `CouchError` or
   * `PeerUnreachable` when it cannot go on: whoever starts it again begins at the last checkpoint.
   * Rejects with the reason of `cancel` once that is done.
   */
  readonly done: Promise<ReplicationResult>;
  /** Ends it at once; resolves when a last checkpoint is written, if that was possible, and nothing runs any more. */
  cancel(reason?: Error): Promise<void>;
}

import type { JsonObject, Sequence } from './peer.js';

/** What is replicated, and how: the members of a request to `_replicate`, checked. At most one filter is given. */
export interface ReplicationOptions {
  /** Waits for changes for ever, instead of ending with the last one. */
  readonly continuous?: boolean;
  /** Makes the target where there is none. */
  readonly createTarget?: boolean;
  readonly createTargetParams?: JsonObject;
  readonly docIds?: readonly string[];
  /** Mango, as JSON text. */
  readonly selector?: string;
  /** `design/name`, or one that is built in. */
  readonly filter?: string;
  readonly queryParams?: JsonObject;
  /** Where to begin, whatever the checkpoints say. */
  readonly sinceSeq?: Sequence;
  readonly winningRevsOnly?: boolean;
  /** Default true. */
  readonly useCheckpoints?: boolean;
  /** Default true. */
  readonly useBulkGet?: boolean;
}

/** How a replication behaves; the defaults are for production, tests make waits short. */
export interface ReplicationTuning {
  /** Milliseconds between two checkpoints, about. */
  readonly checkpointInterval: number;
  /** Batches that are read at once, while as many are written. */
  readonly workers: number;
  /** Documents of one batch. */
  readonly batchSize: number;
  /** Bytes of documents in one request to the target, about. */
  readonly batchBytes: number;
  /** How often a request, or a document that failed for no lasting reason, is tried before the run gives up. */
  readonly retries: number;
  /** Milliseconds before the first retry, and the most between two later ones. */
  readonly firstRetry: number;
  readonly longestRetry: number;
}

export const TUNING: ReplicationTuning = {
  checkpointInterval: 30_000,
  // With 4, over 100 ms of distance, half of the documents came that come without it; with 8 it is two thirds or more.
  workers: 8,
  batchSize: 500,
  batchBytes: 1 << 20,
  retries: 5,
  firstRetry: 250,
  longestRetry: 30_000,
};

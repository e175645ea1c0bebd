import type { Sequence } from './peer.js';

/** One entry of a checkpoint's history, under CouchDB's names. */
export interface HistoryEntry {
  readonly session_id: string;
  /** HTTP dates. */
  readonly start_time: string;
  readonly end_time: string;
  readonly start_last_seq: Sequence;
  readonly end_last_seq: Sequence;
  readonly recorded_seq: Sequence;
  readonly missing_checked: number;
  readonly missing_found: number;
  readonly docs_read: number;
  readonly docs_written: number;
  readonly doc_write_failures: number;
  readonly bulk_get_docs: number;
  readonly bulk_get_attempts: number;
}

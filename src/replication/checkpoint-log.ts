import { REPLICATION_ID_VERSION } from './id.js';
import type { JsonObject, LocalLog, Sequence } from './peer.js';

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

/** What is known to be on both sides. */
export interface CommonPoint {
  readonly seq: Sequence;
  /** The entry that both sides have, and those before it; the newest first. */
  readonly history: readonly HistoryEntry[];
}

/** As many entries as CouchDB keeps. */
const LONGEST_HISTORY = 50;

const NOTHING: CommonPoint = { seq: 0, history: [] };

/** A log that says nothing. */
export const NO_LOG: LocalLog = { replication_id_version: REPLICATION_ID_VERSION, history: [] };

/** The newest session that both logs know of: everything up to its sequence was written. */
export function compareLogs(source: LocalLog | undefined, target: LocalLog | undefined): CommonPoint {
  if (source === undefined || target === undefined) return NOTHING;
  const ours = historyOf(source);
  const theirs = historyOf(target);
  if (typeof source.session_id === 'string' && source.session_id === target.session_id) {
    return { seq: sequence(source.source_last_seq), history: ours };
  }
  const known = new Map(theirs.map((entry) => [entry.session_id, entry]));
  const at = ours.findIndex((entry) => known.has(entry.session_id));
  const common = ours[at];
  if (common === undefined) return NOTHING;
  return { seq: sequence(common.recorded_seq), history: ours.slice(at) };
}

/** The log that both sides get: the new entry before those that were there. */
export function newLog(entry: HistoryEntry, history: readonly HistoryEntry[]): LocalLog {
  return {
    session_id: entry.session_id,
    source_last_seq: entry.recorded_seq,
    replication_id_version: REPLICATION_ID_VERSION,
    history: [entry, ...history].slice(0, LONGEST_HISTORY),
  };
}

/** Anybody may have written a log: what is no entry is passed over. */
export function historyOf({ history }: LocalLog): readonly HistoryEntry[] {
  return Array.isArray(history) ? history.filter(isEntry) : [];
}

function isEntry(value: unknown): value is HistoryEntry {
  return typeof value === 'object' && value !== null && typeof (value as JsonObject).session_id === 'string';
}

function sequence(value: unknown): Sequence {
  return typeof value === 'string' || typeof value === 'number' ? value : 0;
}

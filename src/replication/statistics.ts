import type { HistoryEntry } from './checkpoint-log.js';
import type { Counters } from './progress.js';

/** The counters of a run while it goes on. */
export class Statistics implements Counters {
  missingChecked = 0;
  missingFound = 0;
  docsRead = 0;
  docsWritten = 0;
  docWriteFailures = 0;
  bulkGetDocs = 0;
  bulkGetAttempts = 0;
  bytesWritten = 0;

  /** Goes on where an earlier run stopped. */
  restore(entry: HistoryEntry | undefined): void {
    if (entry === undefined) return;
    this.missingChecked = count(entry.missing_checked);
    this.missingFound = count(entry.missing_found);
    this.docsRead = count(entry.docs_read);
    this.docsWritten = count(entry.docs_written);
    this.docWriteFailures = count(entry.doc_write_failures);
    this.bulkGetDocs = count(entry.bulk_get_docs);
    this.bulkGetAttempts = count(entry.bulk_get_attempts);
  }
}

/** Checkpoints are documents that anybody may have written. */
const count = (value: unknown): number => (typeof value === 'number' && value >= 0 ? value : 0);

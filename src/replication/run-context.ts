import type { CouchError } from '../errors.js';
import type { ReplicationOptions, ReplicationTuning } from './options.js';
import type { MissingRevisions, RevisionText, Source, Target } from './peer.js';
import type { Refusal } from './replication.js';
import type { Retrying } from './retrying.js';
import type { Ticket } from './sequence-tracker.js';
import type { Statistics } from './statistics.js';
import type { WriteOrder } from './write-order.js';

/** What the parts of one run share. */
export interface RunContext {
  readonly source: Source;
  readonly target: Target;
  readonly options: ReplicationOptions;
  readonly order: WriteOrder | undefined;
  readonly tuning: ReplicationTuning;
  readonly statistics: Statistics;
  readonly retrying: Retrying;
  /** Aborted when the run is over, for whatever reason. */
  readonly signal: AbortSignal;
  /** Something of the progress changed. */
  changed(): void;
  /** Reports a revision that is refused for good. */
  refused(refusal: Refusal): Promise<void>;
  /** Work that nobody may be waiting for any more when the run ends: it ends after that. */
  during(work: Promise<void>): Promise<void>;
  /** Reports revisions that were written. */
  written(documents: readonly RevisionText[]): Promise<void>;
  /** Takes revisions that are to be tried again later, but for those that may be passed; the ticket is held until then. */
  hold(wanted: MissingRevisions, error: CouchError, ticket: Ticket): void;
}

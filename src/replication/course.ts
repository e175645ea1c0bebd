import type { CouchError } from '../errors.js';
import type { MissingRevisions, RevisionText } from './peer.js';
import type { Refusal } from './replication.js';

/** What becomes of revisions that are brought together. */
export interface Course {
  /** Those of the revisions that came which may be written now; it sees to the others. */
  admit(documents: readonly RevisionText[]): readonly RevisionText[] | Promise<readonly RevisionText[]>;
  /** One is refused for good. */
  refused(refusal: Refusal): Promise<void>;
  /** Some failed for no lasting reason. */
  hold(wanted: MissingRevisions, error: CouchError): void;
}

import type { CouchError } from '../../errors.js';

/** What writes are judged by. Another object after each change, so that whoever judged can tell whether it still holds. */
export interface Rules {
  /** Ids of living design documents that hold a `validate_doc_update`, in their order. */
  readonly validators: readonly string[];
  /** The security object as JSON text. */
  readonly security: string;
}

/** A document that is about to be written, as functions of design documents see it: JSON text. */
export interface Change {
  readonly document: string;
  /** What it replaces; `null` where that is nothing. */
  readonly before: string;
}

/** Has the `validate_doc_update` functions of a database say what one user may write. */
export interface Judge {
  /** @returns for each change in order why it may not be written; undefined where it may */
  judge(rules: Rules, changes: readonly Change[]): Promise<readonly (CouchError | undefined)[]>;
}

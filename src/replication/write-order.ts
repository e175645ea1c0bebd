import type { ReplicationOptions } from './options.js';

/** Which revisions may be written only when others are at the target. */
export interface WriteOrder {
  /**
   * Whether a revision comes after all others of its document that the target lacks, and not at all where that refuses one
   * of them. It is asked about every revision.
   */
  isLate(rev: string): boolean;
  /**
   * A document of its own that has to be there before a late revision, where the source has it.
   * @param parent of the late revision
   */
  documentBefore(id: string, parent: string): { readonly id: string; readonly rev: string };
}

/** Whether everything that the source has is wanted at the target. */
export const bringsAll = ({ docIds, selector, filter, winningRevsOnly }: ReplicationOptions): boolean =>
  docIds === undefined && selector === undefined && filter === undefined && winningRevsOnly !== true;

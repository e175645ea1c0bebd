import type { ResolutionText, ResolvedWrites, Tombstone, VersionText } from './types.js';

/** What an entry of the journal says; what its leaves held is kept with it. */
export type Entry = MergeEntry | TidyEntry | UndoEntry;

/** Leaves went into a merged revision. */
export interface MergeEntry {
  readonly kind: 'merge';
  /** Left out where a rule did it; null for somebody without a name. */
  readonly by?: string | null;
  /** Version of the merge function; left out where somebody did it by hand. */
  readonly function?: string;
  readonly outcome: 'merge' | 'pick' | 'delete';
  /** In CouchDB's order; each with its base, where it had one. */
  readonly leaves: readonly { readonly rev: string; readonly base?: string }[];
  readonly merged: string;
  readonly deleted: boolean;
  /** Of all leaves but the first. */
  readonly tombstones: readonly Tombstone[];
  /** Documents that leaves became. */
  readonly documents: readonly { readonly id: string; readonly rev: string }[];
}

/** Leaves that added nothing to others were deleted. */
export interface TidyEntry {
  readonly kind: 'tidy';
  readonly tombstones: readonly Tombstone[];
}

/** What went into a merged revision was put back. */
export interface UndoEntry {
  readonly kind: 'undo';
  /** Null for somebody without a name. */
  readonly by: string | null;
  /** Number of the entry that says how it was merged. */
  readonly entry: number;
  readonly merged: string;
  /** What was written. */
  readonly revs: readonly string[];
}

export function mergeEntry(
  leaves: readonly (VersionText & { readonly base?: VersionText })[],
  outcome: Exclude<ResolutionText['kind'], 'defer'>,
  { merged, tombstones, documents }: ResolvedWrites,
  who: { readonly by: string | null } | { readonly function: string },
): MergeEntry {
  return {
    kind: 'merge',
    ...who,
    outcome,
    leaves: leaves.map(({ rev, base }) => ({ rev, ...(base !== undefined && { base: base.rev }) })),
    merged: merged.rev,
    deleted: merged.deleted,
    tombstones,
    documents: documents.map(({ id, rev }) => ({ id, rev })),
  };
}

/** @param text as the journal has it: nobody but this server writes there */
export const parseEntry = (text: string): Entry => JSON.parse(text) as Entry;

/** What is counted in a database; kept with every batch, so that it is always exact. */
export interface State {
  readonly updateSeq: number;
  readonly docCount: number;
  readonly deletedCount: number;
  /** Bytes of all bodies that are stored. */
  readonly bodyBytes: number;
  /** Bytes of all attachments that are stored, in all their forms, each counted once. */
  readonly attachmentBytes: number;
  /** Bytes of all documents' metadata. */
  readonly metadataBytes: number;
  /** Bytes of all these that a compaction keeps. */
  readonly activeBytes: number;
  /** Bytes of all leaves with their attachments, uncompressed, as clients would read them. */
  readonly externalBytes: number;
  /** Bytes of bodies and attachments that were dropped since LevelDB was last told to give their space back. */
  readonly droppedBytes: number;
  /** How many documents were asked to be purged, revisions or not. */
  readonly purgeSeq: number;
  /** How many attachments are kept in chunks, which PouchDB does not know. */
  readonly chunked: number;
  /** Documents with two or more leaves that are not deleted. */
  readonly conflicts: number;
  /** Those of them of which something is noted. */
  readonly notedConflicts: number;
}

/** PouchDB would take an attachment in chunks for an empty one: it must not read a database that has any. */
export const pouchUpdateSeq = ({ updateSeq, chunked }: Pick<State, 'updateSeq' | 'chunked'>): string =>
  chunked === 0 ? String(updateSeq) : 'This database has attachments that only Causeway can read.';

/** What is counted since there are attachments, purges, sizes and an index of conflicts. */
const LATER = {
  attachmentBytes: 0,
  metadataBytes: 0,
  activeBytes: 0,
  externalBytes: 0,
  droppedBytes: 0,
  chunked: 0,
  purgeSeq: 0,
  conflicts: 0,
  notedConflicts: 0,
};

/** @returns undefined for what is no state */
export function parseState(text: string | undefined): State | undefined {
  if (text === undefined) return undefined;
  try {
    const state = { ...LATER, ...(JSON.parse(text) as Partial<State>) };
    return isState(state) ? state : undefined;
  } catch {
    return undefined;
  }
}

/** Whether sizes were counted when a state was stored. */
export const countsSizes = (text: string | undefined): boolean => text?.includes('"activeBytes":') === true;

/** The same of conflicts. */
export const countsConflicts = (text: string | undefined): boolean => text?.includes('"conflicts":') === true;

const isState = (state: Partial<State>): state is State =>
  Object.values(state).every((counter) => Number.isSafeInteger(counter)) &&
  [state.updateSeq, state.docCount, state.deletedCount, state.bodyBytes].every(
    (counter) => counter !== undefined,
  );

/** Keys in the sublevel `meta`, each holding JSON. */
export const STATE = 'state';
export const EPOCHS = 'epochs';
/** The name of the last run that wrote, and when this copy of the database began. */
export const COPY = 'copy';
export const SECURITY = 'security';
export const REVS_LIMIT = 'revs_limit';
export const PURGED_INFOS_LIMIT = 'purged_infos_limit';
/** `true` where the database is partitioned; not there where it is not. */
export const PARTITIONED = 'partitioned';
/** There from when a part of what was written is found to be lost until everything was made anew from what is left. */
export const TORN = 'torn';
/** What PouchDB noted of its last compaction, when the counters were last made anew. */
export const POUCH_COMPACTION = 'pouch_compaction';
/** What is known of the rows that the upstream has not got; not there where no account is kept of them. */
export const UNSENT = 'unsent';
/** What is counted of the journal; not there where it never had an entry. */
export const JOURNAL = 'journal';
/** What is counted of the bodies that are kept for merges; not there where there never was one. */
export const BASES = 'bases';
/** With the sequence of a large body behind it: the body's length. */
export const LARGE_BODY = 'large_body/';

/** Stored under `COPY`. */
export interface CopyRecord {
  readonly run: string;
  /** When this copy of the database became its own: microseconds since 1970. */
  readonly instanceStartTime: string;
}

/** @returns undefined for what is no such record */
export function parseCopy(text: string | undefined): CopyRecord | undefined {
  try {
    const { run, instanceStartTime } = JSON.parse(text ?? '') as Partial<CopyRecord>;
    return typeof run === 'string' && typeof instanceStartTime === 'string'
      ? { run, instanceStartTime }
      : undefined;
  } catch {
    return undefined;
  }
}

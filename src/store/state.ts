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
}

/** Keys in the sublevel `meta`, each holding JSON. */
export const STATE = 'state';
export const EPOCHS = 'epochs';
/** The name of the last run that wrote, and when this copy of the database began. */
export const COPY = 'copy';
export const SECURITY = 'security';
export const REVS_LIMIT = 'revs_limit';
export const PURGED_INFOS_LIMIT = 'purged_infos_limit';
/** What PouchDB noted of its last compaction, when the counters were last made anew. */
export const POUCH_COMPACTION = 'pouch_compaction';
/** With the sequence of a large body behind it: the body's length. */
export const LARGE_BODY = 'large_body/';

/** Stored under `COPY`. */
export interface CopyRecord {
  readonly run: string;
  /** When this copy of the database became its own: microseconds since 1970. */
  readonly instanceStartTime: string;
}

/** What a database says of itself. */

export interface DatabaseInfo {
  readonly docCount: number;
  readonly deletedCount: number;
  readonly updateSeq: number;
  /** Grows with each document that is asked to be purged. */
  readonly purgeSeq: number;
  readonly sizes: {
    /** Bytes of the files of the database, which LevelDB compresses. */
    readonly file: number;
    /** Bytes of all leaves with their attachments, uncompressed: what clients could read. */
    readonly external: number;
    /** Bytes of bodies, metadata and attachments that a compaction keeps, each counted once. */
    readonly active: number;
  };
  /** Changes when the database is made anew or restored from a copy; microseconds since 1970 as text. */
  readonly instanceStartTime: string;
  readonly compactRunning: boolean;
}

/** What a database is made with, and keeps. */
export interface DatabaseProperties {
  /** Default false. */
  readonly partitioned?: boolean;
}

/** What is counted in one partition. */
export interface PartitionInfo {
  readonly docCount: number;
  readonly deletedCount: number;
  readonly sizes: {
    /** As those of a database. */
    readonly external: number;
    /** As those of a database, but that attachments count for each leaf that has them. */
    readonly active: number;
  };
}

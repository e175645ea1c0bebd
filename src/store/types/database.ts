/** The interface between the store and everything above it. */
import type { CompactionProgress } from '../compact.js';
import type {
  Bases,
  Conflicts,
  Journal,
  ResolveOptions,
  Resolved,
  ResolvingWrites,
} from '../conflicts/types.js';
import type { IndexStore } from '../indexes.js';
import type { AttachmentReader, AttachmentStaging } from './attachments.js';
import type { ChangeEvents, ChangeRow, ChangesRange } from './changes.js';
import type { DocumentEdit, EditResult, WriteOptions } from './edits.js';
import type { ListRange, Listing, LocalDocument } from './listings.js';
import type { DatabaseInfo, PartitionInfo } from './properties.js';
import type { DocumentRecord, StoredRevision } from './records.js';
import type { Rules } from './rules.js';
import type { Unsent } from './unsent.js';

/**
 * One open database. Reads see what is on disk and never wait for writes; a write resolves once an fsync of the
 * log that holds it has returned.
 */
export interface Database {
  readonly name: string;
  readonly events: ChangeEvents;
  info(): Promise<DatabaseInfo>;
  readonly updateSeq: number;
  /** Grows with each document that is asked to be purged. */
  readonly purgeSeq: number;
  /** As in `info`: tells databases apart that had this name, one after the other. */
  readonly instanceStartTime: string;

  /** The token `N-EPOCH` that names this sequence to clients. */
  token(seq: number): string;
  /**
   * The sequence that a client's token stands for: 0 for tokens of unknown epochs or beyond their epoch's end.
   * @throws CouchError 400 for text that is no token at all.
   */
  parseToken(token: string): number;

  /** Synchronous: one or two LevelDB look-ups of some microseconds. */
  get(id: string): DocumentRecord | undefined;
  getMany(ids: readonly string[]): Promise<(DocumentRecord | undefined)[]>;
  /** The stored JSON text of a revision, `_id` and `_rev` in it; undefined where its body is not kept. */
  read(record: DocumentRecord, rev: string): string | undefined;
  /** Characters that the body of a revision has at most, found without reading it; see body-pages.ts. */
  bodyBound(wanted: StoredRevision | undefined): number;
  /**
   * The same of many.
   * @param once nobody is expected to ask for them again: they are not kept in memory, where others would have to go for them
   */
  readMany(wanted: readonly (StoredRevision | undefined)[], once?: boolean): Promise<(string | undefined)[]>;
  list(range: ListRange): Promise<Listing>;
  /** Whether every id names a partition, `partition:id`; so from the beginning on, and for good. */
  readonly isPartitioned: boolean;
  /** Takes time in proportion to the documents of the partition. */
  partitionInfo(partition: string): Promise<PartitionInfo>;
  /** Number of living documents in a range of ids, the end exclusive. */
  countRange(start: string, end: string): Promise<number>;

  /** Takes in the attachments of one request, for its writes. */
  stageAttachments(): AttachmentStaging;
  /** The attachments of all revisions whose bodies can be read now. */
  openAttachments(): AttachmentReader;

  /** One result for each edit in order; edits of the same id are taken in order. */
  write(edits: readonly DocumentEdit[], options: WriteOptions): Promise<EditResult[]>;

  /**
   * Writes revisions that resolve a conflict, all of them in one batch, where the document still has the leaves that they
   * were made of. @throws CouchError 412 for an attachment that is not there: nothing is written then, either
   */
  resolve(writes: ResolvingWrites, options?: ResolveOptions): Promise<Resolved>;

  getLocal(id: string): LocalDocument | undefined;
  /** `rev` is what the client gave, `0-N`; the answer is `0-(N+1)`, never a conflict (as CouchDB). */
  putLocal(id: string, rev: string | undefined, body: string): Promise<string>;
  /** @returns false where there is none. */
  deleteLocal(id: string): Promise<boolean>;
  listLocal(range: ListRange): AsyncIterable<readonly LocalDocument[]>;

  /** What writes are judged by now. */
  readonly rules: Rules;
  /** The security object as JSON text. */
  readonly security: string;
  setSecurity(text: string): Promise<void>;
  readonly revsLimit: number;
  setRevsLimit(limit: number): Promise<void>;
  readonly purgedInfosLimit: number;
  setPurgedInfosLimit(limit: number): Promise<void>;
  /** Takes leaves of documents away, as if they had never been. @returns those that were there, for each document */
  purge(requests: ReadonlyMap<string, readonly string[]>): Promise<ReadonlyMap<string, readonly string[]>>;
  /** What was asked to be purged, the oldest first, in pages. */
  purges(): AsyncIterable<readonly PurgeRequest[]>;
  /**
   * Drops bodies of revisions that are no leaves, unless they are kept for merges, what only they had attached, revisions beyond `_revs_limit` and
   * purges beyond `_purged_infos_limit`, and gives their space back. A call while one runs joins it.
   */
  compact(report?: (progress: CompactionProgress) => void): Promise<void>;
  /** Resolves when everything that was acknowledged is on disk (it always is, but for `batch=ok`). */
  ensureFullCommit(): Promise<void>;

  /** What is kept beside the documents and can be made anew from them. */
  readonly indexes: IndexStore;

  /** Rows of the changes feed after `since`, oldest first (newest first when descending); see changes/feed.ts. */
  changes(range: ChangesRange): AsyncIterable<readonly ChangeRow[]>;
  /** How many rows the feed has after this sequence. */
  pending(since: number): Promise<number>;

  /** Documents with several leaves that are not deleted. */
  readonly conflicts: Conflicts;
  /** What was done about them. */
  readonly journal: Journal;
  /** Bodies that are kept for merges. */
  readonly bases: Bases;

  /** What the server behind this one has not got yet. */
  readonly unsent: Unsent;
  /**
   * Begins to keep account of that, or ends it. Where it begins all documents that are there count as not sent; where
   * it is kept already nothing changes.
   */
  trackUnsent(on: boolean): Promise<void>;
}

export interface PurgeRequest {
  readonly id: string;
  readonly revs: readonly string[];
}

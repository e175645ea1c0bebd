/** The interface between the store and everything above it. */

/** A revision's ancestry as `_revisions` has it: `ids[0]` is generation `start`, `ids[1]` its parent, and so on. */
export interface Revisions {
  readonly start: number;
  readonly ids: readonly string[];
}

/** A write of one document, already checked by `parseDocument` (document.ts). */
export interface DocumentEdit {
  readonly id: string;
  /**
   * Interactive edits (`new_edits=true`): the revision that is being edited, or `{start: 0, ids: []}`.
   * Replicated edits: the revision itself and its known ancestors.
   */
  readonly revisions: Revisions;
  readonly deleted: boolean;
  /** The document's own members as JSON text without braces, `"a":1,"b":[2]`; empty when it has none. */
  readonly body: string;
  /** By name, in the order of the document; left out where it has none. */
  readonly attachments?: ReadonlyMap<string, AttachmentEdit>;
}

/** What a write says of one attachment. */
export type AttachmentEdit =
  /** It stays as the revision below has it: with this `revpos`, where one is given. */
  | { readonly kind: 'stub'; readonly revpos: unknown }
  /** It is another revision's, and shares its bytes. */
  | { readonly kind: 'shared'; readonly attachment: Attachment }
  | {
      readonly kind: 'staged';
      readonly contentType: string;
      /** The generation of the revision that is written when left out. */
      readonly revpos: number | undefined;
      readonly staged: StagedAttachment;
      /** See `EncodedForm`; the plain length when left out. */
      readonly shownLength?: number | undefined;
    };

export type EditResult =
  { readonly ok: true; readonly rev: string } | { readonly ok: false; readonly error: CouchError };

export interface WriteOptions {
  /** false: the revisions are stored as they are (replication); true: new revisions are made, conflicts refused. */
  readonly newEdits: boolean;
  /** Who says which documents may be written; all may where it is left out. */
  readonly judge?: Judge;
  /** `upstream`: the server behind this one has the revisions already, so that they need not be sent there. */
  readonly origin?: Origin;
}

/** Where revisions come from; everything but what was pulled from the upstream is `local`. */
export type Origin = 'local' | 'upstream';

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

export type RevStatus = 'available' | 'missing' | 'deleted';

export interface Leaf {
  readonly rev: string;
  readonly deleted: boolean;
}

/** What is known of a document without its bodies. */
export interface DocumentRecord {
  readonly id: string;
  /** Number of the document's last change. */
  readonly seq: number;
  /** The winner: not deleted before deleted, then the longest, then the highest hash. */
  readonly winner: string;
  /** Whether the winner is a deletion. */
  readonly deleted: boolean;
  readonly tree: RevTree;
  /** All leaves in winner order, the winner first. */
  leaves(): readonly Leaf[];
  /** All leaves in the order in which CouchDB's `_bulk_get` has them. */
  leavesInTree(): readonly string[];
  /** Whether the revision stands in the tree, with a body or without. */
  has(rev: string): boolean;
  /** Whether the revision itself is a deletion. */
  isDeleted(rev: string): boolean;
  /** The revision with all its known ancestors; undefined where it is not in the tree. */
  revisions(rev: string): Revisions | undefined;
  /** The revision and its ancestors, newest first, with whether each body is kept, as `_revs_info`. */
  revsInfo(rev: string): readonly { readonly rev: string; readonly status: RevStatus }[];
  /** The leaves that descend from the revision (itself if it is one), in winner order; empty where it is not in the tree. */
  latest(rev: string): readonly string[];
  /** Revisions that could be ancestors of missing ones of at most this generation, as in `_revs_diff`. */
  possibleAncestors(generation: number): readonly string[];
}

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

/** A revision whose body may be read. */
export interface StoredRevision {
  readonly record: DocumentRecord;
  readonly rev: string;
}

/** One row of `_all_docs`. */
export interface ListedDocument {
  readonly id: string;
  readonly rev: string;
  /** The stored text of the winner, where bodies were asked for. */
  readonly text?: string;
  /** Only read when asked for (`records`). */
  readonly record?: DocumentRecord;
}

export interface ListRange {
  /** First id (inclusive), in the order of the listing. */
  readonly start?: string;
  readonly end?: string;
  /** Default true. */
  readonly inclusiveEnd?: boolean;
  readonly descending?: boolean;
  readonly skip?: number;
  readonly limit?: number;
  /** Read the winners' bodies too. */
  readonly bodies?: boolean;
  /** Give the records too (for `conflicts=true`). */
  readonly records?: boolean;
  /** Whether the offset is wanted, which takes a count; default true. */
  readonly offset?: boolean;
}

export interface Listing {
  /** Living documents of the database at the moment of the snapshot. */
  readonly total: number;
  /** Living documents before the first row in the order of the listing, skipped ones included. */
  readonly offset: number;
  /** Pages of rows; memory does not grow with their number. Must be iterated to its end or `return`ed. */
  readonly pages: AsyncIterable<readonly ListedDocument[]>;
}

export interface LocalDocument {
  readonly id: string;
  readonly rev: string;
  /** The whole document as JSON text, with `_id` and `_rev`. */
  readonly text: string;
}

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
  readMany(wanted: readonly (StoredRevision | undefined)[]): Promise<(string | undefined)[]>;
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

/**
 * Rows of the feed that wait to be sent to the upstream: those of documents with revisions that did not come from
 * there. A record: nothing else tells them from those that came.
 */
export interface Unsent {
  /** Whether account is kept; without it nothing waits. */
  readonly isTracked: boolean;
  readonly count: number;
  /**
   * Since when the document waits that has waited longest; undefined where none does. Everything that was written before
   * its sequence has gone. May read all that wait.
   */
  oldest(): Promise<Waiting | undefined>;
  /** The rows that wait, oldest first, as `changes` gives them. */
  rows(range: UnsentRange): AsyncIterable<readonly ChangeRow[]>;
  /**
   * Leaves that were written here and have not gone, by the ids of their documents; without those of which nobody knows
   * (`voidAll`). What was pulled while its document waited counts among them, and all of a document that is written
   * meanwhile.
   */
  leaves(records: readonly DocumentRecord[]): Promise<ReadonlyMap<string, ReadonlySet<string>>>;
  /** Everything up to here has gone to the upstream: a checkpoint says so on both sides. */
  sentThrough(seq: number): Promise<void>;
  /** All documents count as not sent from now on: nobody knows what the upstream has. */
  voidAll(): Promise<void>;
}

export interface UnsentRange {
  /** Exclusive. */
  readonly since: number;
  /** Inclusive; the update sequence at the call when left out. */
  readonly until?: number;
  /** At most this many rows a page. */
  readonly pageSize?: number;
}

/** Must be released when the writes are done, whatever became of them. */
export interface AttachmentStaging {
  /** Bytes of what it took in that are in memory. */
  readonly heldBytes: number;
  /** Takes one attachment in. @throws CouchError, and whatever `source` throws; nothing is left of it then */
  take(source: Source, options: StageOptions): Promise<StagedAttachment>;
  /** Lets go of what is in no document. */
  release(): Promise<void>;
}

/** Attachments as they were at one moment, whatever is dropped meanwhile. Must be closed. */
export interface AttachmentReader {
  /** Bytes of an attachment, in pieces. @param digest of its plain or its encoded form */
  read(digest: string, range: ByteRange): AsyncIterable<Buffer>;
  close(): Promise<void>;
}

export interface PurgeRequest {
  readonly id: string;
  readonly revs: readonly string[];
}

export interface ChangesRange {
  /** Exclusive. */
  readonly since: number;
  /** Inclusive; the update sequence at the call when left out. */
  readonly until?: number;
  readonly descending?: boolean;
  /** At most this many rows a page. */
  readonly pageSize?: number;
}

/** One row of the changes index. */
export interface ChangeRow {
  readonly seq: number;
  /** The document's, where nobody has to look for it in the text: in rows that were just written. */
  readonly id?: string;
  /** The row as `style=all_docs` shows it: `{"seq":"5-…","id":"a","changes":[{"rev":"…"}]}`. */
  readonly text: string;
}

/** A row that was just written. */
export interface WrittenRow extends ChangeRow {
  readonly id: string;
}

/** Tells listeners that rows were added. */
export interface ChangeEvents {
  /** @returns the function that ends the subscription. The listener is called after every group commit, never re-entrantly. */
  subscribe(listener: ChangeListener): () => void;
  /** How many listen. */
  readonly size: number;
  /**
   * The rows after a sequence as the index has them, oldest first and no more than a limit, while they are remembered;
   * undefined where it must be read.
   */
  recent(since: number, limit?: number): readonly ChangeRow[] | undefined;
  /** How many those are. */
  countRecent(since: number): number | undefined;
}

/** Hears what happens to databases. */
export interface DatabaseWatcher {
  /** A database is about to change, and does so once this resolves, or at once where it is undefined. Never rejects. */
  willChange(name: string): Promise<void> | undefined;
  /** Its documents changed; that is on disk. */
  didChange(name: string): void;
  /** Design documents were among them. */
  didChangeDesigns(name: string): void;
}

export interface ChangeListener {
  /** New rows are on disk, up to this sequence. */
  onChanges(updateSeq: number): void;
  /** The database was deleted or closed: the feed must end. */
  onClose(): void;
}

import type { CouchError } from '../errors.js';
import type { ByteRange } from './attachments/content.js';
import type { Attachment } from './attachments/members.js';
import type { Source, StagedAttachment, StageOptions } from './attachments/stage.js';
import type { RevTree } from '../revtree/tree.js';
import type { CompactionProgress } from './compact.js';
import type {
  Bases,
  Conflicts,
  Journal,
  Resolved,
  ResolveOptions,
  ResolvingWrites,
} from './conflicts/types.js';
import type { IndexStore } from './indexes.js';
import type { Waiting } from './unsent-entries.js';

export type { Waiting };

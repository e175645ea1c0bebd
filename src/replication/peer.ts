import type { CouchError } from '../errors.js';
import type { FollowingAttachment } from '../multipart/writer.js';

/** A sequence of a source, as it came: opaque, but for being passed on. */
export type Sequence = string | number;

/** A JSON object whose members are looked at one by one. */
export type JsonObject = Readonly<Record<string, unknown>>;

/** What a peer says of its database. */
export interface PeerInfo {
  readonly updateSeq: Sequence;
  /** Whether it never held a document: then nothing has to be asked about what it lacks. */
  readonly isEmpty: boolean;
  /** Another one stands for another life of the database; "0" where the server does not say. */
  readonly instanceStartTime: string;
}

/** Which changes are wanted; at most one of the filters is given. */
export interface ChangesRequest {
  /** Exclusive. */
  readonly since: Sequence;
  /** At most this many rows. */
  readonly limit: number;
  /** Only every so many rows need to have a sequence. */
  readonly seqInterval: number;
  /** `main_only` where only winners are wanted. */
  readonly style: 'all_docs' | 'main_only';
  readonly docIds?: readonly string[];
  /** Mango, as JSON text. */
  readonly selector?: string;
  /** `design/name`, or one that is built in. */
  readonly filter?: string;
  readonly queryParams?: JsonObject;
  /**
   * Where there is nothing yet: resolves with the first rows, or with none after a while that the peer chooses. A
   * request without it resolves at once.
   */
  readonly wait: boolean;
}

export interface ChangedDocument {
  readonly id: string;
  /** Leaves, the winner first. */
  readonly revs: readonly string[];
  /** Whether the winner is a deletion; left out where it is none, or nobody said so. */
  readonly deleted?: boolean;
  /** Missing where the source left it out. */
  readonly seq: Sequence | undefined;
}

export interface ChangesPage {
  /** In the order of the feed. */
  readonly rows: readonly ChangedDocument[];
  /** Everything up to here was looked at. */
  readonly lastSeq: Sequence;
  /** Rows that follow, where the source knows. */
  readonly pending: number | undefined;
}

/** What a target lacks of one document. */
export interface MissingRevisions {
  readonly id: string;
  readonly missing: readonly string[];
  /** What the target has that the missing ones could descend from: their attachments need not be sent. */
  readonly possibleAncestors: readonly string[];
}

/**
 * A revision as text, which is never changed on its way: JSON with `_id`, `_rev` and `_revisions`. What it has attached
 * is named in `_attachments`: with `stub`, or with `follows` where the bytes come beside it.
 */
export interface RevisionText {
  readonly id: string;
  readonly rev: string;
  readonly text: string;
}

/** A revision that has attachments. */
export interface RevisionWithAttachments extends RevisionText {
  /**
   * Those marked with `follows`, in their order, as they are stored. Their bodies must be read in this order, each once
   * and to its end, before the next revision is asked for.
   */
  readonly attachments: readonly FollowingAttachment[];
}

/** What came of a revision that was asked for. */
export type Fetched =
  /** Without attachments. */
  | { readonly kind: 'document'; readonly document: RevisionText }
  /** It has attachments, or the source cannot send many at once: to be fetched by `open`. */
  | { readonly kind: 'apart'; readonly id: string; readonly rev: string }
  /** The source knows for certain nothing of it any more: purged, or never there. */
  | { readonly kind: 'missing'; readonly id: string; readonly rev: string }
  /** The source could not read it, or may not show it. */
  | { readonly kind: 'failed'; readonly id: string; readonly rev: string; readonly error: CouchError };

/** A revision that the target did not take, with the others of its request taken. */
export interface WriteFailure {
  readonly id: string;
  readonly rev: string;
  readonly error: CouchError;
}

/** A local document as it is stored, with `_rev`. */
export type LocalLog = JsonObject;

/**
 * One side of a replication. Whatever fails throws a `CouchError` where the peer said no, and a `PeerUnreachable` where
 * it said nothing that could be understood. An aborted signal ends everything.
 */
export interface Side {
  /** Names it in answers, logs and checkpoints: of a database a URL that ends with `/`, without credentials. */
  readonly name: string;

  /** @throws CouchError 404 where there is no such database */
  info(signal: AbortSignal): Promise<PeerInfo>;
  /** A document whose id begins with `_local/`. */
  getLocal(id: string, signal: AbortSignal): Promise<LocalLog | undefined>;
  /** @param log with the `_rev` of the one that it replaces. @returns the new `_rev`. @throws CouchError 409 */
  putLocal(id: string, log: LocalLog, signal: AbortSignal): Promise<string>;
  /** Resolves when everything that was written is on disk. @returns `instanceStartTime` */
  ensureFullCommit(signal: AbortSignal): Promise<string>;

  /** Frees what it holds. Nothing runs any more. */
  close(): Promise<void>;
}

/** What revisions are copied from. */
export interface Source extends Side {
  changes(request: ChangesRequest, signal: AbortSignal): Promise<ChangesPage>;
  /**
   * Reads many revisions, with their latest descendants where they are no leaves any more: one or more for each that was
   * asked for, in any order, as they come. What is not asked for any more is not read.
   */
  fetch(wanted: readonly MissingRevisions[], signal: AbortSignal): AsyncIterable<readonly Fetched[]>;
  /**
   * Reads revisions of one document with their attachments, one after the other.
   * @param wanted without `possibleAncestors` all attachments come along
   */
  open(wanted: MissingRevisions, signal: AbortSignal): AsyncIterable<OpenedRevision>;
}

/** What revisions are copied to. */
export interface Target extends Side {
  /** Makes it where there is none. @param parameters `q`, `n` and the like */
  create(parameters: JsonObject, signal: AbortSignal): Promise<void>;
  /** Those of the documents of which something is missing. */
  revsDiff(documents: readonly ChangedDocument[], signal: AbortSignal): Promise<readonly MissingRevisions[]>;
  /** Stores revisions as they are. @returns those that were refused one by one. @throws CouchError for all of them */
  write(documents: readonly RevisionText[], signal: AbortSignal): Promise<readonly WriteFailure[]>;
  /** Stores one revision with what follows it. @throws CouchError */
  writeWithAttachments(document: RevisionWithAttachments, signal: AbortSignal): Promise<void>;
}

/** A database, here or behind HTTP, which can be either. */
export interface Peer extends Source, Target {
  /** The winner of a document as JSON; undefined where there is none. */
  get(id: string, signal: AbortSignal): Promise<JsonObject | undefined>;
}

export type OpenedRevision =
  | { readonly kind: 'document'; readonly document: RevisionWithAttachments }
  | { readonly kind: 'missing'; readonly id: string; readonly rev: string };

/** The peer is away, too slow, or answers something that is no answer. */
export class PeerUnreachable extends Error {
  override readonly name = 'PeerUnreachable';
}

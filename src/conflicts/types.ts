/** What conflicts look like to merge functions, and inside of the server. */
import type { RevTree } from '../revtree/tree.js';

/**
 * Resolves a conflict. Pure: the same conflict has the same resolution on every gateway, whatever the clock says, however
 * often it is asked, and it changes nothing. What it throws leaves the document in conflict.
 */
export type MergeFunction = (conflict: Conflict) => Resolution | Promise<Resolution>;

/** A document with two or more leaves that are not deleted. */
export interface Conflict {
  readonly database: string;
  readonly id: string;
  /** The leaves that are not deleted, in CouchDB's order: the winner first. */
  readonly leaves: readonly ConflictLeaf[];
  /** Revisions of deleted leaves, but for those that say that another leaf was merged. */
  readonly deleted: readonly string[];
  /** The nearest common ancestor of all leaves; left out where there is no single one, or its body is gone. */
  readonly base?: Version;
  /** All that is known of the history, oldest generation first. */
  readonly tree: readonly TreeRevision[];
}

/** A document as it was at one revision. */
export interface Version {
  readonly rev: string;
  readonly doc: Document;
}

export interface ConflictLeaf extends Version {
  /**
   * The nearest common ancestor of this leaf and all leaves before it; left out for the first leaf, and where there is no
   * single one, or its body is gone. What differs between it and this leaf is what was done on this leaf's branch alone:
   * a function that goes through the leaves and adds those differences to what it has takes each edit in once.
   */
  readonly base?: Version;
}

/** A document's members, with `_id`, `_rev` and, where it has some, `_attachments`. */
export interface Document {
  readonly [member: string]: unknown;
  readonly _id: string;
  readonly _rev: string;
  readonly _attachments?: Readonly<Record<string, AttachmentInfo>>;
}

/** What functions see of an attachment, and name it by in what they return. */
export interface AttachmentInfo {
  readonly content_type: string;
  /** `md5-` and the md5 of its bytes, uncompressed, in base64. */
  readonly digest: string;
  /** In bytes, uncompressed. */
  readonly length: number;
}

export interface TreeRevision {
  readonly rev: string;
  /** `available` and `missing`: a revision that is no leaf, with or without its body. */
  readonly state: 'leaf' | 'deleted' | 'available' | 'missing';
  /** Left out where older revisions are not known. */
  readonly parent?: string;
  /** Further revisions that went into it: it was merged from them and its parent. */
  readonly absorbed: readonly string[];
}

/** What becomes of a conflict. */
export type Resolution =
  /**
   * The merged document, without `_id` and `_rev`, or with any. Its `_attachments` are some that leaves or bases have, by
   * `digest` and `content_type`. `_deleted: true` deletes the document.
   */
  | { readonly merge: Readonly<Record<string, unknown>> }
  /** The content of one of the leaves, by its revision. */
  | { readonly pick: string }
  | { readonly delete: true }
  /** Somebody must look at it: the reason, and JSON pointers of what could not be merged. */
  | { readonly defer: string; readonly paths?: readonly string[] };

// The same inside of the server, where documents are JSON text: so numbers keep their digits, and what a function leaves
// alone keeps the text that it had.

/** What a revision holds, apart from its ids. */
export interface Content {
  /** The document's own members as JSON text without braces, in the form of `JsonReader`; empty where it has none. */
  readonly body: string;
  /** By name. */
  readonly attachments: ReadonlyMap<string, AttachmentSummary>;
}

export interface AttachmentSummary {
  readonly contentType: string;
  /** `md5-` and the md5 of its bytes, uncompressed, in base64. */
  readonly digest: string;
  /** In bytes, uncompressed. */
  readonly length: number;
}

/** `Version` with a document as text. */
export interface VersionText {
  readonly rev: string;
  readonly content: Content;
}

/** `ConflictLeaf` with documents as text. */
export interface LeafText extends VersionText {
  readonly base?: VersionText;
}

/** `Conflict` with documents as text, and without the name of its database. */
export interface ConflictText {
  readonly id: string;
  readonly leaves: readonly LeafText[];
  readonly deleted: readonly string[];
  readonly base?: VersionText;
  readonly tree: readonly TreeRevision[];
}

/** What the functions that are built in look at. */
export type ConflictGiven = Pick<ConflictText, 'id' | 'leaves'>;

/** `Resolution` with documents as text. */
export type ResolutionText =
  | { readonly kind: 'merge'; readonly deleted: boolean; readonly content: Content }
  | {
      readonly kind: 'pick';
      readonly rev: string;
      /** Leaves whose content becomes a document of its own, with the id of that document. */
      readonly documents?: readonly { readonly id: string; readonly rev: string }[];
    }
  | { readonly kind: 'delete' }
  | { readonly kind: 'defer'; readonly reason: string; readonly paths?: readonly string[] };

/** What is known here of a document. */
export interface KnownDocument {
  readonly id: string;
  readonly tree: RevTree;
  /**
   * What a revision holds; undefined where that is not at hand. Whoever calls notes what was asked for in vain, reads
   * what can be had of it, and asks for the decision again: more is known then, and nothing else changes.
   */
  readonly content: (rev: string) => Content | undefined;
}

/** What is to be done about a document. */
export type Decision =
  /** There is at most one leaf that is not deleted, and nothing to write. */
  | { readonly kind: 'none' }
  /** Leaves that add nothing to others get tombstones, and then the document is looked at again. */
  | { readonly kind: 'tidy'; readonly tombstones: readonly Tombstone[] }
  /** A merge function is to be asked. */
  | { readonly kind: 'merge'; readonly conflict: ConflictText }
  /** What comes by replication will say more; where it does not come, the document is deferred. */
  | { readonly kind: 'wait'; readonly reason: string }
  /** Its leaves are what somebody wanted back: they stay until one of them is edited. */
  | { readonly kind: 'undone' }
  | { readonly kind: 'defer'; readonly reason: string; readonly paths?: readonly string[] };

/** Deletes a leaf that went into another revision. Its body is empty. */
export interface Tombstone {
  readonly rev: string;
  /** The leaf, which is its parent in the tree. */
  readonly leaf: string;
  /** What the leaf went into. */
  readonly into: string;
}

/** What a resolution writes, all of it at once. */
export interface ResolvedWrites {
  readonly merged: MergedRevision;
  /** Of all other leaves. */
  readonly tombstones: readonly Tombstone[];
  /** Further documents, each with one revision of generation 1. */
  readonly documents: readonly DerivedDocument[];
}

export interface MergedRevision {
  readonly rev: string;
  /** Its parent in the tree: the winner. */
  readonly parent: string;
  readonly deleted: boolean;
  readonly body: string;
  readonly attachments: ReadonlyMap<string, TakenAttachment>;
}

/** An attachment, and where its bytes are. */
export interface TakenAttachment extends AttachmentSummary {
  /** A revision that has it, under `name`. */
  readonly from: string;
  readonly name: string;
}

export interface DerivedDocument {
  readonly id: string;
  readonly rev: string;
  readonly body: string;
  readonly attachments: ReadonlyMap<string, TakenAttachment>;
}

import type { PouchError } from 'pouchdb-errors';
import type { RevTree } from '../revtree/tree.js';

/** The interface between pouchdb-core and an adapter: core checks arguments and does what all adapters have in common. */

export type Callback<T> = (error: unknown, result?: T) => void;

/** A document as it comes in and goes out. */
export interface Doc {
  _id: string;
  _rev?: string;
  _deleted?: boolean;
  _attachments?: Record<string, DocAttachment>;
  _conflicts?: string[];
  [member: string]: unknown;
}

/** An attachment within a document: a stub, or bytes in base64 or as they are. */
export interface DocAttachment {
  content_type?: string;
  revpos?: number;
  digest?: string;
  length?: number;
  stub?: boolean;
  data?: unknown;
}

/** What core works out ancestors and conflicts from. */
export interface Metadata {
  readonly id: string;
  readonly rev_tree: RevTree;
  readonly winningRev: string;
  readonly deleted: boolean;
  readonly seq: number;
}

export interface AdapterOptions {
  /** The directory. */
  readonly name: string;
  readonly revs_limit?: number;
  readonly deterministic_revs?: boolean;
  /** Another LevelDB to use. */
  readonly db?: unknown;
}

export interface GetOptions {
  readonly rev?: string;
  /** The leaf that descends from `rev` instead of itself. */
  readonly latest?: boolean;
}

export interface BulkOptions {
  readonly new_edits: boolean;
  /** It comes from `remove`: a document that is not there is not deleted. */
  readonly was_delete?: boolean;
}

export interface WriteOk {
  readonly ok: true;
  readonly id: string;
  readonly rev: string;
}

export type BulkResult = WriteOk | PouchError;

/** What `allDocs` takes; core has put `start_key` into `startkey`, and cut `keys` to what is wanted. */
export interface AllDocsOptions {
  readonly startkey?: unknown;
  readonly endkey?: unknown;
  readonly key?: unknown;
  readonly keys?: readonly unknown[];
  readonly inclusive_end?: boolean;
  readonly descending?: boolean;
  readonly skip?: number;
  readonly limit?: number;
  readonly include_docs?: boolean;
  readonly conflicts?: boolean;
  readonly attachments?: boolean;
  readonly binary?: boolean;
  readonly update_seq?: boolean;
}

export type AllDocsRow =
  | { id: string; key: string; value: { rev: string; deleted?: true }; doc?: Doc | null }
  | { key: unknown; error: 'not_found' };

export interface AllDocsResult {
  total_rows: number;
  offset: number | undefined;
  rows: AllDocsRow[];
  update_seq?: number;
}

export interface Change {
  id: string;
  seq?: number;
  changes: { rev: string }[];
  doc?: Doc;
  deleted?: true;
}

/** What `changes` takes, made ready by core: filters of design documents are functions already. */
export interface ChangesOptions {
  readonly since?: unknown;
  readonly limit?: number;
  readonly descending?: boolean;
  /** Goes on with what is written later. */
  readonly continuous?: boolean;
  readonly doc_ids?: readonly string[];
  readonly filter?: unknown;
  readonly include_docs?: boolean;
  readonly attachments?: boolean;
  readonly binary?: boolean;
  readonly return_docs?: boolean;
  /** Core's: the change that a winner and its metadata make. */
  processChange(doc: Doc, metadata: Metadata, options: ChangesOptions): Change;
  onChange(change: Change): void;
  complete(error: unknown, result?: { results: Change[]; last_seq: number }): void;
}

export interface PurgeResult {
  readonly ok: true;
  readonly deletedRevs: readonly string[];
  readonly documentWasRemovedCompletely: boolean;
}

/** The methods that core calls. */
export interface AdapterMethods {
  _id(callback: Callback<string>): void;
  _info(callback: Callback<{ doc_count: number; update_seq: number; backend_adapter: string }>): void;
  _get(id: string, options: GetOptions, callback: Callback<{ doc: Doc; metadata: Metadata }>): void;
  _getRevisionTree(id: string, callback: Callback<RevTree>): void;
  _getAttachment(
    id: string,
    name: string,
    attachment: DocAttachment,
    options: { readonly binary?: boolean },
    callback: Callback<string | Buffer>,
  ): void;
  _allDocs(options: AllDocsOptions, callback: Callback<AllDocsResult>): void;
  _changes(options: ChangesOptions): { cancel(): void };
  _bulkDocs(request: { docs: Doc[] }, options: BulkOptions, callback: Callback<BulkResult[]>): void;
  _getLocal(id: string, callback: Callback<Doc>): void;
  _putLocal(doc: Doc, callback: Callback<WriteOk>): void;
  _removeLocal(doc: Doc, callback: Callback<WriteOk>): void;
  _doCompaction(id: string, revs: readonly string[], callback: Callback<undefined>): void;
  /** Where the database was not open yet core calls it with what `purge` was called with, else `purge` does. */
  _purge(id: string, rev: string): Promise<PurgeResult>;
  /** In place of core's, which fails after the first purge. */
  purge(id: string, rev: string): Promise<PurgeResult>;
  _close(callback: Callback<undefined>): void;
  _destroy(options: object, callback: Callback<{ ok: true }>): void;
}

/** A PouchDB object while its adapter is put into it. */
export interface AdapterHost extends Partial<AdapterMethods> {
  /** Whether it is reached over the network. */
  _remote?: boolean;
  /** May be set later: by the views, which compact their indexes. */
  auto_compaction?: boolean;
  /** How many purges are remembered. */
  purged_infos_limit?: number;
}

/** PouchDB's interface, as far as applications use it. */

/** Members with an underscore are PouchDB's. */
export interface Document {
  _id?: string;
  _rev?: string;
  _deleted?: boolean;
  _revisions?: { start: number; ids: string[] };
  _attachments?: Record<string, AttachmentValue>;
  [member: string]: unknown;
}

/** A document that is stored. */
export interface StoredDoc extends Document {
  _id: string;
  _rev: string;
  /** Where they were asked for, and there are any. */
  _conflicts?: string[];
  _revs_info?: { rev: string; status: 'available' | 'missing' | 'deleted' }[];
}

export interface AttachmentValue {
  content_type?: string;
  /** Base64, or bytes. */
  data?: string | Buffer;
  /** `md5-` and base64. */
  digest?: string;
  /** Bytes. */
  length?: number;
  revpos?: number;
  stub?: boolean;
}

export interface OpenOptions {
  /** Keeps no body of a revision that is no leaf. */
  auto_compaction?: boolean;
  /** How many generations of a document's revisions are known; the database's own, else 1000, when left out. */
  revs_limit?: number;
  /** Default true: equal edits of equal revisions make equal revisions. */
  deterministic_revs?: boolean;
  /** Put before the path. */
  prefix?: string;
  /** How many purges are remembered; default 1000. */
  purged_infos_limit?: number;
  view_update_changes_batch_size?: number;
}

/** Of a remote database as well. */
export interface PouchOptions extends OpenOptions {
  adapter?: string;
  auth?: { username: string; password: string };
  skip_setup?: boolean;
  fetch?: (url: string, options: RequestInit) => Promise<Response>;
}

export interface WriteResult {
  ok: true;
  id: string;
  rev: string;
}

/** What a document of a batch was refused for. */
export interface WriteError {
  error: true;
  status: number;
  name: string;
  message: string;
  reason?: string;
  id?: string;
}

export interface GetOptions {
  rev?: string;
  latest?: boolean;
  revs?: boolean;
  revs_info?: boolean;
  conflicts?: boolean;
  attachments?: boolean;
  /** Attachments as buffers. */
  binary?: boolean;
}

export interface ListOptions {
  include_docs?: boolean;
  conflicts?: boolean;
  attachments?: boolean;
  binary?: boolean;
  startkey?: string;
  endkey?: string;
  inclusive_end?: boolean;
  descending?: boolean;
  limit?: number;
  skip?: number;
  key?: string;
  keys?: string[];
  update_seq?: boolean;
}

export interface ListRow {
  id: string;
  key: string;
  value: { rev: string; deleted?: boolean };
  doc?: StoredDoc | null;
}

export interface Listing {
  total_rows: number;
  offset: number;
  /** With `keys` also of documents that are not there. */
  rows: (ListRow | { key: string; error: 'not_found' })[];
  update_seq?: number | string;
}

export interface ChangesOptions {
  since?: number | string;
  live?: boolean;
  limit?: number;
  descending?: boolean;
  style?: 'main_only' | 'all_docs';
  include_docs?: boolean;
  conflicts?: boolean;
  attachments?: boolean;
  binary?: boolean;
  doc_ids?: string[];
  filter?: string | ((doc: StoredDoc, params: { query?: unknown }) => boolean);
  query_params?: Record<string, unknown>;
  selector?: Record<string, unknown>;
  view?: string;
  return_docs?: boolean;
  batch_size?: number;
}

export interface ChangeRow {
  id: string;
  seq: number | string;
  changes: { rev: string }[];
  deleted?: boolean;
  doc?: StoredDoc;
}

/** Something under way, which is also a promise of its end. */
export interface Running<T, E extends string> extends Promise<T> {
  on(event: E, listener: (value: unknown) => void): this;
  cancel(): void;
}

export type ChangesFeed = Running<
  { results: ChangeRow[]; last_seq: number | string },
  'change' | 'complete' | 'error'
>;

export interface ReplicationOptions {
  live?: boolean;
  retry?: boolean;
  since?: number | string;
  doc_ids?: string[];
  selector?: Record<string, unknown>;
  filter?: string | ((doc: StoredDoc, params: { query?: unknown }) => boolean);
  query_params?: Record<string, unknown>;
  batch_size?: number;
  batches_limit?: number;
  heartbeat?: number;
  timeout?: number;
  checkpoint?: false | 'source' | 'target';
  back_off_function?: (delay: number) => number;
}

export interface ReplicationResult {
  ok: boolean;
  docs_read: number;
  docs_written: number;
  doc_write_failures: number;
  last_seq: number | string;
  errors: unknown[];
}

type ReplicationEvent = 'change' | 'paused' | 'active' | 'denied' | 'error' | 'complete';

export type Replication = Running<ReplicationResult, ReplicationEvent>;
export type Sync = Running<{ push: ReplicationResult; pull: ReplicationResult }, ReplicationEvent>;

export interface QueryOptions extends Omit<ListOptions, 'startkey' | 'endkey' | 'key' | 'keys'> {
  startkey?: unknown;
  endkey?: unknown;
  key?: unknown;
  keys?: unknown[];
  reduce?: boolean | string;
  group?: boolean;
  group_level?: number;
  stale?: 'ok' | 'update_after';
}

export interface QueryResult {
  total_rows?: number;
  offset?: number;
  rows: { id?: string; key: unknown; value: unknown; doc?: StoredDoc | null }[];
}

/** A PouchDB object. Its methods are documented by PouchDB. */
export interface PouchDatabase {
  readonly name: string;
  readonly adapter: string;
  readonly constructor: PouchConstructor;
  auto_compaction?: boolean;

  info(): Promise<{
    db_name: string;
    doc_count: number;
    update_seq: number | string;
    auto_compaction: boolean;
  }>;
  id(): Promise<string>;
  get(id: string, options?: GetOptions): Promise<StoredDoc>;
  get(
    id: string,
    options: GetOptions & { open_revs: 'all' | string[] },
  ): Promise<({ ok: StoredDoc } | { missing: string })[]>;
  put(
    doc: Document & { _id: string },
    options?: { force?: boolean; new_edits?: boolean },
  ): Promise<WriteResult>;
  post(doc: Document): Promise<WriteResult>;
  remove(doc: { _id: string; _rev: string }): Promise<WriteResult>;
  remove(id: string, rev: string): Promise<WriteResult>;
  /** With `new_edits: false` only the errors. */
  bulkDocs(docs: Document[], options?: { new_edits?: boolean }): Promise<(WriteResult | WriteError)[]>;
  bulkGet(options: {
    docs: { id: string; rev?: string }[];
    revs?: boolean;
    latest?: boolean;
    attachments?: boolean;
    binary?: boolean;
  }): Promise<{ results: { id: string; docs: ({ ok: StoredDoc } | { error: unknown })[] }[] }>;
  allDocs(options?: ListOptions): Promise<Listing>;
  changes(options?: ChangesOptions): ChangesFeed;
  query(
    view: string | ((doc: StoredDoc, emit: (key: unknown, value?: unknown) => void) => void) | object,
    options?: QueryOptions,
  ): Promise<QueryResult>;
  viewCleanup(): Promise<unknown>;
  putAttachment(id: string, name: string, data: string | Buffer, type: string): Promise<WriteResult>;
  putAttachment(
    id: string,
    name: string,
    rev: string,
    data: string | Buffer,
    type: string,
  ): Promise<WriteResult>;
  getAttachment(id: string, name: string, options?: { rev?: string }): Promise<Buffer>;
  removeAttachment(id: string, name: string, rev: string): Promise<WriteResult>;
  revsDiff(revs: Record<string, string[]>): Promise<Record<string, { missing: string[] }>>;
  compact(): Promise<{ ok: boolean }>;
  purge(
    id: string,
    rev: string,
  ): Promise<{ ok: boolean; deletedRevs: string[]; documentWasRemovedCompletely: boolean }>;
  readonly replicate: {
    to(target: PouchDatabase | string, options?: ReplicationOptions): Replication;
    from(source: PouchDatabase | string, options?: ReplicationOptions): Replication;
  };
  sync(other: PouchDatabase | string, options?: ReplicationOptions): Sync;
  close(): Promise<void>;
  destroy(): Promise<{ ok: boolean }>;
  on(
    event: 'created' | 'destroyed' | 'closed' | 'error' | 'indexing',
    listener: (value: unknown) => void,
  ): this;
}

/** The class of PouchDB objects. */
export interface PouchConstructor {
  new (name: string, options?: PouchOptions): PouchDatabase;
  readonly version: string;
  plugin(plugin: unknown): PouchConstructor;
  defaults(options: PouchOptions): PouchConstructor;
  adapter(name: string, adapter: object, preferred: boolean): void;
  replicate(
    source: PouchDatabase | string,
    target: PouchDatabase | string,
    options?: ReplicationOptions,
  ): Replication;
  sync(one: PouchDatabase | string, other: PouchDatabase | string, options?: ReplicationOptions): Sync;
}

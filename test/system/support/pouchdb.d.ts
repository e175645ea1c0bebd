/** The part of PouchDB 9 that the tests use. */
declare module 'pouchdb-node' {
  export interface Doc {
    _id: string;
    _rev?: string;
    _deleted?: boolean;
    _revisions?: { start: number; ids: string[] };
    [member: string]: unknown;
  }

  export interface Row {
    id: string;
    seq: number | string;
    changes: { rev: string }[];
    deleted?: boolean;
    doc?: Doc;
  }

  export interface ReplicationOptions {
    live?: boolean;
    retry?: boolean;
    batch_size?: number;
    batches_limit?: number;
    heartbeat?: number;
    timeout?: number;
    filter?: string;
    view?: string;
    query_params?: Readonly<Record<string, string>>;
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

  type ReplicationEvent = 'change' | 'paused' | 'active' | 'denied' | 'error' | 'complete' | 'requestError';

  /** Also a promise of its end, for what is not live. */
  export interface Replication<T> extends Promise<T> {
    on(event: ReplicationEvent, listener: (what: unknown) => void): this;
    cancel(): void;
  }

  export interface Sync extends Replication<{ push: ReplicationResult; pull: ReplicationResult }> {
    readonly push: Replication<ReplicationResult>;
    readonly pull: Replication<ReplicationResult>;
  }

  export interface Options {
    adapter?: string;
    auth?: { username: string; password: string };
    auto_compaction?: boolean;
    skip_setup?: boolean;
    prefix?: string;
    fetch?: (url: string, options: Record<string, unknown>) => Promise<unknown>;
  }

  export interface WriteResult {
    ok?: boolean;
    id: string;
    rev: string;
    error?: boolean | string;
    reason?: string;
  }

  export default class PouchDB {
    constructor(name: string, options?: Options);
    static plugin(plugin: unknown): typeof PouchDB;
    static defaults(options: Options): typeof PouchDB;
    static fetch(url: string, options?: Record<string, unknown>): Promise<unknown>;
    readonly name: string;
    readonly adapter: string;
    info(): Promise<{ db_name: string; doc_count: number; update_seq: number | string }>;
    get(id: string, options?: { conflicts: true }): Promise<Doc>;
    get(
      id: string,
      options: { open_revs: 'all'; revs: true },
    ): Promise<({ ok: Doc } | { missing: string })[]>;
    put(doc: Doc): Promise<WriteResult>;
    remove(id: string, rev: string): Promise<WriteResult>;
    putAttachment(id: string, name: string, data: Buffer, type: string): Promise<WriteResult>;
    putAttachment(id: string, name: string, rev: string, data: Buffer, type: string): Promise<WriteResult>;
    /** In a browser. */
    getAttachment(id: string, name: string): Promise<Blob>;
    bulkDocs(docs: readonly Doc[], options?: { new_edits?: boolean }): Promise<WriteResult[]>;
    allDocs(options?: { include_docs?: boolean; keys?: string[] }): Promise<{
      total_rows: number;
      rows: { id: string; value: { rev: string }; doc?: Doc }[];
    }>;
    changes(options: {
      since?: number | string;
      style?: 'all_docs' | 'main_only';
      include_docs?: boolean;
      limit?: number;
      return_docs?: boolean;
      batch_size?: number;
    }): Promise<{ results: Row[]; last_seq: number | string }>;
    sync(other: PouchDB, options?: ReplicationOptions): Sync;
    readonly replicate: {
      to(target: PouchDB, options?: ReplicationOptions): Replication<ReplicationResult>;
      from(source: PouchDB, options?: ReplicationOptions): Replication<ReplicationResult>;
    };
    close(): Promise<void>;
    destroy(): Promise<void>;
  }
}

declare module 'pouchdb-browser' {
  export * from 'pouchdb-node';
  export { default } from 'pouchdb-node';
}

/** The bundle that its makers built for pages. */
declare module 'pouchdb-authentication/dist/pouchdb.authentication.js' {
  /** What a server answered, or an error. */
  export type Answer = Readonly<Record<string, unknown>>;
  export interface Authentication {
    readonly signUp: (name: string, password: string, options?: object) => Promise<Answer>;
    readonly signUpAdmin: (name: string, password: string) => Promise<Answer>;
    readonly logIn: (name: string, password: string) => Promise<Answer>;
    readonly logOut: () => Promise<Answer>;
    readonly getSession: () => Promise<Answer>;
    readonly getUser: (name: string) => Promise<Answer>;
    readonly putUser: (name: string, options: object) => Promise<Answer>;
    readonly deleteUser: (name: string) => Promise<Answer>;
    readonly deleteAdmin: (name: string) => Promise<Answer>;
    readonly changePassword: (name: string, password: string) => Promise<Answer>;
    readonly changeUsername: (before: string, after: string) => Promise<Answer>;
  }
  const plugin: unknown;
  export default plugin;
}

declare module 'pouchdb-adapter-memory' {
  const plugin: unknown;
  export default plugin;
}

declare module 'pouchdb-adapter-indexeddb' {
  const plugin: unknown;
  export default plugin;
}

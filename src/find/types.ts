/** What the parts of find/ say to each other. */
import type { Column, Direction } from '../selector/index-keys.js';
import type { Selector } from '../selector/types.js';
import type { Database } from '../store/types/database.js';
import type { UpdateMode, ViewSnapshot } from '../views/types.js';

/** Where a query may look for documents. */
export interface Index {
  /** Id of the design document; null for the ids of the database itself. */
  readonly ddoc: string | null;
  readonly name: string;
  readonly type: 'json' | 'special';
  readonly columns: readonly Column[];
  /** Undefined where the index has all documents with its fields. */
  readonly partial: Selector | undefined;
  /** Whether it answers queries of one partition, or those of the whole database; undefined where it answers both. */
  readonly isPartitioned: boolean | undefined;
}

export interface SortField {
  readonly field: string;
  readonly direction: Direction;
}

/** What a client asks of `_find` or `_explain`, checked. */
export interface FindQuery {
  readonly selector: Selector;
  /** Undefined where all documents are meant. */
  readonly partition: string | undefined;
  /** Name of a design document, perhaps with that of an index; empty where any index will do. */
  readonly useIndex: readonly string[];
  /** As the client got it; undefined for the first page. */
  readonly bookmark: string | undefined;
  readonly limit: number;
  readonly skip: number;
  /** All in one direction. */
  readonly sort: readonly SortField[];
  /** Empty for all. */
  readonly fields: readonly string[];
  /** Of how many copies a cluster would read each document; here there is but one. */
  readonly r: number;
  readonly conflicts: boolean;
  readonly stale: 'ok' | false;
  readonly update: boolean;
  readonly stable: boolean;
  readonly executionStats: boolean;
  readonly allowFallback: boolean;
}

/** Opens indexes of type `json`; `Views` is the real one. */
export interface IndexOpener {
  /** @throws CouchError 404 where the design document or the view is not there */
  open(db: Database, designId: string, viewName: string, update: UpdateMode): Promise<ViewSnapshot>;
}

/** What the parts of views/ say to each other. */
import type { PlaceOrder } from './tree/order.js';
import type { NodeReader, Reducer, Root } from './tree/types.js';

/** One view as its design document defines it. */
export interface ViewDefinition {
  readonly name: string;
  /** The source of the map function as JSON text; with `language: query` the definition of the index. */
  readonly map: string;
  /** The source of the reduce function, or the name of a built-in one; undefined where it has none. */
  readonly reduce: string | undefined;
  /** What else the definition says, as JSON text: Mango's `options`. */
  readonly options: string;
  /** Of `options`: keys are in Erlang's order. */
  readonly isRaw: boolean;
}

/** All views of a design document that are kept in one index. */
export interface ViewGroup {
  /** Id of the design document, `_design/name`. */
  readonly id: string;
  /** `javascript` for functions, `query` for what Mango makes of fields; nothing can be made of others. */
  readonly language: string;
  readonly views: readonly ViewDefinition[];
  /** Modules that map functions may require, as JSON text; empty where there are none. */
  readonly lib: string;
  /** Of `options`: design documents are mapped, too; documents have `_local_seq`. */
  readonly includeDesign: boolean;
  readonly localSeq: boolean;
  /** Each query is of one partition: so it is in a partitioned database, unless `options` say otherwise. */
  readonly isPartitioned: boolean;
  /** 32 hexadecimal digits: what the rows depend on. Two groups of one signature have the same index. */
  readonly signature: string;
}

/** A reducer, and how its reductions are shown: some keep more than what clients see. */
export interface ViewReducer extends Reducer {
  /** The JSON text of a row's value. @throws CouchError where the values could not be reduced */
  show(reduction: string): string;
}

/** The rows of a view as they were at one moment. Must be closed; what is open for long keeps old tables on the disk. */
export interface ViewSnapshot extends PlaceOrder {
  readonly view: ViewDefinition;
  readonly reducer: ViewReducer | undefined;
  readonly root: Root;
  readonly nodes: NodeReader;
  /** The database's sequence up to which the rows are; the rows are exactly those of that moment, or newer. */
  readonly updateSeq: number;
  close(): Promise<void>;
}

/** Whether a query waits for the index to catch up with the database, or takes it as it is, or has it updated after. */
export type UpdateMode = 'true' | 'false' | 'lazy';

/** What `_info` of a design document tells of its index. */
export interface IndexInfo {
  readonly signature: string;
  readonly language: string;
  readonly updaterRunning: boolean;
  readonly waitingClients: number;
  readonly updateSeq: number;
  readonly purgeSeq: number;
  /** Changes that are not in the index yet. */
  readonly pending: number;
  readonly sizes: { readonly file: number; readonly external: number; readonly active: number };
}

/** What a document emits: for each view of its group, keys and values in turns, as JSON text. */
export type Emitted = readonly (readonly string[])[];

/** The map functions of a group. */
export interface Mapper {
  /** What each document emits, in order. @throws CouchError where a function does not come to an end */
  map(documents: readonly string[]): Promise<readonly Emitted[]>;
}

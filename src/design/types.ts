import type { CouchError } from '../errors.js';
import type { Database } from '../store/types/database.js';
import type { ListRows } from './lists.js';

/** Runs the functions of design documents, where they reach nothing but what they are given. */
export interface Sandbox {
  /**
   * The functions of a design document as its winner has them now.
   * @param id with `_design/`
   * @param signal fires when nobody waits for what they say; all calls throw its reason then
   * @throws CouchError 404 where there is none
   */
  design(db: Database, id: string, signal?: AbortSignal): DesignFunctions;
  /**
   * Compiles the functions of the views of a design document that is to be written; none of them is called.
   * @param db that is to have it
   * @param id with `_design/`
   * @param design its text
   * @throws CouchError 400 where one does not compile
   */
  compileViews(db: Database, id: string, design: string): Promise<void>;
  /**
   * The merge functions of a design document as its winner has them now. Nothing tells them the time, and nothing is random.
   * @param id with `_design/`
   * @returns opens a place to run them in, in which nothing is left of others
   * @throws CouchError 404 where there is none
   */
  merges(db: Database, id: string): () => MergeFunctions;
  /** Forgets all that functions have kept: each starts anew when it is called next. */
  reset(): void;
  /** Ends what runs; calls that wait are answered with 503. */
  close(): Promise<void>;
}

/**
 * What the functions of one design document can be asked. Documents, requests and answers are JSON text. What goes
 * wrong is thrown as CouchErrors with CouchDB's status, error and reason.
 */
export interface DesignFunctions {
  /** One verdict for each pair, in order: undefined where the document may be written. */
  validate(
    pairs: readonly ValidatedPair[],
    userCtx: string,
    secObj: string,
  ): Promise<readonly (CouchError | undefined)[]>;
  /** Whether each document passes the filter function. */
  filter(name: string, documents: readonly string[], request: string): Promise<readonly boolean[]>;
  /** Whether the map function of a view emits anything for each document. */
  filterByView(name: string, documents: readonly string[]): Promise<readonly boolean[]>;
  /**
   * What the map functions of all views emit for each document: by view, in the order of their names, keys and values in
   * turns as JSON text. A function that throws emits nothing for that document.
   */
  map(documents: readonly string[]): Promise<readonly (readonly (readonly string[])[])[]>;
  /**
   * What the reduce function of a view makes of each run; `null` where it throws.
   * @param runs of which each has `keys`, a list of `[key, id]` or null for a rereduce, and `values`
   */
  reduce(view: string, runs: readonly ReduceRun[], rereduce: boolean): Promise<readonly string[]>;
  /** @param document `null` where there is none */
  update(name: string, document: string, request: string): Promise<UpdateResult>;
  /** @param document `null` where there is none. @returns the response object */
  show(name: string, document: string, request: string): Promise<string>;
  /**
   * What a list function answers: JSON of the response object that it begins with, then texts. It ends early where its
   * rows say that nobody wants it any more. Its rows are closed when it has begun and comes to its end.
   * @param head what stands above the rows
   * @throws CouchError before the first, or between two
   */
  list(name: string, head: string, request: string, rows: ListRows): AsyncGenerator<string>;
  /** What a rewrite function makes of a request; undefined where it says nothing. */
  rewrite(request: string): Promise<string | undefined>;
}

/** Must be closed. */
export interface MergeFunctions {
  /**
   * What a function of `merges` makes of a conflict, whatever that is.
   * @throws CouchError as those of `DesignFunctions` do
   */
  merge(name: string, conflict: string): Promise<string>;
  /** Calls that are under way, and later ones, are answered with 503. */
  close(): void;
}

export interface ValidatedPair {
  readonly document: string;
  /** What it replaces; `null` where there is none. */
  readonly before: string;
}

export interface ReduceRun {
  readonly keys: string;
  readonly values: string;
}

export interface UpdateResult {
  /** The document to be written, where there is one. */
  readonly document: string | undefined;
  /** The response object. */
  readonly response: string;
}

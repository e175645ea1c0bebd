/** What the pool and its worker threads tell each other. */

/** What a design document can be asked to do: the member of the design document, as CouchDB's protocol names it. */
export type Kind = 'validate_doc_update' | 'filters' | 'views' | 'updates' | 'shows' | 'rewrites';

/** What became of one call in JSON text, which begins with `R` for a result and `E` for an error; see guest/main.ts. */
export type Outcome = boolean | string | null;

/** Calls of one function. */
export interface Call {
  readonly kind: Kind;
  /** Of the function; empty where the design document has only one of the kind. */
  readonly name: string;
  /** JSON texts that differ between the calls. */
  readonly items: readonly (readonly string[])[];
  /** JSON texts that follow them in each call. */
  readonly shared: readonly string[];
}

/** Work for a thread: calls of functions of one design document. */
export interface Order {
  /** Names the design document, its revision and its database; each thread has a machine of its own for it. */
  readonly machine: number;
  /** The text of the design document, where the thread does not have the machine. */
  readonly design: string | undefined;
  readonly call: Call;
  /** Machines that are not wanted any more. */
  readonly drop: readonly number[];
}

/** What a thread answers to an order. */
export interface Report {
  /** Of the first items; a thread that has worked for a while leaves the others. */
  readonly outcomes: readonly Outcome[];
  /** Machines that it has now. */
  readonly machines: readonly number[];
  readonly log: readonly string[];
}

/** What every thread is given. */
export interface ThreadData {
  readonly module: WebAssembly.Module;
  readonly limits: Limits;
  /** Which item of an order a thread works at, as one number that the pool can read at any time. */
  readonly progress: Int32Array;
}

export interface Limits {
  /** Milliseconds for one call. */
  readonly timeout: number;
  /** Bytes that a machine may take. */
  readonly memory: number;
  /** Characters that a call may answer. */
  readonly maxOutput: number;
  /** How many machines a thread keeps. */
  readonly maxKept: number;
}

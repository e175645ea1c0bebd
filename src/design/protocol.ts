/** What the pool and its threads tell each other. */

/**
 * What a design document can be asked to do: the member of the design document, as CouchDB's protocol names it, or `maps`
 * for all map functions of its views, `reduces` for the reduce function of one, and `compiles` for the functions of all
 * views, which are compiled and not called.
 */
export type Kind =
  | 'validate_doc_update'
  | 'filters'
  | 'views'
  | 'updates'
  | 'shows'
  | 'lists'
  | 'rewrites'
  | 'maps'
  | 'reduces'
  | 'compiles'
  | 'merges';

/** What became of one call: text begins with `R` for a result, with `E` for an error; see guest/main.ts. */
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

/** Work for a thread: calls of a function of one design document. */
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
  /** Of the first items: a thread that has worked for a while leaves the others. */
  readonly outcomes: readonly Outcome[];
  /** Machines that it has now. */
  readonly machines: readonly number[];
  /** What the functions logged. */
  readonly log: readonly string[];
}

/** What a thread says while a list function runs. It goes on when it is given an answer. */
export interface Said {
  /** JSON of the response object, where the answer begins; else empty. */
  readonly start: string;
  readonly output: string;
  /** Whether it wants rows. Else the answer says only that there is room for more. */
  readonly wantsRows: boolean;
}

/** Rows as JSON text; none at the end of all. */
export type Given = readonly string[];

/** What every thread is given. */
export interface ThreadData {
  readonly module: WebAssembly.Module;
  readonly limits: Limits;
  readonly signs: Int32Array;
}

/** Numbers that a thread and its pool see at any time, whatever the thread does. */
export const signs = {
  /** Which item of its order the thread works at, or which row; negative before the first. */
  item: 0,
  /** The thread's number in the operating system; 0 where it has none. */
  tid: 1,
  /** Not 0: the thread is to leave its work where it is. */
  stop: 2,
  /** How often it was given rows, for which it waits. */
  given: 3,
  length: 4,
} as const;

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

/** An outcome where the function gives none. CouchDB says so of a process that runs functions. */
export const failed = (reason: string): string => `E${JSON.stringify(['os_process_error', reason])}`;

/** All items of a call together, and all rows of a list, may take as long as so many calls. */
export const TIMEOUTS = 12;

export const TIMED_OUT = failed('OS process timed out.');
export const CRASHED = failed('{exit_status,1}');

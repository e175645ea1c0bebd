import type { Considered, DocumentGiven, Unread } from '../../considering.js';
import type { BuiltIn } from '../../functions/builtin.js';

/** What the thread of the functions that are built in is told, and what it says. */

/** A function, which the thread makes anew: it has to be the same version. */
export type FunctionGiven = Pick<BuiltIn, 'name' | 'options' | 'version'>;

export interface Task {
  /** Its answer has the same. */
  readonly number: number;
  /** Which of the order's functions is to merge it. */
  readonly by: number;
  /** Milliseconds that it may take. */
  readonly timeout: number;
  readonly document: Omit<DocumentGiven, 'tree'> & {
    /** Its text: a deep one cannot be copied. */
    readonly tree: string;
  };
}

/** Tasks that are sent together: each message wakes the other side. */
export interface Order {
  readonly functions: readonly FunctionGiven[];
  readonly tasks: readonly Task[];
}

export type Answer = { readonly number: number } & (
  | { readonly considered: Considered | Unread }
  /** Why there is no answer. */
  | { readonly failure: string }
  /** Why its function cannot be asked. */
  | { readonly unavailable: string }
);

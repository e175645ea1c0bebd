import type { BuiltIn } from '../../functions/builtin.js';
import type { ConflictGiven, ResolutionText } from '../../types.js';

/** What the thread of the functions that are built in is told, and what it says. */

/** A function, which the thread makes anew: it has to be the same version. */
export type FunctionGiven = Pick<BuiltIn, 'name' | 'options' | 'version'>;

export interface Task {
  /** Its answer has the same. */
  readonly number: number;
  /** Which of the order's functions is to resolve it. */
  readonly by: number;
  /** Milliseconds that it may take. */
  readonly timeout: number;
  readonly conflict: ConflictGiven;
}

/** Tasks that are sent together: each message wakes the other side. */
export interface Order {
  readonly functions: readonly FunctionGiven[];
  readonly tasks: readonly Task[];
}

export type Answer = { readonly number: number } & (
  | {
      readonly resolution: ResolutionText;
      /** `contentDigest` of what was merged. */
      readonly digest: string | undefined;
    }
  /** Why there is no resolution. */
  | { readonly failure: string }
  /** Why its function cannot be asked. */
  | { readonly unavailable: string }
);

import type { Database } from '../store/types.js';
import type { MergeRule } from './rules.js';

/** How conflicts are resolved. */
export interface Merging {
  /** By which rule a database's conflicts are resolved now; undefined where they are kept. Takes no time. */
  readonly ruleOf: (db: Database) => MergeRule | undefined;
}

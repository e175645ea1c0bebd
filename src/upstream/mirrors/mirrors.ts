import type { Mirror } from './mirror.js';

/** Where requests for a database are answered. */
export type Place = 'here' | 'there';

/** All mirrors. Must be closed. */
export interface Mirrors {
  /** Where the rules and the mirrors have a database at the moment. */
  placeOf(name: string): Place;
  /** Whether a database is one that the rules have mirrored, and nobody detached. */
  isMirrored(name: string): boolean;
  get(name: string): Mirror | undefined;
  /** Sorted by names. */
  list(): readonly Mirror[];

  // ---- what happens upstream (see `WakingHost`) ----
  /** Names of the mirrors, those first that were used last. */
  mirrors(): readonly string[];
  /** Something of an upstream database changed, or may have. */
  wake(name: string): void;
  missing(name: string): void;
  /** There is such a database upstream: where the rules have it mirrored eagerly, its mirror is made. */
  found(name: string): void;
  readonly wantsNames: boolean;
  /** Whether the upstream tells of changes by itself, so that mirrors may sleep while they are used. Set by whoever listens. */
  isTold: boolean;
}

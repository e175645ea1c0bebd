/** What is used of PouchDB 9's packages. */
declare module 'pouchdb-core' {
  /** The class, before it has any adapter; see pouchdb.ts. */
  const PouchDB: unknown;
  export default PouchDB;
}

declare module 'pouchdb-adapter-http' {
  const plugin: unknown;
  export default plugin;
}

declare module 'pouchdb-replication' {
  const plugin: unknown;
  export default plugin;
}

declare module 'pouchdb-mapreduce' {
  const plugin: unknown;
  export default plugin;
}

declare module 'pouchdb-errors' {
  export interface PouchError extends Error {
    readonly status: number;
    readonly error: true;
    readonly reason?: string;
  }
  export const BAD_ARG: PouchError;
  export const BAD_REQUEST: PouchError;
  export const INVALID_REV: PouchError;
  export const MISSING_DOC: PouchError;
  export const MISSING_STUB: PouchError;
  export const NOT_OPEN: PouchError;
  export const REV_CONFLICT: PouchError;
  export const UNKNOWN_ERROR: PouchError;
  /** A copy of one of these with a reason of its own. */
  export function createError(error: PouchError, reason?: string): PouchError;
}

declare module 'pouchdb-merge' {
  /** `[hash, options, children]` */
  export type RevNode = [string, { status: 'available' | 'missing'; deleted?: boolean }, RevNode[]];

  /** A tree whose root has generation `pos`. */
  export type RevTree = { pos: number; ids: RevNode }[];

  export function winningRev(metadata: { rev_tree: RevTree }): string;
  export function collectLeaves(tree: RevTree): { rev: string }[];
  /** Leaves that are alive and not the winner. */
  export function collectConflicts(metadata: { rev_tree: RevTree }): string[];
  /** A leaf and its ancestors up to the next fork. @throws Error where the revision is none */
  export function findPathToLeaf(tree: RevTree, rev: string): string[];
}

declare module 'pouchdb-adapter-utils' {
  import type { PouchError } from 'pouchdb-errors';
  import type { RevTree } from 'pouchdb-merge';

  export interface ParsedDoc {
    /** The special members without their underscores. */
    readonly metadata: {
      readonly id: string;
      readonly rev: string;
      /** One branch: the new revision at its end. */
      readonly rev_tree: RevTree;
      readonly deleted?: boolean;
    };
    /** What is stored: the document's own members, and `_attachments`. */
    readonly data: Record<string, unknown>;
  }

  /** Makes the id and the revision where they are missing. Returns or throws what is wrong with the document. */
  export function parseDoc(
    doc: Record<string, unknown>,
    newEdits: boolean,
    options?: { readonly deterministic_revs?: boolean },
  ): ParsedDoc | PouchError;
}

declare module 'pouchdb-utils' {
  /** A method of PouchDB objects: it fails where the database is closed, and takes a callback, too. */
  export function adapterFun<A extends unknown[], R>(
    name: string,
    method: (...args: A) => Promise<R>,
  ): (...args: A) => Promise<R>;

  /**
   * Tells whether a change passes, and takes from it what was not asked for; an error where the filter threw,
   * null where there is none though one is named.
   */
  export function filterChange(options: object): (change: object) => boolean | Error | null;
}

/** The part of pouchdb-merge 9 that the tests compare revision trees with. */
declare module 'pouchdb-merge' {
  /** `[hash, options, children]` */
  export type RevNode = [string, { status: 'available' | 'missing'; deleted?: boolean }, RevNode[]];

  /** A tree whose root has generation `pos`. */
  export type RevTree = { pos: number; ids: RevNode }[];

  export function winningRev(metadata: { rev_tree: RevTree }): string;
  export function collectLeaves(tree: RevTree): { rev: string }[];
  export function collectConflicts(metadata: { rev_tree: RevTree }): string[];
}

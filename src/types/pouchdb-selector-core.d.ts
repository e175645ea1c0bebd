/** The part of pouchdb-selector-core 9 that is used here: Mango selectors. */
declare module 'pouchdb-selector-core' {
  export type Selector = Record<string, unknown>;

  /** Throws an `Error` for a selector that it cannot read. */
  export function matchesSelector(doc: object, selector: Selector): boolean;
  /** Rewrites a selector to its normal form (explicit operators, merged `$and`). */
  export function massageSelector(selector: Selector): Selector;
}

import { hash } from 'node:crypto';
import { revOf } from '../revtree/tree.js';

/**
 * The revisions that gateways make by themselves, and how they are known again. Their hashes have CouchDB's form. Six
 * digits say which kind it is, so that a revision of which nothing else is here yet is known for what it is; the others
 * are of what went in, so that all gateways make the same ones, and can prove what they read in a tree.
 */
const MERGED = 'c0a1e5';
const TOMBSTONE = 'c105ed';
const UNDONE = '0bac4e';

/** Digits of a merged revision that say which leaves went in besides its parent. */
const OF_OTHERS = 12;
/** Digits of a tombstone that say what to look for. */
const OF_NAME = 6;
const DIGITS = 32;
const FORM = /^[0-9a-f]{32}$/;

/** What a leaf has to do with the revision that its tombstone names. */
export type TombstoneKind =
  /** It went into this merged revision. */
  | 'input'
  /** All that it says is in this revision: it is a merged revision, and what went into it went in there too. */
  | 'covered'
  /** Both have the same content. */
  | 'equal';

export type Kind = 'edit' | 'merged' | 'tombstone' | 'undone';

const MARKS = [
  [MERGED, 'merged'],
  [TOMBSTONE, 'tombstone'],
  [UNDONE, 'undone'],
] as const;

/** What the hash of a revision says it is. One in 16 million of the clients' own revisions says something wrong. */
export function kindOf(hashOfRev: string): Kind {
  const mark = MARKS.find(([digits]) => hashOfRev.startsWith(digits));
  return mark !== undefined && FORM.test(hashOfRev) ? mark[1] : 'edit';
}

/** Whether a revision is a tombstone. Takes next to no time. */
export const isTombstone = (rev: string): boolean =>
  rev.startsWith(TOMBSTONE, rev.indexOf('-') + 1) && kindOf(rev.slice(rev.indexOf('-') + 1)) === 'tombstone';

/** What a merged revision is made of. */
export interface Merged {
  /** Its parent in the tree. */
  readonly parent: string;
  /** The other leaves that went in, in any order. */
  readonly others: readonly string[];
  readonly deleted: boolean;
  /** `contentDigest` of its content. */
  readonly digest: string;
}

/**
 * The id of a merged revision. Some of its digits depend on nothing but the other leaves: these can be proven where its
 * body is not kept and its parent was stemmed.
 */
export function mergedRev(generation: number, { parent, others, deleted, digest }: Merged): string {
  const sorted = others.toSorted();
  const made = digits('merged', parent, ...sorted, String(deleted), digest);
  const ofOthers = digitsOfOthers(sorted);
  return revOf(generation, MERGED + ofOthers + made.slice(0, DIGITS - MERGED.length - OF_OTHERS));
}

/** Whether these are the leaves, besides its parent, that went into a merged revision. @param mergedHash its hash */
export const isMergeOf = (mergedHash: string, others: readonly string[]): boolean =>
  mergedHash.startsWith(digitsOfOthers(others.toSorted()), MERGED.length);

const digitsOfOthers = (sorted: readonly string[]): string => digits('inputs', ...sorted).slice(0, OF_OTHERS);

/** The id of the tombstone of a leaf. @param into what the leaf went into */
export function tombstoneRev(kind: TombstoneKind, leaf: string, into: string): string {
  const named = nameOf(into);
  const made = digits(kind, leaf, into).slice(0, DIGITS - TOMBSTONE.length - OF_NAME);
  return revOf(Number.parseInt(leaf, 10) + 1, TOMBSTONE + named + made);
}

const KINDS: readonly TombstoneKind[] = ['input', 'covered', 'equal'];

/** What the tombstone of a leaf says of a revision; undefined where it names another one. */
export const tombstoneKind = (tombstone: string, leaf: string, into: string): TombstoneKind | undefined =>
  KINDS.find((kind) => tombstone === tombstoneRev(kind, leaf, into));

/** By these digits the revisions are found that a tombstone may name. */
export const nameOf = (rev: string): string => digits('name', rev).slice(0, OF_NAME);

/** What `nameOf` is of the revision that a tombstone names. @param tombstoneHash the hash of the tombstone */
export const namedBy = (tombstoneHash: string): string =>
  tombstoneHash.slice(TOMBSTONE.length, TOMBSTONE.length + OF_NAME);

/**
 * The id of a leaf that is wanted back. It has the leaf's content, and stands in the tree below what the leaf became
 * there: the tombstone, or the merged revision itself.
 */
export function undoneRev(generation: number, leaf: string, merged: string): string {
  return revOf(generation, UNDONE + digits('undone', leaf, merged).slice(0, DIGITS - UNDONE.length));
}

/** The id of the document that a leaf becomes. What stands before it says which partition the document is in. */
export const derivedId = (id: string, leaf: string): string => `${id}~${leaf}`;

/** The id of a document's first revision that has the content of another document's leaf. */
export const derivedRev = (id: string, leaf: string): string =>
  revOf(1, digits('derived', id, leaf).slice(0, DIGITS));

const digits = (...parts: readonly string[]): string => hash('sha256', JSON.stringify(parts));

/** What the store has to offer for conflicts. */
import type { CouchError } from '../../errors.js';
import type { DocumentEdit, Origin } from '../types/edits.js';
import type { Judge } from '../types/rules.js';

/** A document with two or more leaves that are not deleted. */
export interface ConflictRow {
  /** Number of the document's last change. */
  readonly seq: number;
  readonly id: string;
  /** How many of its leaves are not deleted. */
  readonly leaves: number;
  /** What somebody noted of this conflict, as JSON text; left out where nobody did. */
  readonly state?: string;
}

export interface ConflictsRange {
  /** Exclusive. */
  readonly since: number;
  /** Inclusive; the update sequence at the call when left out. */
  readonly until?: number;
  readonly descending?: boolean;
  /** At most this many rows in all. */
  readonly limit?: number;
}

/** Documents in conflict, in the order of their last changes. */
export interface Conflicts {
  /** How many there are. */
  readonly count: number;
  /** Of how many of them something is noted. */
  readonly noted: number;
  /** Undefined where the document is in no conflict, or is not there. */
  get(id: string): ConflictRow | undefined;
  /** Pages of rows. Whatever changes meanwhile is not shown, or shows at its new place. */
  rows(range: ConflictsRange): AsyncIterable<readonly ConflictRow[]>;
  /**
   * Notes something of a conflict, for as long as the document does not change: with its next change, whatever that is,
   * it is a conflict of which nothing is noted. Feeds and sequences stay as they are.
   * @param state JSON text; `undefined` takes away what was noted
   * @returns false where the document has changed since, or is in no conflict: nothing is noted then
   */
  note(row: Pick<ConflictRow, 'id' | 'seq'>, state: string | undefined): Promise<boolean>;
}

/** What resolves a conflict, all of it or nothing. */
export interface ResolvingWrites {
  /** The document in conflict. */
  readonly id: string;
  /** Its leaves that are not deleted, in any order: nothing is written where it has others by then. */
  readonly ifLeaves: readonly string[];
  /** Replicated revisions, of this document and of others, in the order in which they are written. */
  readonly edits: readonly DocumentEdit[];
}

export interface ResolveOptions {
  /** Who says whether all of the edits may be written; they may where it is left out. */
  readonly judge?: Judge;
  readonly origin?: Origin;
  /** What is written into the journal, in the same batch. */
  readonly journal?: {
    /** JSON text. */
    readonly text: string;
    /** Leaves of the document that the entry keeps as they are. Nothing is written where one stands elsewhere by now. */
    readonly keeps: readonly ReadLeaf[];
  };
}

/** An entry of the journal. */
export interface JournalEntry {
  /** Entries are numbered from 1 on; no number is used twice. */
  readonly number: number;
  /** The document that it is about. */
  readonly id: string;
  /** When it was written, in milliseconds since 1970. */
  readonly time: number;
  /** What its writer has to say, as JSON text. */
  readonly text: string;
}

/** A leaf that went into what an entry tells. */
export interface JournalLeaf {
  readonly rev: string;
  /** As it was stored, with `_id`, `_rev` and what was attached: the bytes are kept as long as the entry is. */
  readonly text: string;
}

/** A leaf of a document as somebody has read it. */
export interface ReadLeaf {
  readonly rev: string;
  /** Where it stood as a body; undefined where it had none. */
  readonly seq: number | undefined;
  /** What was found there; undefined where nothing was. */
  readonly text: string | undefined;
}

export interface JournalRange {
  /** The first number, inclusive; the oldest or newest entry when left out. */
  readonly start?: number;
  /** At most this many entries in all. */
  readonly limit?: number;
  readonly descending?: boolean;
}

export interface JournalLimits {
  /** Milliseconds for which an entry stays, however large the journal is. */
  readonly minAge: number;
  /** Milliseconds after which it goes. */
  readonly maxAge: number;
  /** Bytes above which entries go, the oldest first. */
  readonly maxBytes: number;
}

/**
 * What was done about conflicts, with the leaves as they were: so that it can be undone. A purge takes out what entries
 * have of the purged revisions, and entries that have nothing else.
 */
export interface Journal {
  readonly count: number;
  /** Bytes of all entries with their leaves, and of what these have attached, whoever else has that. */
  readonly bytes: number;
  get(number: number): JournalEntry | undefined;
  /** The leaves that an entry keeps, in the order of their revisions: they may be large. */
  leaves(number: number): AsyncIterable<JournalLeaf>;
  /** The entries of one document, the oldest first. */
  numbersOf(id: string): Promise<readonly number[]>;
  /** Pages of entries. */
  list(range: JournalRange): AsyncIterable<readonly JournalEntry[]>;
  /** Takes away what is too old or too much. Afterwards it may still be too large: then nothing is old enough. */
  trim(limits: JournalLimits, signal?: AbortSignal): Promise<void>;
  /** When the oldest entry has to go, in milliseconds since 1970; undefined where there is none. */
  due(limits: JournalLimits): Promise<number | undefined>;
}

export interface BaseLimits {
  /** Milliseconds for which the body of a revision is kept once it is no leaf any more. */
  readonly maxAge: number;
  /** Bytes above which the oldest go. */
  readonly maxBytes: number;
}

/**
 * Bodies of revisions that are no leaves any more, which compactions leave alone because a merge may need them. They are kept
 * from when the database got limits for them; when it has none any more, its next compaction drops them.
 */
export interface Bases {
  readonly count: number;
  /** Bytes of all of them, and of what they have attached, whoever else has that. */
  readonly bytes: number;
  /** Gives up those that are too old or too much: the next compaction drops them. */
  trim(signal?: AbortSignal): Promise<void>;
  /** When the oldest is too old at the earliest, in milliseconds since 1970; undefined where there is none. */
  due(): Promise<number | undefined>;
}

/** What became of the writes that resolve a conflict. */
export type Resolved =
  /** With the number of the entry in the journal, where one was asked for. */
  | { readonly kind: 'written'; readonly entry?: number }
  /** The document has other leaves by now. */
  | { readonly kind: 'changed' }
  /** One of the edits may not be written: which one, and why. */
  | { readonly kind: 'refused'; readonly edit: DocumentEdit; readonly error: CouchError };

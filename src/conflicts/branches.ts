import type { Turns } from '../json/turns.js';
import { revsOf } from '../revtree/tree.js';
import type { JournalEntry } from '../store/conflicts/types.js';
import type { Database } from '../store/types/database.js';
import type { DocumentRecord } from '../store/types/records.js';
import { parseEntry } from './entries.js';
import { livingLeaves } from './loaded.js';
import { tombstoneKind } from './revisions.js';
import type { Tombstone } from './types.js';

/** So many documents are purged at a time, and so many revisions of them: no CouchDB takes more at once, … */
const MOST_DOCUMENTS = 100;
const MOST_LEAVES = 1000;
/** … and their trees have so many revisions, if there are several: a commit writes them at one go. */
const MOST_REVISIONS = 5000;

export interface BranchesRange {
  /** Number of the first entry of the journal. */
  readonly start: number;
  /** Entries that were written later are too young, in milliseconds since 1970. */
  readonly until: number;
}

/** Branches of which nothing is wanted any more, as far as they go at one time. */
export interface Branches {
  /** Id → the tombstones that they end with. */
  readonly requests: ReadonlyMap<string, readonly string[]>;
  /** Id → number of the first entry that led to it. */
  readonly entries: ReadonlyMap<string, number>;
  /** The first entry about a document that is in conflict: what was merged may still have to be proven. */
  readonly inConflict: number | undefined;
  /** Number of the entry to go on with. */
  readonly next: number;
  /** When that was written; undefined where there is none yet. */
  readonly nextTime: number | undefined;
  /** Whether it is old enough too, and had no room. */
  readonly isFull: boolean;
}

/** What of a journal is old enough leads to the branches that merges made an end of. */
export async function branchesIn(
  db: Database,
  { start, until }: BranchesRange,
  turns: Pick<Turns, 'pass'>,
  signal: AbortSignal,
): Promise<Branches> {
  const batch = new Batch(start);
  for await (const page of db.journal.list({ start })) {
    for (const entry of page) {
      await turns.pass();
      signal.throwIfAborted();
      const isFull = entry.time <= until && !batch.take(entry, db);
      if (isFull || entry.time > until) return { ...batch.found(), nextTime: entry.time, isFull };
    }
  }
  return { ...batch.found(), nextTime: undefined, isFull: false };
}

class Batch {
  readonly #requests = new Map<string, Set<string>>();
  readonly #entries = new Map<string, number>();
  #inConflict: number | undefined;
  #leaves = 0;
  #revisions = 0;

  constructor(private next: number) {}

  found(): Omit<Branches, 'nextTime' | 'isFull'> {
    const requests = new Map(Array.from(this.#requests, ([id, revs]) => [id, [...revs]]));
    return { requests, entries: this.#entries, inConflict: this.#inConflict, next: this.next };
  }

  /** @returns false where the entry is to be looked at again: there was no room for all that it leads to */
  take(entry: JournalEntry, db: Database): boolean {
    const { id, number } = entry;
    this.next = number;
    const tombstones = tombstonesOf(entry);
    const record = tombstones.length === 0 ? undefined : db.get(id);
    if (record !== undefined && livingLeaves(record).length > 1) this.#inConflict ??= number;
    else if (record !== undefined && !this.#add(record, spentIn(record, tombstones), number)) return false;
    this.next = number + 1;
    return true;
  }

  #add(record: DocumentRecord, revs: readonly string[], number: number): boolean {
    if (revs.length === 0) return true;
    const { id, tree } = record;
    const before = this.#requests.get(id);
    if (before === undefined) {
      const revisions = revsOf(tree).length;
      if (this.#requests.size > 0 && !this.#hasRoom(revisions)) return false;
      this.#revisions += revisions;
      this.#entries.set(id, number);
    }
    const fit = revs.slice(0, MOST_LEAVES - this.#leaves);
    this.#leaves += fit.length;
    this.#requests.set(id, new Set([...(before ?? []), ...fit]));
    return fit.length === revs.length;
  }

  #hasRoom(revisions: number): boolean {
    return (
      this.#requests.size < MOST_DOCUMENTS &&
      this.#leaves < MOST_LEAVES &&
      this.#revisions + revisions <= MOST_REVISIONS
    );
  }
}

function tombstonesOf({ text }: JournalEntry): readonly Tombstone[] {
  const entry = parseEntry(text);
  return entry.kind === 'undo' ? [] : entry.tombstones;
}

/**
 * Tombstones of leaves that went into a merged revision which is there: what they delete is in it, and its digits may prove
 * that again. Those of leaves that were equal, or covered, tell what nothing else does.
 */
function spentIn(record: DocumentRecord, tombstones: readonly Tombstone[]): string[] {
  const deleted = new Set(record.leaves().flatMap((leaf) => (leaf.deleted ? [leaf.rev] : [])));
  deleted.delete(record.winner);
  return tombstones
    .filter(({ rev, leaf, into }) => deleted.has(rev) && isInput(rev, leaf, into) && record.has(into))
    .map(({ rev }) => rev);
}

const isInput = (rev: string, leaf: string, into: string): boolean =>
  tombstoneKind(rev, leaf, into) === 'input';

import type { ClassicLevel } from 'classic-level';
import { journalOwner } from '../attachments/refs-text.js';
import { type AttachmentForm, type BodyFacts, factsOf } from '../body-facts.js';
import {
  entriesOfId,
  entryText,
  JOURNAL_KEY,
  journalIdKey,
  journalKey,
  leafBytes,
  leavesKey,
  leavesOf,
  numberOfIdKey,
  parseEntry,
} from './journal-entry.js';
import { gathered, leavesIn, storedLeaves } from './leaf-text.js';
import { isSameTally, type Tally } from './tally.js';
import type { JournalLeaf } from './types.js';

/** Puts and deletes of the commit that is being put together. */
interface Batch {
  put(key: string, value: string): void;
  del(key: string): void;
}

/** Who has which attachment. */
interface Owners {
  addOwner(digest: string, owner: string): void;
  removeOwner(form: AttachmentForm, owner: string): void;
}

interface JournalContext {
  readonly level: ClassicLevel;
  /** As it is on disk. */
  readonly journal: Tally;
}

/** A leaf that an entry gets. */
export interface AddedLeaf extends JournalLeaf {
  /** Where it stands as a body. */
  readonly seq: number;
}

interface Added {
  readonly id: string;
  readonly time: number;
  readonly text: string;
  readonly leaves: readonly AddedLeaf[];
}

/** Attachments that an entry has from a commit on, or has no more. */
export interface HeldChange {
  readonly forms: readonly AttachmentForm[];
  readonly by: 1 | -1;
}

/** What a commit does to the journal, as others need to know it. */
export interface JournalChange {
  /** What holds once it is on disk. */
  readonly journal: Tally;
  readonly held: readonly HeldChange[];
  /** About bodies that were looked at, by their sequences: nobody need read them once more. */
  readonly facts: ReadonlyMap<number, BodyFacts>;
}

/** What one commit does to the journal. */
export class JournalWrites {
  readonly #added = new Map<number, Added>();
  readonly #removed = new Set<number>();
  /** Id → revisions that are as if they had never been. */
  readonly #purged = new Map<string, Set<string>>();
  #last: number;
  #count: number;
  #bytes: number;
  readonly #held: HeldChange[] = [];
  /** About the bodies of leaves that entries get, by their sequences. */
  readonly #facts = new Map<number, BodyFacts>();

  constructor(
    private readonly context: JournalContext,
    private readonly batch: Batch,
    private readonly owners: Owners,
  ) {
    ({ last: this.#last, count: this.#count, bytes: this.#bytes } = context.journal);
  }

  get empty(): boolean {
    return this.#added.size === 0 && this.#removed.size === 0;
  }

  /** @returns the number of the entry */
  append(added: Added): number {
    this.#added.set(++this.#last, added);
    return this.#last;
  }

  /** Takes entries away, with what they alone kept. */
  remove(numbers: readonly number[]): void {
    for (const number of numbers) this.#removed.add(number);
  }

  /** What entries have of these revisions goes, and entries that have nothing else with it. */
  purge(id: string, revs: readonly string[]): void {
    const all = this.#purged.get(id) ?? new Set();
    for (const rev of revs) all.add(rev);
    this.#purged.set(id, all);
  }

  /** To be called when everything is said. */
  async finish(): Promise<JournalChange> {
    const { journal } = this.context;
    if (journal.count > 0) {
      for (const number of this.#removed) await this.#remove(number);
      for (const [id, revs] of this.#purged) await this.#purge(id, revs);
    }
    for (const [number, added] of this.#added) this.#put(number, added);
    const now = { last: this.#last, count: this.#count, bytes: this.#bytes };
    const isSame = isSameTally(now, journal);
    if (!isSame) this.batch.put(JOURNAL_KEY, JSON.stringify(now));
    return { journal: isSame ? journal : now, held: this.#held, facts: this.#facts };
  }

  #put(number: number, { id, time, text, leaves }: Added): void {
    const kept = leaves.filter(({ rev }) => this.#purged.get(id)?.has(rev) !== true);
    if (kept.length === 0 && leaves.length > 0) return;
    const stored = entryText({ id, time, text });
    this.batch.put(journalKey(number), stored);
    this.batch.put(journalIdKey(id, number), '');
    this.#count++;
    this.#bytes += Buffer.byteLength(stored);
    for (const [at, some] of gathered(kept).entries())
      this.batch.put(leavesKey(number, at), storedLeaves(some));
    for (const leaf of kept) {
      const facts = factsOf(leaf.text);
      const { attachments } = facts;
      this.#facts.set(leaf.seq, facts);
      for (const { digest } of attachments) this.owners.addOwner(digest, journalOwner(number, leaf.rev));
      this.#bytes += leafBytes(facts);
      this.#held.push({ forms: attachments, by: 1 });
    }
  }

  async #remove(number: number): Promise<void> {
    const stored = this.context.level.getSync(journalKey(number));
    const entry = stored === undefined ? undefined : parseEntry(number, stored);
    if (stored === undefined || entry === undefined) return;
    for await (const [key, some] of this.context.level.iterator(leavesOf(number))) {
      this.batch.del(key);
      for (const leaf of leavesIn(some)) this.#dropLeaf(number, leaf);
    }
    this.#dropEntry(number, entry.id, stored);
  }

  async #purge(id: string, revs: ReadonlySet<string>): Promise<void> {
    const { level } = this.context;
    for await (const key of level.keys(entriesOfId(id))) {
      const number = numberOfIdKey(key);
      if (this.#removed.has(number)) continue;
      let went = 0;
      let left = 0;
      for await (const [leavesAt, some] of level.iterator(leavesOf(number))) {
        const leaves = leavesIn(some);
        // What cannot be read may be another leaf.
        if (leaves.length === 0) left++;
        const kept = leaves.filter(({ rev }) => !revs.has(rev));
        left += kept.length;
        went += leaves.length - kept.length;
        if (kept.length === leaves.length) continue;
        for (const leaf of leaves) if (revs.has(leaf.rev)) this.#dropLeaf(number, leaf);
        if (kept.length === 0) this.batch.del(leavesAt);
        else this.batch.put(leavesAt, storedLeaves(kept));
      }
      if (went > 0 && left === 0) this.#dropEntry(number, id, level.getSync(journalKey(number)) ?? '');
    }
  }

  #dropLeaf(number: number, { rev, text }: JournalLeaf): void {
    const facts = factsOf(text);
    const { attachments } = facts;
    for (const form of attachments) this.owners.removeOwner(form, journalOwner(number, rev));
    this.#bytes -= leafBytes(facts);
    this.#held.push({ forms: attachments, by: -1 });
  }

  #dropEntry(number: number, id: string, stored: string): void {
    this.batch.del(journalKey(number));
    this.batch.del(journalIdKey(id, number));
    this.#count--;
    this.#bytes -= Buffer.byteLength(stored);
  }
}

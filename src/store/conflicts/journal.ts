import type { ClassicLevel } from 'classic-level';
import * as layout from '../layout.js';
import { entriesOf as entriesIn } from '../view.js';
import type { WriteTask } from '../writer.js';
import { entriesOfId, journalKey, leavesOf, numberOfIdKey, parseEntry } from './journal-entry.js';
import { leavesIn } from './leaf-text.js';
import type { Tally } from './tally.js';
import type { Journal, JournalEntry, JournalLeaf, JournalLimits, JournalRange } from './types.js';

/** What the journal needs of its database. */
export interface JournalHost {
  readonly level: ClassicLevel;
  readonly state: () => Tally;
  /** Resolves once it is committed. */
  readonly submit: (task: Pick<WriteTask, 'run'>) => Promise<void>;
}

/** Entries read at a time. */
const PAGE = 100;

/** Entries that one commit takes away: each may have large leaves. */
const AT_ONCE = 10;

/** The journal of one database. */
export class LevelJournal implements Journal {
  #trimming: Promise<void> = Promise.resolve();

  constructor(private readonly host: JournalHost) {}

  get count(): number {
    return this.host.state().count;
  }

  get bytes(): number {
    return this.host.state().bytes;
  }

  get(number: number): JournalEntry | undefined {
    const stored = this.count === 0 ? undefined : this.host.level.getSync(journalKey(number));
    return stored === undefined ? undefined : parseEntry(number, stored);
  }

  async *leaves(number: number): AsyncGenerator<JournalLeaf> {
    const { level } = this.host;
    for (const key of await level.keys(leavesOf(number)).all()) {
      const stored = await level.get(key);
      if (stored !== undefined) yield* leavesIn(stored);
    }
  }

  async numbersOf(id: string): Promise<readonly number[]> {
    if (this.count === 0) return [];
    return (await this.host.level.keys(entriesOfId(id)).all()).map(numberOfIdKey);
  }

  async *list({
    start,
    limit = Infinity,
    descending = false,
  }: JournalRange): AsyncGenerator<readonly JournalEntry[]> {
    let left = limit;
    if (this.count === 0 || left <= 0) return;
    const [first, last] = [journalKey(0), journalKey(Number.MAX_SAFE_INTEGER)];
    const from = start === undefined ? undefined : journalKey(start);
    const range = descending ? { gte: first, lte: from ?? last } : { gte: from ?? first, lte: last };
    const options = { size: Math.min(PAGE, left), reverse: descending };
    for await (const page of entriesIn(this.host.level, range, options)) {
      yield page.slice(0, left).flatMap(([key, text]) => {
        return parseEntry(layout.parseSeqKey(layout.journal.strip(key)), text) ?? [];
      });
      left -= page.length;
      if (left <= 0) return;
    }
  }

  /** One after the other. */
  trim(limits: JournalLimits, signal?: AbortSignal): Promise<void> {
    const done = this.#trimming.then(() => this.#trim(limits, signal));
    this.#trimming = done.catch(() => undefined);
    return done;
  }

  async due({ minAge, maxAge, maxBytes }: JournalLimits): Promise<number | undefined> {
    for await (const [oldest] of this.list({ limit: 1 })) {
      if (oldest !== undefined)
        return oldest.time + (this.bytes > maxBytes ? Math.min(minAge, maxAge) : maxAge);
    }
    return undefined;
  }

  async #trim({ minAge, maxAge, maxBytes }: JournalLimits, signal?: AbortSignal): Promise<void> {
    const now = Date.now();
    while (signal?.aborted !== true) {
      const due: number[] = [];
      for await (const page of this.list({ limit: AT_ONCE })) {
        for (const { number, time } of page) {
          const age = now - time;
          // Whether the next has to go, too, is known when these are gone.
          if (age > maxAge) due.push(number);
          else if (due.length === 0 && age > minAge && this.bytes > maxBytes) due.push(number);
          else break;
        }
      }
      if (due.length === 0) return;
      await this.host.submit({
        run: (transaction) => {
          transaction.journal.remove(due);
        },
      });
    }
  }
}

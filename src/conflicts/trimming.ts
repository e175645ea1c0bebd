import { CouchError } from '../errors.js';
import type { Logger } from '../observe/log.js';
import type { JournalLimits } from '../store/conflicts/types.js';
import type { Databases } from '../store/databases.js';
import type { Database } from '../store/types/database.js';
import type { Purging, PurgingOptions } from './purging.js';

export interface TrimmingOptions {
  readonly databases: Databases;
  /** May change at any time. */
  readonly journal: JournalLimits;
  /** May change at any time. */
  readonly branches: PurgingOptions['branches'];
  readonly purging: Pick<Purging, 'purge' | 'restart' | 'forget'>;
  readonly log: Logger;
  /** Milliseconds between two looks at what is due; a minute when left out. */
  readonly trimEvery?: number;
}

const MINUTE = 60_000;

/**
 * Takes away what merges left behind once it is too old or too much, also where nothing happens. A database is opened for
 * that only where it was open before, so that it is known when something of it is due. Must be closed.
 */
export class Trimming {
  /** Name → when something may have to go, in milliseconds since 1970. */
  readonly #due = new Map<string, number>();
  readonly #every: number;
  readonly #closing = new AbortController();
  #running: Promise<void> | undefined;
  #timer: NodeJS.Timeout | undefined;
  #limits: string;
  /** Everything is due, by other limits than whatever is looked at by now. */
  #isStale = false;

  constructor(private readonly options: TrimmingOptions) {
    this.#every = options.trimEvery ?? MINUTE;
    this.#limits = this.#limitsNow();
  }

  start(): void {
    this.#timer = setInterval(() => {
      this.#go();
    }, this.#every).unref();
  }

  async close(): Promise<void> {
    clearInterval(this.#timer);
    this.#closing.abort();
    await this.#running;
  }

  /** A database was opened, or written to. Takes no time: called after each commit. */
  note(name: string): void {
    const db = this.options.databases.peek(name);
    if (db === undefined || (db.journal.count === 0 && db.bases.count === 0)) return;
    const isKnown = this.#due.has(name);
    if (isKnown && db.journal.bytes <= this.options.journal.maxBytes) return;
    this.#due.set(name, 0);
    // As long as it is open.
    if (!isKnown) this.#go();
  }

  /** Limits may be other ones. */
  reconfigure(): void {
    const limits = this.#limitsNow();
    if (limits === this.#limits) return;
    this.#limits = limits;
    this.options.purging.restart();
    this.#isStale = true;
    this.#go();
  }

  #limitsNow(): string {
    const { journal, branches } = this.options;
    return JSON.stringify([journal, branches]);
  }

  #go(): void {
    if (this.#closing.signal.aborted) return;
    this.#running ??= this.#trimAll().finally(() => {
      this.#running = undefined;
      if (this.#isStale) this.#go();
    });
  }

  /** One after the other. */
  async #trimAll(): Promise<void> {
    if (this.#isStale) for (const name of this.#due.keys()) this.#due.set(name, 0);
    this.#isStale = false;
    for (const [name, at] of this.#due) {
      if (this.#closing.signal.aborted) return;
      if (at <= Date.now()) await this.#trim(name);
    }
  }

  async #trim(name: string): Promise<void> {
    const { databases, purging, log } = this.options;
    const soonest = Date.now() + this.#every;
    this.#due.set(name, soonest);
    try {
      const due = await databases.use(name, (db) => this.#trimOne(db));
      if (due === undefined) this.#due.delete(name);
      else this.#due.set(name, Math.max(due, soonest));
    } catch (error) {
      if (error instanceof CouchError && error.status === 404) {
        this.#due.delete(name);
        purging.forget(name);
      } else if (!this.#closing.signal.aborted)
        log.warn({ err: error, database: name }, 'what merges left behind cannot be trimmed now');
    }
  }

  /** @returns when something is due again */
  async #trimOne(db: Database): Promise<number | undefined> {
    const { journal, bases } = db;
    const { signal } = this.#closing;
    const { journal: limits, purging } = this.options;
    // What goes from the journal tells of no branches any more.
    const isEmpty = journal.count + bases.count === 0;
    const branches = isEmpty ? undefined : await purging.purge(db, signal);
    await journal.trim(limits, signal);
    await bases.trim(signal);
    const due = [branches, await journal.due(limits), await bases.due()].filter((at) => at !== undefined);
    return due.length === 0 ? undefined : Math.min(...due);
  }
}

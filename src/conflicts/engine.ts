import { Turns } from '../json/turns.js';
import type { Logger } from '../observe/log.js';
import { CouchError } from '../errors.js';
import type { ConflictRow } from '../store/conflicts/types.js';
import type { Databases } from '../store/databases.js';
import type { Database } from '../store/types/database.js';
import { type PurgedBranches, type PurgedInAll, purgeHere, Purging, type PurgingOptions } from './purging.js';
import { Resolver, type ResolverOptions } from './resolver.js';
import type { MergeRule } from './rules.js';
import { Trimming } from './trimming.js';
import { Watched } from './watched.js';

export interface EngineOptions extends ResolverOptions {
  readonly databases: Databases;
  /** How the conflicts of a database are resolved now; undefined where they are kept. Takes no time. */
  readonly ruleOf: (db: Database) => MergeRule | undefined;
  /** A database as it judges what merges write. */
  readonly viewOf?: (db: Database) => Database;
  /** All branches stay when left out. May change at any time. */
  readonly branches?: PurgingOptions['branches'];
  /** Purges leaves here alone when left out. */
  readonly purge?: PurgingOptions['purge'];
  /** Milliseconds between two looks at what is to be trimmed; a minute when left out. */
  readonly trimEvery?: number;
  readonly log: Logger;
}

/** So many databases are worked on at once, … */
const DATABASES = 4;
/** … each for so many documents before it is another's turn, … */
const PAGE = 500;
/**
 * … and so many of these at once: their writes share commits, and some are merged while others are written. What more are
 * have in memory outlives collections of garbage, which costs more than sharing saves.
 */
const AT_ONCE = 100;

/**
 * Resolves conflicts as they come, in the background: it follows the index of conflicts of each database that has a rule
 * and is open. Must be closed.
 */
export class ConflictEngine {
  readonly #watched = new Map<string, Watched>();
  /** Those that have something to do, in the order of their turns. */
  readonly #queue: Watched[] = [];
  readonly #running = new Set<Promise<void>>();
  readonly #closing = new AbortController();
  readonly #resolver: Resolver;
  readonly #purging: Purging;
  readonly #trimming: Trimming;

  constructor(private readonly options: EngineOptions) {
    this.#resolver = new Resolver(options);
    const { branches = { maxAge: undefined }, purge = purgeHere } = options;
    this.#purging = new Purging({ branches, purge, log: options.log });
    this.#trimming = new Trimming({ ...options, branches, purging: this.#purging });
  }

  start(): void {
    const { databases } = this.options;
    const look = (name: string): void => {
      this.#look(name);
      this.#trimming.note(name);
    };
    databases.onChange(look);
    databases.onOpen(look);
    for (const name of databases.list()) look(name);
    this.#trimming.start();
  }

  /** Rules and limits may be other ones. */
  reconfigure(): void {
    this.#trimming.reconfigure();
    // What waits may have to wait no more.
    for (const watched of this.#watched.values()) watched.wakeNow();
    for (const name of this.options.databases.list()) this.#look(name);
  }

  /** How many branches of a database were purged. */
  purged(name: string): PurgedBranches {
    return this.#purging.shown(name);
  }

  /** The same of all databases. */
  purgedInAll(): PurgedInAll {
    return this.#purging.inAll();
  }

  /** Ends what is under way; what was not resolved is when the server is next started. */
  async close(): Promise<void> {
    this.#closing.abort();
    this.#queue.length = 0;
    for (const watched of this.#watched.values()) watched.forget();
    this.#watched.clear();
    await Promise.all([...this.#running, this.#trimming.close()]);
  }

  #isClosing(): boolean {
    return this.#closing.signal.aborted;
  }

  /** Whether there is something to do in a database that is open. Takes no time: called after each commit. */
  #look(name: string): void {
    if (this.#isClosing()) return;
    const db = this.options.databases.peek(name);
    if (db === undefined || db.conflicts.count === 0) return;
    const rule = this.options.ruleOf(db);
    if (rule === undefined) return;
    const watched = this.#watched.get(name);
    // Rows of which something is noted were decided, unless that was by another rule.
    if (watched?.isUpTo(db, rule) === true) return;
    this.#enqueue(watched ?? this.#watch(name));
  }

  #watch(name: string): Watched {
    const watched = new Watched(name, () => this.#enqueue(watched));
    this.#watched.set(name, watched);
    return watched;
  }

  #enqueue(watched: Watched): void {
    if (!watched.isWanted()) return;
    this.#queue.push(watched);
    this.#go();
  }

  #go(): void {
    while (this.#running.size < DATABASES) {
      const next = this.#queue.shift();
      if (next === undefined) return;
      const turn = this.#turn(next).finally(() => {
        this.#running.delete(turn);
        this.#go();
      });
      this.#running.add(turn);
    }
  }

  async #turn(watched: Watched): Promise<void> {
    const { name } = watched;
    watched.begin();
    try {
      await this.options.databases.use(name, (db) => this.#resolvePage(watched, db));
    } catch (error) {
      this.#failed(watched, error);
    }
    if (this.#isClosing()) return;
    // Behind all others that wait.
    if (watched.end()) this.#queue.push(watched);
    else if (watched.isDone) this.#watched.delete(name);
  }

  #failed(watched: Watched, error: unknown): void {
    if (error instanceof CouchError && error.status === 404) {
      watched.forget();
      return;
    }
    if (this.#isClosing()) return;
    this.options.log.warn({ err: error, database: watched.name }, 'conflicts cannot be looked at now');
    watched.later(watched.retry());
    watched.failed();
  }

  async #resolvePage(watched: Watched, db: Database): Promise<void> {
    const { ruleOf, viewOf } = this.options;
    const rule = ruleOf(db);
    if (rule === undefined) {
      watched.forget();
      return;
    }
    const since = watched.since(db, rule);
    const until = db.updateSeq;
    const rows: ConflictRow[] = [];
    for await (const page of db.conflicts.rows({ since, until, limit: PAGE })) rows.push(...page);
    const failures = await this.#resolveAll(viewOf?.(db) ?? db, rows, rule, watched);
    if (failures === 0) watched.succeeded();
    else watched.failed();
    const isLast = rows.length < PAGE;
    watched.reached(isLast ? until : (rows.at(-1)?.seq ?? until), !isLast, db.conflicts.count === 0);
  }

  /** @returns how many could not be looked at */
  async #resolveAll(
    db: Database,
    rows: readonly ConflictRow[],
    rule: MergeRule,
    watched: Watched,
  ): Promise<number> {
    const { signal } = this.#closing;
    const turns = new Turns();
    const left = rows.values();
    let failures = 0;
    const work = async (): Promise<void> => {
      for (const row of left) {
        await turns.pass();
        if (this.#isClosing()) return;
        try {
          const at = await this.#resolver.resolve(db, row, rule, signal);
          if (at !== undefined) watched.later({ from: row.seq - 1, at });
        } catch (error) {
          if (this.#isClosing()) return;
          failures++;
          watched.later(watched.retry(row.seq - 1));
          const about = { err: error, database: watched.name, id: row.id };
          this.options.log.warn(about, 'a conflict cannot be looked at now');
        }
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, work));
    return failures;
  }
}

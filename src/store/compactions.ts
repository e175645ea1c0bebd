import { CouchError } from '../errors.js';
import type { Logger } from '../observe/log.js';
import type { Tasks } from '../observe/tasks.js';
import type { CompactionProgress } from './compact.js';
import type { LevelDatabase } from './level-database.js';
import type { DatabaseInfo } from './types/properties.js';
import { msUntilOpen, type Window } from './window.js';

/** When a database is compacted by itself; the names are those of CouchDB's smoosh. */
export interface CompactionOptions extends Window {
  readonly automatic: boolean;
  /** What is stored, over what of it a compaction would keep: from this ratio on … */
  readonly minRatio: number;
  /** … or where so many bytes could be given back … */
  readonly minSlack: number;
  /** … if more bytes than these are stored. */
  readonly minSize: number;
  /** How many databases are compacted by themselves at once. */
  readonly concurrency: number;
  /** Minutes for which a database is left alone after a compaction. */
  readonly staleness: number;
}

/** What compactions are built on. */
export interface CompactionsContext {
  readonly options: CompactionOptions;
  readonly tasks: Tasks;
  readonly log: Logger;
  /** Opens a database if need be and holds it open meanwhile. */
  readonly use: (name: string, work: (database: LevelDatabase) => Promise<void>) => Promise<void>;
}

/** Compacts databases: when it is told to, and by itself those where it is worth the while, one after the other. */
export class Compactions {
  readonly #running = new Map<string, Promise<void>>();
  /** Name → bytes that could be given back, of databases that wait for their turn. */
  readonly #waiting = new Map<string, number>();
  /** Name → until when it is left alone; in the order of these times. */
  readonly #resting = new Map<string, number>();
  /** How many run that nobody asked for. */
  #automatic = 0;
  #opening: NodeJS.Timeout | undefined;
  #closing = false;

  constructor(private readonly context: CompactionsContext) {}

  /** Compacts a database now, whatever it is worth; resolves when done. A call while one runs joins it. */
  run(name: string): Promise<void> {
    let running = this.#running.get(name);
    if (running === undefined) {
      running = this.context
        .use(name, (database) => this.#compact(name, database))
        .finally(() => {
          this.#running.delete(name);
          this.#rest(name);
        });
      this.#running.set(name, running);
    }
    return running;
  }

  /** Looks whether a database is worth it: called after every use of it. */
  consider(name: string, { stored, active }: LevelDatabase['weight']): void {
    const { automatic, minSize, minRatio, minSlack } = this.context.options;
    if (!automatic || stored <= minSize) return;
    if (stored <= minRatio * active && stored - active <= minSlack) return;
    if (this.#closing || this.#running.has(name) || this.#isResting(name)) return;
    this.#waiting.set(name, stored - active);
    this.#start();
  }

  /** None is begun any more; resolves when those that run have ended, which closing their databases makes them do. */
  async close(): Promise<void> {
    this.#closing = true;
    clearTimeout(this.#opening);
    this.#waiting.clear();
    await Promise.allSettled(this.#running.values());
  }

  /** Begins those that may run now; the one with most to give back comes first. */
  #start(): void {
    const wait = msUntilOpen(this.context.options, new Date());
    if (wait > 0) {
      if (this.#waiting.size > 0) this.#startIn(wait);
      return;
    }
    while (this.#automatic < this.context.options.concurrency) {
      const [first] = [...this.#waiting].sort(([, a], [, b]) => b - a);
      if (first === undefined) return;
      this.#waiting.delete(first[0]);
      this.#runByItself(first[0]);
    }
  }

  #startIn(ms: number): void {
    this.#opening ??= setTimeout(() => {
      this.#opening = undefined;
      this.#start();
    }, ms).unref();
  }

  #runByItself(name: string): void {
    this.#automatic++;
    this.run(name)
      .catch((error: unknown) => {
        const isGone = error instanceof CouchError && error.status === 404;
        if (!isGone && !this.#closing)
          this.context.log.warn({ database: name, err: error }, 'a compaction failed');
      })
      .finally(() => {
        this.#automatic--;
        if (!this.#closing) this.#start();
      });
  }

  /** Has begun when this returns: whoever asked for it sees it running. */
  async #compact(name: string, database: LevelDatabase): Promise<void> {
    const { log, tasks } = this.context;
    const begun = performance.now();
    log.info({ database: name, ...database.weight }, 'a compaction begins');
    const task = tasks.begin({
      type: 'database_compaction',
      database: name,
      ...shown({ phase: 'document_copy', done: 0, total: 0 }),
    });
    let before: DatabaseInfo;
    try {
      const onProgress = (progress: CompactionProgress): void => {
        task.update(shown(progress));
      };
      [before] = await Promise.all([database.info(), database.compact(onProgress)]);
    } finally {
      task.end();
    }
    const seconds = Math.round(performance.now() - begun) / 1000;
    if (database.isClosed) {
      log.info({ database: name, seconds }, 'a compaction was stopped');
      return;
    }
    const { file } = (await database.info()).sizes;
    log.info({ database: name, seconds, file, gained: before.sizes.file - file }, 'a compaction has ended');
  }

  #rest(name: string): void {
    this.#resting.delete(name);
    this.#resting.set(name, performance.now() + this.context.options.staleness * 60_000);
    for (const [one, until] of this.#resting) {
      if (until > performance.now()) return;
      this.#resting.delete(one);
    }
  }

  #isResting(name: string): boolean {
    return (this.#resting.get(name) ?? 0) > performance.now();
  }
}

/** As CouchDB's task shows it. */
const shown = ({ phase, done, total }: CompactionProgress): Record<string, string | number> => ({
  phase,
  changes_done: done,
  total_changes: total,
  progress: total === 0 ? 0 : Math.floor((100 * done) / total),
});

import { CouchError } from '../errors.js';

/** How long an index stays that no design document wants, in milliseconds: whoever takes a change back finds it again. */
const KEPT_MS = 3_600_000;

/** Has indexes removed that may be left over: an hour after whatever might have left some behind in a database. */
export class Leftovers {
  readonly #timers = new Map<string, NodeJS.Timeout>();

  /**
   * @param cleanUp removes those that no design document wants
   * @param report is told why they could not be removed
   */
  constructor(
    private readonly cleanUp: (database: string) => Promise<void>,
    private readonly report: (error: unknown, database: string) => void,
  ) {}

  /** A design document of a database has changed, or an index of it. */
  note(database: string): void {
    if (this.#timers.has(database)) return;
    const timer = setTimeout(() => {
      this.#timers.delete(database);
      this.cleanUp(database).catch((error: unknown) => {
        const isGone = error instanceof CouchError && error.status === 404;
        if (!isGone) this.report(error, database);
      });
    }, KEPT_MS);
    this.#timers.set(database, timer.unref());
  }

  close(): void {
    for (const timer of this.#timers.values()) clearTimeout(timer);
    this.#timers.clear();
  }
}

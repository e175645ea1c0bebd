import { CouchError } from '../errors.js';
import type { Database } from './types/database.js';
import type { DocumentEdit } from './types/edits.js';
import type { DocumentRecord } from './types/records.js';
import type { DatabaseWatcher } from './types/watcher.js';

/** The database in which, while it is there, the events of all others are kept, as in CouchDB. */
export const GLOBAL_CHANGES = '_global_changes';

export type DatabaseEvent = 'created' | 'updated' | 'deleted';

/** Events are written at once, but no more often than this: whatever happens meanwhile shares the next batch. */
const INTERVAL_MS = 500;
/** After a failure. */
const RETRY_MS = 10_000;

/** Local documents that name the databases in which something may have happened that no event tells of yet. */
const MARK = '_local/changing:';

/** What is needed of the databases. */
export interface EventHost {
  exists(name: string): boolean;
  /** Holds `_global_changes` open while `work` runs. @throws CouchError 404 where it is not there */
  use<T>(work: (db: Database) => Promise<T>): Promise<T>;
  /** Is told of events that could not be written. */
  report(error: unknown): void;
}

/**
 * Writes down what happens to databases: a document for each database and kind of event, `updated:NAME`, whose place
 * in the feed moves. An event is written after what it tells of is on disk. That it is not lost in a crash is seen to
 * by a mark, which is on disk before a database changes for the first time in the life of the process; a start that
 * finds marks tells of their databases once more. So a write costs nothing but a look into a set, and an event is told
 * at least once.
 */
export class GlobalChanges implements Pick<DatabaseWatcher, 'willChange' | 'didChange'> {
  /** Databases whose marks are on disk. */
  readonly #marked = new Set<string>();
  /** Ids of the events to be written, in the order in which they happened. */
  #pending = new Set<string>();
  #writing: Promise<void> | undefined;
  #timer: NodeJS.Timeout | undefined;
  /** When the next events may be written. */
  #next = 0;
  /** When another failure is worth a line. */
  #nextReport = 0;
  #closed = false;

  constructor(private readonly host: EventHost) {}

  /** Tells of what a crash may have kept from being told. To be called before anything changes. */
  async recover(): Promise<void> {
    await this.#trying(async (db) => {
      const names = await markedNames(db);
      if (names.length === 0) return;
      const events = await Promise.all(names.map((name) => this.#missedEvent(db, name)));
      await writeEvents(db, new Set(events.filter((event) => event !== undefined)));
      await this.#unmark(db, names);
    });
  }

  /** What may have happened to a database that was marked. */
  async #missedEvent(db: Database, name: string): Promise<string | undefined> {
    const ids = (['created', 'deleted'] as const).map((event) => idOf(event, name));
    const [created, deleted] = await db.getMany(ids);
    const wasDeleted = deleted !== undefined && deleted.seq > (created?.seq ?? 0);
    if (this.host.exists(name)) return idOf(wasDeleted ? 'created' : 'updated', name);
    return wasDeleted ? undefined : idOf('deleted', name);
  }

  willChange(name: string): Promise<void> | undefined {
    if (name === GLOBAL_CHANGES || this.#marked.has(name) || !this.host.exists(GLOBAL_CHANGES))
      return undefined;
    return this.#mark(name);
  }

  async #mark(name: string): Promise<void> {
    await this.#trying(async (db) => {
      await db.putLocal(MARK + name, undefined, '');
      this.#marked.add(name);
    });
  }

  didChange(name: string, event: DatabaseEvent = 'updated'): void {
    if (name === GLOBAL_CHANGES || !this.host.exists(GLOBAL_CHANGES)) return;
    const id = idOf(event, name);
    this.#pending.delete(id);
    this.#pending.add(id);
    this.#schedule();
  }

  /** Resolves once everything that was told so far is written, or could not be. */
  async flush(): Promise<void> {
    await this.#writing;
    await this.#write();
  }

  /** The database of the events is no more: its marks went with it. */
  forget(): void {
    this.#marked.clear();
    this.#pending.clear();
  }

  /** To be called when nothing changes any more, and `_global_changes` can still be used. */
  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#timer);
    await this.flush();
    if (this.#pending.size > 0 || this.#marked.size === 0) return;
    await this.#trying((db) => this.#unmark(db, [...this.#marked]));
  }

  #schedule(): void {
    if (this.#closed || this.#writing !== undefined || this.#pending.size === 0) return;
    this.#timer ??= setTimeout(() => void this.#write(), Math.max(0, this.#next - performance.now()));
  }

  #write(): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#writing ??= this.#writePending().finally(() => {
      this.#writing = undefined;
      this.#schedule();
    });
    return this.#writing;
  }

  async #writePending(): Promise<void> {
    const events = this.#pending;
    if (events.size === 0) return;
    this.#pending = new Set();
    this.#next = performance.now() + INTERVAL_MS;
    const isWritten = await this.#trying(async (db) => {
      await writeEvents(db, events);
      await this.#unmarkDeleted(db, events);
    });
    if (isWritten) return;
    this.#next = performance.now() + RETRY_MS;
    // What happened again meanwhile keeps its later place.
    this.#pending = new Set([...events].filter((id) => !this.#pending.has(id)).concat([...this.#pending]));
  }

  /** Names that are no more need no marks. */
  async #unmarkDeleted(db: Database, events: ReadonlySet<string>): Promise<void> {
    const prefix = idOf('deleted', '');
    const names = [...events].filter((id) => id.startsWith(prefix)).map((id) => id.slice(prefix.length));
    await this.#unmark(
      db,
      names.filter((name) => !this.host.exists(name)),
    );
  }

  async #unmark(db: Database, names: readonly string[]): Promise<void> {
    // First here: whoever makes one of them again marks it again, after this.
    for (const name of names) this.#marked.delete(name);
    await Promise.all(names.map((name) => db.deleteLocal(MARK + name)));
  }

  /** Nobody is kept from working because events cannot be written. @returns whether nothing is left to be done */
  async #trying(work: (db: Database) => Promise<void>): Promise<boolean> {
    try {
      await this.host.use(work);
      return true;
    } catch (error) {
      if (error instanceof CouchError && error.status === 404) return true;
      this.#report(error);
      return false;
    }
  }

  /** Where it goes on, every write of any database comes here. */
  #report(error: unknown): void {
    if (performance.now() < this.#nextReport) return;
    this.#nextReport = performance.now() + RETRY_MS;
    this.host.report(error);
  }
}

const idOf = (event: DatabaseEvent, name: string): string => `${event}:${name}`;

async function markedNames(db: Database): Promise<string[]> {
  const names: string[] = [];
  for await (const page of db.listLocal({ start: MARK, end: `${MARK}\u{10ffff}` }))
    for (const { id } of page) names.push(id.slice(MARK.length));
  return names;
}

/** Puts each event at the end of the feed, in this order. */
async function writeEvents(db: Database, events: ReadonlySet<string>): Promise<void> {
  const ids = [...events];
  const records = await db.getMany(ids);
  const results = await db.write(
    ids.map((id, at) => eventEdit(id, records[at])),
    { newEdits: true },
  );
  for (const result of results) if (!result.ok) throw result.error;
}

const NEW = { start: 0, ids: [] };

/** An empty document, or its next revision. */
function eventEdit(id: string, record: DocumentRecord | undefined): DocumentEdit {
  const isThere = record !== undefined && !record.deleted;
  const { start, ids } = (isThere ? record.revisions(record.winner) : undefined) ?? NEW;
  return { id, revisions: { start, ids: ids.slice(0, 1) }, deleted: false, body: '' };
}

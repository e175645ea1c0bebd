import { filterChange } from 'pouchdb-utils';
import { BodyPages } from '../store/body-pages.js';
import type { LevelDatabase } from '../store/level-database.js';
import type { StoredRecord } from '../store/record.js';
import type { ChangeRow } from '../store/types/changes.js';
import type { StoredRevision } from '../store/types/records.js';
import type { Change, ChangesOptions, Doc } from './api.js';
import { fillAttachments } from './attachments.js';
import { metadataOf, parseStored } from './documents.js';
import { toPouchError } from './failures.js';
import { News } from './news.js';

/** Rows looked at at a time. */
const PAGE = 100;

/** One run through the changes, which goes on with those to come when it is continuous. */
export class ChangesFeed {
  readonly #filter: (change: Change) => boolean | Error | null;
  readonly #ids: ReadonlySet<string> | undefined;
  readonly #limit: number;
  readonly #readsDocs: boolean;
  readonly #bodies: BodyPages<StoredRevision>;
  readonly #results: Change[] = [];
  readonly #news: News;
  /** Changes that passed. */
  #passed = 0;
  /** Of the last change that was looked at. */
  #lastSeq: number;
  #isCancelled = false;

  constructor(
    private readonly database: LevelDatabase,
    private readonly options: ChangesOptions,
  ) {
    const { doc_ids: ids, filter, include_docs: includeDocs = false, limit = 0, continuous, since } = options;
    this.#filter = filterChange(options);
    this.#ids = ids === undefined ? undefined : new Set(ids);
    this.#limit = limit > 0 && !continuous ? limit : Infinity;
    this.#readsDocs = includeDocs || typeof filter === 'function';
    this.#bodies = new BodyPages<StoredRevision>(database);
    this.#news = new News(database);
    this.#lastSeq = Number(since ?? 0) || 0;
  }

  /** Starts it. */
  start(): void {
    this.#run().catch((error: unknown) => {
      // Who follows a database that is closed hears nothing any more.
      const isOver = this.#isCancelled || (this.options.continuous === true && this.database.isClosed);
      if (!isOver) this.options.complete(toPouchError(error));
    });
  }

  cancel(): void {
    this.#isCancelled = true;
    this.#news.close();
  }

  async #run(): Promise<void> {
    try {
      if (this.options.continuous) await this.#follow();
      else await this.#finish();
    } finally {
      this.#news.close();
    }
  }

  async #finish(): Promise<void> {
    const { descending = false } = this.options;
    await this.#pass(descending ? 0 : this.#lastSeq, this.database.updateSeq, descending);
    if (!this.#isCancelled) {
      this.options.complete(null, { results: this.#results, last_seq: this.#lastSeq });
    }
  }

  /** Ends only when it is cancelled, or its database closed. */
  async #follow(): Promise<void> {
    for (let since = this.#lastSeq; ;) {
      const until = this.database.updateSeq;
      await this.#pass(since, until, false);
      since = Math.max(since, until);
      if (!(await this.#news.after(since))) return;
    }
  }

  async #pass(since: number, until: number, descending: boolean): Promise<void> {
    const pageSize = Math.min(PAGE, this.#limit);
    for await (const rows of this.database.changes({ since, until, descending, pageSize })) {
      for await (const change of this.#changesOf(rows)) {
        if (!this.#take(change)) continue;
        if (this.options.include_docs && this.options.attachments && change.doc) {
          await fillAttachments(this.database, [change.doc], this.options.binary === true);
        }
        // It may have been cancelled by a listener, or while that was read.
        if (this.#isCancelled) return;
        this.options.onChange(change);
        if (this.options.return_docs) this.#results.push(change);
        if (++this.#passed >= this.#limit) return;
      }
      if (this.#isCancelled) return;
    }
  }

  /** The changes that rows of the index stand for; one that changed again meanwhile has a row further on. */
  async *#changesOf(rows: readonly ChangeRow[]): AsyncGenerator<Change> {
    const ids = rows.map(idOf);
    const records = await this.database.getMany(ids.filter((id) => this.#ids?.has(id) !== false));
    const seqs = new Set(rows.map(({ seq }) => seq));
    const current = records.filter(
      (record) => record !== undefined && seqs.has(record.seq),
    ) as StoredRecord[];
    if (!this.#readsDocs) {
      for (const record of current) yield this.#changeOf(record, undefined);
      return;
    }
    const wanted = current.map((record) => ({ record, rev: record.winner }));
    for await (const page of this.#bodies.pages(wanted, (one) => one)) {
      for (const { item, text } of page) yield this.#changeOf(item.record, text);
    }
  }

  #changeOf(record: StoredRecord, text: string | undefined): Change {
    this.#lastSeq = record.seq;
    const bare: Doc = { _id: record.id, _rev: record.winner };
    const doc = text === undefined ? bare : parseStored(text);
    const change = this.options.processChange(doc, metadataOf(record), this.options);
    change.seq = record.seq;
    return change;
  }

  /** Whether a change passes the filter. @throws what the filter threw */
  #take(change: Change): boolean {
    const passes = this.#filter(change);
    if (passes instanceof Error) throw passes;
    // Core made nothing of a filter's name that is none: nothing passes, as in PouchDB.
    return passes ?? false;
  }
}

/** The row of a document that was just written names it; else it stands in the text. */
const idOf = ({ id, text }: ChangeRow): string => id ?? (JSON.parse(text) as { id: string }).id;

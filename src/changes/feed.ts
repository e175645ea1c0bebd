import { BodyPages } from '../store/body-pages.js';
import type { ChangeRow, Database, StoredRevision } from '../store/types.js';
import { framingOf, type Framing } from './framing.js';
import type { ChangesQuery } from './query.js';
import { presentRows, sourceRows } from './rows.js';
import { Waiter } from './waiter.js';

export type { ChangesFilter, ChangesQuery } from './query.js';

/** Rows are gathered to chunks of about this many characters. */
const CHUNK = 64 * 1024;

/** What CouchDB takes for the limit where none is given. */
const NO_LIMIT = 1e15;

/**
 * The changes feed of a database as text, framed for its kind, in chunks of about 64 KB. It holds no more than one
 * page of rows, reads on only as it is asked for more, and leaves nothing behind when it is returned or aborted.
 */
export async function* openFeed(
  db: Database,
  query: ChangesQuery,
  signal: AbortSignal,
): AsyncGenerator<string> {
  const feed = new Feed(db, query);
  const waits = query.feed !== 'normal' && !query.descending;
  const waiter = waits ? new Waiter(db.events, signal) : undefined;
  try {
    yield feed.framing.head;
    yield* feed.backlog();
    if (waiter !== undefined && (query.feed !== 'longpoll' || feed.sent === 0))
      yield* follow(db, feed, waiter, query);
    yield await feed.end();
  } finally {
    waiter?.close();
  }
}

/** What comes after the backlog: rows as they are written, signs of life, until something ends it. */
async function* follow(
  db: Database,
  feed: Feed,
  waiter: Waiter,
  query: ChangesQuery,
): AsyncGenerator<string> {
  const patience = query.heartbeat ?? query.timeout;
  let lastSign = performance.now();
  while (!feed.full && !waiter.ended) {
    const left = lastSign + patience - performance.now();
    if (left <= 0) {
      if (query.heartbeat === undefined) return;
      yield feed.framing.heartbeat;
      lastSign = performance.now();
    } else if (db.updateSeq === feed.lastSeq) {
      await waiter.wait(left);
    } else {
      const before = feed.sent;
      yield* feed.news();
      if (query.feed === 'longpoll' && feed.sent > before) return;
      // Rows that the filter keeps back are silence to the client.
      if (feed.sent > before) lastSign = performance.now();
    }
  }
}

/** The state of one feed: how far it is, and how many rows it may still send. */
class Feed {
  readonly framing: Framing;
  /** Rows that were sent. */
  sent = 0;
  /** Everything up to here was sent or filtered out. */
  lastSeq: number;
  /** Whether the feed ended at a row because of its limit, with more behind it. */
  #cut = false;
  readonly #bodies: BodyPages<StoredRevision>;

  constructor(
    private readonly db: Database,
    private readonly query: ChangesQuery,
  ) {
    this.framing = framingOf(query.feed);
    this.#bodies = new BodyPages<StoredRevision>(db);
    this.lastSeq = query.descending ? 0 : query.since;
    this.#cut = query.limit === 0;
  }

  /** Whether the limit is reached. */
  get full(): boolean {
    return this.sent >= this.query.limit;
  }

  /** Every row there is at this moment. */
  async *backlog(): AsyncGenerator<string> {
    if (this.full) return;
    const until = this.db.updateSeq;
    yield* this.#send(sourceRows(this.db, this.query, this.lastSeq, until));
    if (!this.#cut && !this.query.descending) this.lastSeq = Math.max(this.lastSeq, until);
  }

  /** The rows that came since; from memory where the feed keeps up. */
  async *news(): AsyncGenerator<string> {
    const until = this.db.updateSeq;
    const recent = this.db.events.recent(this.lastSeq);
    if (recent === undefined) {
      yield* this.backlog();
    } else {
      yield* this.#send([recent]);
      if (!this.#cut) this.lastSeq = Math.max(this.lastSeq, until);
    }
  }

  async *#send(
    pages: AsyncIterable<readonly ChangeRow[]> | Iterable<readonly ChangeRow[]>,
  ): AsyncGenerator<string> {
    for await (const page of pages) {
      for await (const presented of presentRows(this.db, this.query, page, this.#bodies)) {
        const rows = presented.slice(0, this.query.limit - this.sent);
        // Whoever reads the feed may have gone, and gets to stop it even where nothing passes the filter.
        if (rows.length === 0) yield '';
        yield* this.#chunks(rows);
        if (this.full) {
          this.lastSeq = rows.at(-1)?.seq ?? this.lastSeq;
          this.#cut = true;
          return;
        }
      }
      this.lastSeq = page.at(-1)?.seq ?? this.lastSeq;
    }
  }

  *#chunks(rows: readonly ChangeRow[]): Generator<string> {
    let from = 0;
    let length = 0;
    for (let to = 1; to <= rows.length; to++) {
      length += rows[to - 1]?.text.length ?? 0;
      if (length < CHUNK && to < rows.length) continue;
      const chunk = rows.slice(from, to);
      const text = this.framing.rows(this.#thin(chunk), this.sent);
      this.sent += chunk.length;
      from = to;
      length = 0;
      yield text;
    }
  }

  /** With `seq_interval` only every so many rows name their sequence, counted from the limit as in CouchDB. */
  #thin(rows: readonly ChangeRow[]): readonly ChangeRow[] {
    const { seqInterval: interval, limit } = this.query;
    // An event is known by its sequence.
    if (interval === undefined || interval <= 1 || this.query.feed === 'eventsource') return rows;
    const left = (limit === Infinity ? NO_LIMIT : limit) - this.sent;
    return rows.map((row, at) =>
      (left - at) % interval === 0
        ? row
        : { seq: row.seq, text: `{"seq":null${row.text.slice(row.text.indexOf('"', 8) + 1)}` },
    );
  }

  async end(): Promise<string> {
    const pending = this.query.retell === undefined ? await this.#pending() : undefined;
    return this.framing.end(this.db.token(this.lastSeq), pending);
  }

  /** Rows of the database, whatever the filter, that follow the last one. */
  async #pending(): Promise<number> {
    if (!this.#cut) return 0;
    const after = await this.db.pending(this.lastSeq);
    if (!this.query.descending) return after;
    const before = (await this.db.pending(0)) - after;
    return Math.max(0, before - (this.sent > 0 ? 1 : 0));
  }
}

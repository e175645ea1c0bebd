import { setImmediate } from 'node:timers/promises';
import { BodyPages } from '../store/body-pages.js';
import type { ChangeRow } from '../store/types/changes.js';
import type { Database } from '../store/types/database.js';
import type { StoredRevision } from '../store/types/records.js';
import { framingOf, type Framing } from './framing.js';
import { impatiently } from './impatience.js';
import type { ChangesQuery } from './query.js';
import { needsBodies, presentPlain, presentRows, ROWS, sourceRows } from './rows.js';
import { Waiter } from './waiter.js';

export type { ChangesFilter, ChangesQuery } from './query.js';

/** Rows are gathered to chunks of about this many characters. */
const CHUNK = 64 * 1024;

const NO_ROWS: readonly ChangeRow[] = [];

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
  const feed = new Feed(db, query, signal);
  const waits = query.feed !== 'normal' && !query.descending;
  const waiter = waits ? new Waiter(db.events, signal) : undefined;
  try {
    let text = yield* feed.catchUp(feed.framing.head);
    if (waiter !== undefined && (query.feed !== 'longpoll' || feed.sent === 0))
      text = yield* follow(db, feed, waiter, query, text);
    const end = await feed.end();
    if (query.feed !== 'continuous') {
      yield text + end;
      return;
    }
    yield text;
    // Whoever waits for a line may take all that comes with it for lines of that kind, and Node sends what is written in one
    // turn of the event loop as one piece.
    await setImmediate();
    yield end;
  } finally {
    waiter?.close();
  }
}

/**
 * What comes after the backlog: rows as they are written, signs of life, until something ends it.
 * @param text what is still to be sent, as is what it returns
 */
async function* follow(
  db: Database,
  feed: Feed,
  waiter: Waiter,
  query: ChangesQuery,
  text: string,
): AsyncGenerator<string, string> {
  const over = performance.now() + (query.lifetime ?? Infinity);
  feed.showLife();
  while (!feed.full && !waiter.ended) {
    const now = performance.now();
    const left = Math.min(patienceEnds(feed.lastSign, query), over) - now;
    if (left <= 0) {
      if (query.heartbeat === undefined || now >= over) break;
      text += feed.showLife();
    } else if (db.updateSeq !== feed.lastSeq) {
      const before = feed.sent;
      text = yield* feed.catchUp(text);
      if (query.feed === 'longpoll' && feed.sent > before) break;
      // Rows that the filter keeps back are silence to the client.
      if (feed.sent > before) feed.showLife();
    } else if (text !== '') {
      // There may be news by the time when it is sent.
      yield text;
      text = '';
    } else {
      await waiter.wait(left);
    }
  }
  return text;
}

/** Milliseconds. */
const TOGETHER = 250;

/**
 * When a feed that has been silent since then is to end, or to send a sign of life. Many feeds send them together, a
 * little early: hundreds that wake one by one take more processor time, here and at their clients.
 */
function patienceEnds(since: number, { heartbeat, timeout }: ChangesQuery): number {
  if (heartbeat === undefined) return since + timeout;
  const step = Math.min(TOGETHER, heartbeat / 4);
  return Math.floor((since + heartbeat) / step) * step;
}

/** The state of one feed: how far it is, and how many rows it may still send. */
class Feed {
  readonly framing: Framing;
  /** Rows that were sent. */
  sent = 0;
  /** Everything up to here was sent or filtered out. */
  lastSeq: number;
  /** When the client last heard of it. */
  lastSign = performance.now();
  /** Whether the feed ended at a row because of its limit, with more behind it. */
  #cut = false;
  readonly #bodies: BodyPages<StoredRevision>;

  constructor(
    private readonly db: Database,
    private readonly query: ChangesQuery,
    private readonly signal: AbortSignal,
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

  /** What tells the client that the feed goes on; to be sent, where no row is. */
  showLife(): string {
    this.lastSign = performance.now();
    return this.framing.heartbeat;
  }

  /** A sign of life where the client has heard nothing for so long that it is due. */
  #dueSign(): string {
    return this.#silence() > 0 ? '' : this.showLife();
  }

  /** Whether it ended while a function judged rows: they have still to be told. */
  get #isGivenUp(): boolean {
    return this.signal.aborted && this.query.filter?.kind === 'function';
  }

  /** Milliseconds until the next sign of life is due. */
  #silence(): number {
    return this.lastSign + (this.query.heartbeat ?? Infinity) - performance.now();
  }

  /**
   * Every row there is at this moment.
   * @param text what is still to be sent before them
   * @returns what is still to be sent behind what it yielded
   */
  async *catchUp(text: string): AsyncGenerator<string, string> {
    const until = this.db.updateSeq;
    while (!this.full && this.lastSeq < until) {
      const rows = this.#remembered(CHUNK - text.length);
      if (rows === undefined) return yield* this.#read(text, until);
      text += rows;
      if (text.length < CHUNK) continue;
      yield text;
      text = '';
    }
    return text;
  }

  /** So many characters of what comes next, where it is in memory and no document has to be read for it. */
  #remembered(length: number): string | undefined {
    const { descending, limit } = this.query;
    if (descending || needsBodies(this.query)) return undefined;
    const most = Math.min(limit - this.sent, ROWS);
    const recent = this.db.events.recent(this.lastSeq, most);
    if (recent === undefined) return undefined;
    const page = firstRows(recent, 0, length);
    const isLast = page.length === recent.length && recent.length < most;
    const text = this.#show(presentPlain(this.query, page));
    if (!this.#cut) this.lastSeq = (isLast ? undefined : page.at(-1)?.seq) ?? this.db.updateSeq;
    return text;
  }

  async *#read(text: string, until: number): AsyncGenerator<string, string> {
    for await (const page of this.#pages(until)) {
      for await (const rows of this.#present(page)) {
        // Whoever reads the feed may have gone, and gets to stop it even where nothing passes the filter.
        if (rows.length === 0) {
          yield text + this.#dueSign();
          text = '';
        }
        for (let at = 0; at < rows.length && !this.full;) {
          const chunk = firstRows(rows, at, CHUNK - text.length);
          text += this.#show(chunk);
          at += chunk.length;
          if (text.length < CHUNK) continue;
          yield text;
          text = '';
        }
        if (this.full) return text;
      }
      if (this.#isGivenUp) {
        this.#cut = true;
        return text;
      }
      this.lastSeq = page.at(-1)?.seq ?? this.lastSeq;
    }
    if (!this.query.descending) this.lastSeq = Math.max(this.lastSeq, until);
    return text;
  }

  /** Pages of rows to show; one of none each time when a sign of life is due while a function judges. */
  #present(page: readonly ChangeRow[]): AsyncIterable<readonly ChangeRow[]> {
    const { db, query, signal } = this;
    const pages = presentRows(db, query, page, this.#bodies);
    if (query.filter?.kind !== 'function') return pages;
    return impatiently(pages, NO_ROWS, () => this.#silence(), signal);
  }

  #pages(until: number): AsyncIterable<readonly ChangeRow[]> | Iterable<readonly ChangeRow[]> {
    const { db, query, lastSeq } = this;
    const recent = query.descending ? undefined : db.events.recent(lastSeq);
    return recent === undefined ? sourceRows(db, query, lastSeq, until) : [recent];
  }

  /** Rows as they are sent, up to the limit. */
  #show(all: readonly ChangeRow[]): string {
    const rows = all.slice(0, this.query.limit - this.sent);
    if (rows.length === 0) return '';
    const text = this.framing.rows(this.#thin(rows), this.sent);
    this.sent += rows.length;
    if (this.full) {
      this.lastSeq = rows.at(-1)?.seq ?? this.lastSeq;
      this.#cut = true;
    }
    return text;
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
    const after = this.db.events.countRecent(this.lastSeq) ?? (await this.db.pending(this.lastSeq));
    if (!this.query.descending) return after;
    const before = (await this.db.pending(0)) - after;
    return Math.max(0, before - (this.sent > 0 ? 1 : 0));
  }
}

/** As many rows from one on as have so many characters; at least one, where there is any. */
function firstRows(rows: readonly ChangeRow[], from: number, characters: number): readonly ChangeRow[] {
  let to = from;
  for (let length = 0; to < rows.length && (to === from || length < characters); to++) {
    length += rows[to]?.text.length ?? 0;
  }
  return from === 0 && to === rows.length ? rows : rows.slice(from, to);
}

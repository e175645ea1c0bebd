import { randomBytes } from 'node:crypto';
import { CouchError, conflict } from '../errors.js';
import { type CommonPoint, compareLogs, type HistoryEntry, newLog, NO_LOG } from './checkpoint-log.js';
import type { LocalLog, Sequence, Side } from './peer.js';
import type { Counters } from './progress.js';
import type { Retrying } from './retrying.js';

/** How often a log is written again when somebody else wrote it meanwhile. */
const ATTEMPTS = 3;

/** The `instance_start_time` of a server that does not say. */
const UNKNOWN = '0';

/** A side of the replication, and what is known of its log. */
interface KnownSide {
  readonly peer: Side;
  readonly instance: string;
  /** Of the stored log. */
  rev: unknown;
  /** Of the log that was sent there last. */
  session?: unknown;
}

/** Where a replication begins, and who the peers were then. */
export interface CheckpointStart {
  readonly id: string;
  readonly source: Side;
  readonly target: Side;
  readonly sourceInstance: string;
  readonly targetInstance: string;
  /** Each request by itself is repeated: over a bad line a row of them hardly ever succeeds as a whole. */
  readonly retrying: Pick<Retrying, 'run'>;
}

/** Reads and writes the checkpoints of one run, on both sides. */
export class Checkpoints {
  readonly #document: string;
  readonly #sides: readonly [source: KnownSide, target: KnownSide];
  readonly #startTime = new Date().toUTCString();
  readonly #retrying: CheckpointStart['retrying'];
  #common: CommonPoint = { seq: 0, history: [] };
  #startSeq: Sequence = 0;
  #log: LocalLog | undefined;

  constructor({ id, source, target, sourceInstance, targetInstance, retrying }: CheckpointStart) {
    this.#document = `_local/${id}`;
    this.#retrying = retrying;
    this.#sides = [
      { peer: source, instance: sourceInstance, rev: undefined },
      { peer: target, instance: targetInstance, rev: undefined },
    ];
  }

  get startTime(): string {
    return this.#startTime;
  }

  /** The log as it was read or written last; undefined where the sides have nothing in common yet. */
  get log(): LocalLog | undefined {
    return this.#log;
  }

  /** Finds out what both sides know of. */
  async read(signal: AbortSignal): Promise<CommonPoint> {
    const [source, target] = await Promise.all(this.#sides.map(({ peer }) => this.#get(peer, signal)));
    this.#sides[0].rev = source?._rev;
    this.#sides[1].rev = target?._rev;
    this.#common = compareLogs(source, target);
    const [entry] = this.#common.history;
    if (entry !== undefined) this.#log = newLog(entry, this.#common.history.slice(1));
    return this.#common;
  }

  /** The run begins here; where that is not what `read` found, for another reason. */
  startAt(seq: Sequence): void {
    this.#startSeq = seq;
  }

  /**
   * Records that everything up to a sequence is written. Each record has a session of its own: a side that was put back
   * to an older state is then known by the session that it has.
   * @throws CouchError 409 where a database is not the one any more with which the run began; it keeps no log of the run
   */
  async write(seq: Sequence, counters: Counters, signal: AbortSignal): Promise<void> {
    const requireSame = (): Promise<unknown> =>
      Promise.all(this.#sides.map((side) => this.#requireSame(side, signal)));
    await requireSame();
    const entry = this.#entry(seq, counters);
    const log = newLog(entry, this.#common.history);
    for (const side of this.#sides) await this.#put(side, log, signal);
    // A database that was made anew in between got a log of what it does not have.
    await requireSame();
    this.#common = { seq, history: log.history as readonly HistoryEntry[] };
    this.#log = log;
  }

  #get(peer: Side, signal: AbortSignal): Promise<LocalLog | undefined> {
    return this.#retrying.run(() => peer.getLocal(this.#document, signal));
  }

  #entry(seq: Sequence, counters: Counters): HistoryEntry {
    return {
      session_id: randomBytes(16).toString('hex'),
      start_time: this.#startTime,
      end_time: new Date().toUTCString(),
      start_last_seq: this.#startSeq,
      end_last_seq: seq,
      recorded_seq: seq,
      missing_checked: counters.missingChecked,
      missing_found: counters.missingFound,
      docs_read: counters.docsRead,
      docs_written: counters.docsWritten,
      doc_write_failures: counters.docWriteFailures,
      bulk_get_docs: counters.bulkGetDocs,
      bulk_get_attempts: counters.bulkGetAttempts,
    };
  }

  /** Has everything written to disk. @throws CouchError 409 where the database was made anew */
  async #requireSame(side: KnownSide, signal: AbortSignal): Promise<void> {
    const { peer, instance } = side;
    const now = await this.#retrying.run(() => peer.ensureFullCommit(signal));
    if (now === instance || now === UNKNOWN || instance === UNKNOWN) return;
    await this.#withdraw(side, signal);
    throw new CouchError(409, 'database_replaced', `${peer.name} was made anew during the replication.`);
  }

  async #withdraw({ peer, session }: KnownSide, signal: AbortSignal): Promise<void> {
    const stored = await this.#get(peer, signal);
    if (stored === undefined || stored.session_id !== session) return;
    await this.#retrying.run(() => peer.putLocal(this.#document, { ...NO_LOG, _rev: stored._rev }, signal));
  }

  /** Somebody else may have written the log: the newer one counts, for it says no more than it knows. */
  async #put(side: KnownSide, log: LocalLog, signal: AbortSignal): Promise<void> {
    side.session = log.session_id;
    for (let attempt = 1; attempt <= ATTEMPTS; attempt++) {
      try {
        const revised = typeof side.rev === 'string' ? { ...log, _rev: side.rev } : log;
        side.rev = await this.#retrying.run(() => side.peer.putLocal(this.#document, revised, signal));
        return;
      } catch (error) {
        if (!(error instanceof CouchError) || error.status !== 409) throw error;
        side.rev = (await this.#get(side.peer, signal))?._rev;
      }
    }
    throw conflict();
  }
}

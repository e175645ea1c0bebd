import { setMaxListeners } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { CouchError } from '../errors.js';
import { readBatches, type Batch, type FeedState } from './changes-reader.js';
import { Checkpoints } from './checkpoints.js';
import { historyOf } from './checkpoint-log.js';
import { meaningOf } from './failures.js';
import { Held } from './held.js';
import { TUNING, type ReplicationTuning } from './options.js';
import { OrderedTransfer } from './ordered-transfer.js';
import { PeerUnreachable } from './peer.js';
import type {
  ChangedDocument,
  MissingRevisions,
  PeerInfo,
  RevisionText,
  Sequence,
  Side,
  Source,
  Target,
} from './peer.js';
import type { ReplicationProgress } from './progress.js';
import type { Refusal, Replication, ReplicationResult, ReplicationSpec } from './replication.js';
import { Retrying } from './retrying.js';
import type { RunContext } from './run-context.js';
import { SequenceTracker, type Ticket } from './sequence-tracker.js';
import { Statistics } from './statistics.js';
import type { WriteOrder } from './write-order.js';

/** Milliseconds that a last checkpoint may take where a run ends early. */
const LAST_CHECKPOINT = 5_000;

/** Starts to replicate. Nothing of it runs any more once `done` is settled. */
export function startReplication(spec: ReplicationSpec): Replication {
  const run = new Run(spec);
  const done = run.run();
  return {
    get progress() {
      return run.progress;
    },
    done,
    cancel: async (reason = new Error('The replication was cancelled.')) => {
      run.end(reason);
      await done.catch(() => undefined);
    },
  };
}

class Run implements RunContext {
  readonly source: Source;
  readonly target: Target;
  readonly options: ReplicationSpec['options'];
  readonly order: WriteOrder | undefined;
  readonly tuning: ReplicationTuning;
  readonly statistics = new Statistics();
  readonly retrying: Retrying;
  readonly #ending = new AbortController();
  readonly #feed: FeedState = { sourceSeq: 0, changesPending: null };
  readonly #held: Held;
  readonly #transfer: OrderedTransfer;
  readonly #underWay = new Set<Promise<void>>();
  #tracker = new SequenceTracker(0, () => undefined);
  /** Up to here both sides have a checkpoint. */
  #committed: Sequence = 0;

  constructor(private readonly spec: ReplicationSpec) {
    this.source = spec.source;
    this.target = spec.target;
    this.options = spec.options;
    this.order = spec.order;
    this.tuning = { ...TUNING, ...spec.tuning };
    // Each request under way listens: those are limited already.
    setMaxListeners(0, this.signal);
    this.retrying = new Retrying(this.tuning, this.signal, (error) => this.spec.listener?.onRetry?.(error));
    this.#transfer = new OrderedTransfer(this);
    this.#held = new Held({
      tuning: this.tuning,
      forEver: this.options.continuous === true,
      signal: this.signal,
      move: (wanted, ticket) => this.#transfer.move(wanted, ticket),
      fail: (error) => this.end(error),
    });
  }

  get signal(): AbortSignal {
    return this.#ending.signal;
  }

  get progress(): ReplicationProgress {
    const { missingChecked, missingFound, docsRead, docsWritten, docWriteFailures } = this.statistics;
    const { bulkGetDocs, bulkGetAttempts, bytesWritten } = this.statistics;
    return {
      missingChecked,
      missingFound,
      docsRead,
      docsWritten,
      docWriteFailures,
      bulkGetDocs,
      bulkGetAttempts,
      bytesWritten,
      held: this.#held.size,
      changesPending: this.#feed.changesPending,
      checkpointedSourceSeq: this.#committed,
      sourceSeq: this.#feed.sourceSeq,
      throughSeq: this.#tracker.through,
    };
  }

  end(reason: unknown): void {
    if (!this.signal.aborted) this.#ending.abort(reason);
  }

  changed(): void {
    this.spec.listener?.onProgress?.();
  }

  async refused(refusal: Refusal): Promise<void> {
    this.statistics.docWriteFailures++;
    await this.spec.listener?.onRefused?.(refusal);
    this.changed();
  }

  async during(work: Promise<void>): Promise<void> {
    this.#underWay.add(work);
    await work.finally(() => this.#underWay.delete(work));
  }

  async written(documents: readonly RevisionText[]): Promise<void> {
    await this.spec.listener?.onWritten?.(documents);
  }

  hold(wanted: MissingRevisions, error: CouchError, ticket: Ticket): void {
    const { id } = wanted;
    const missing = wanted.missing.filter((rev) => this.spec.mayPass?.({ id, rev, error }) !== true);
    if (missing.length === 0) return;
    this.#held.add({ ...wanted, missing }, error, ticket);
    for (const rev of missing) this.spec.listener?.onHeld?.({ id, rev, error });
    this.changed();
  }

  async run(): Promise<ReplicationResult> {
    const { checkpoints, since, skipsDiff } = await this.#prepare();
    const pacing = new AbortController();
    const pacer = this.#checkpointNowAndThen(checkpoints, AbortSignal.any([pacing.signal, this.signal]));
    try {
      if (this.spec.revisions === undefined) await this.#work(skipsDiff);
      else await this.#bring(this.spec.revisions);
      await this.#held.settled();
      this.signal.throwIfAborted();
      if (this.#held.givenUp !== undefined) throw this.#held.givenUp;
      pacing.abort();
      await pacer;
      await this.#checkpoint(checkpoints, this.signal);
    } catch (error) {
      this.end(error);
      await Promise.all([pacer, this.#held.settled()]);
      while (this.#underWay.size > 0) await Promise.allSettled(this.#underWay);
      await this.#lastCheckpoint(checkpoints);
      throw this.#reason;
    }
    this.end(new Error('The replication is over.'));
    return resultOf(checkpoints, this.#tracker.through === since);
  }

  /** Why it ended: what came first. */
  get #reason(): Error {
    const reason: unknown = this.signal.reason;
    return reason instanceof Error ? reason : new Error(String(reason));
  }

  // ---- beginning ------------------------------------------------------------------------------------------------

  async #prepare(): Promise<{ checkpoints: Checkpoints; since: Sequence; skipsDiff: boolean }> {
    const { createTarget, createTargetParams = {}, sinceSeq } = this.options;
    const { source, target, signal } = this;
    const from = await this.#open(source);
    if (createTarget === true)
      await this.retrying.run(() => target.create(createTargetParams, signal)).catch(refusedBy(target));
    const to = await this.#open(target);
    const checkpoints = new Checkpoints({
      id: this.spec.id,
      source,
      target,
      sourceInstance: from.instanceStartTime,
      targetInstance: to.instanceStartTime,
      retrying: this.retrying,
    });
    const common = await checkpoints.read(signal);
    const since = sinceSeq ?? common.seq;
    checkpoints.startAt(since);
    this.statistics.restore(common.history[0]);
    this.#feed.sourceSeq = this.#committed = since;
    this.#tracker = new SequenceTracker(since, () => this.changed());
    this.spec.listener?.onBegin?.();
    return { checkpoints, since, skipsDiff: to.isEmpty };
  }

  #open(peer: Side): Promise<PeerInfo> {
    return this.retrying.run(() => peer.info(this.signal)).catch(refusedBy(peer));
  }

  // ---- working --------------------------------------------------------------------------------------------------

  /** Several workers take one batch after the other. */
  async #work(skipsDiff: boolean): Promise<void> {
    const { source, options, tuning, retrying, signal } = this;
    const batches = readBatches(source, options, tuning, retrying, this.#feed, signal);
    try {
      await Promise.all(Array.from({ length: tuning.workers }, () => this.#replicateAll(batches, skipsDiff)));
    } finally {
      await batches.return(undefined);
    }
    signal.throwIfAborted();
  }

  /** Does nothing but what was asked for. */
  async #bring(rows: readonly ChangedDocument[]): Promise<void> {
    const missing = await this.#diff(rows);
    const ticket = this.#tracker.begin(this.#tracker.through);
    if (missing.length > 0) await this.#transfer.move(missing, ticket);
    ticket.release();
  }

  /** While the last of one batch is written, the next one is read: the peers need not wait for each other. */
  async #replicateAll(batches: AsyncGenerator<Batch>, skipsDiff: boolean): Promise<void> {
    let finishing: Promise<void> | undefined;
    try {
      for (;;) {
        const next = await batches.next();
        if (next.done === true) break;
        // Batches begin in the order of the feed: nothing may be awaited in between.
        const ticket = this.#tracker.begin(next.value.seq);
        const finish = await this.#read(next.value, ticket, skipsDiff);
        await finishing;
        finishing = this.#finish(finish, ticket);
      }
    } catch (error) {
      this.end(error);
    }
    await finishing;
  }

  async #read({ rows, isBacklog }: Batch, ticket: Ticket, skipsDiff: boolean): Promise<() => Promise<void>> {
    this.signal.throwIfAborted();
    const missing = skipsDiff && isBacklog ? rows.map(asMissing) : await this.#diff(rows);
    this.statistics.missingChecked += countRevs(rows.map(({ revs }) => revs));
    this.statistics.missingFound += countRevs(missing.map((one) => one.missing));
    return missing.length === 0 ? NOTHING_LEFT : this.#transfer.read(missing, ticket);
  }

  async #finish(finish: () => Promise<void>, ticket: Ticket): Promise<void> {
    try {
      await finish();
      ticket.release();
      this.changed();
    } catch (error) {
      this.end(error);
    }
  }

  /** Asks what the target lacks; for less at once where that is too much for it. */
  async #diff(rows: readonly ChangedDocument[]): Promise<readonly MissingRevisions[]> {
    if (rows.length === 0) return [];
    try {
      return await this.retrying.run(() => this.target.revsDiff(rows, this.signal));
    } catch (error) {
      if (rows.length === 1 || meaningOf(error) !== 'content') throw error;
      const middle = rows.length >> 1;
      return [...(await this.#diff(rows.slice(0, middle))), ...(await this.#diff(rows.slice(middle)))];
    }
  }

  // ---- checkpoints ----------------------------------------------------------------------------------------------

  /** Resolves when the run ends. */
  async #checkpointNowAndThen(checkpoints: Checkpoints, signal: AbortSignal): Promise<void> {
    for (;;) {
      await sleep(this.tuning.checkpointInterval, undefined, { signal }).catch(() => undefined);
      if (signal.aborted) return;
      try {
        await this.#checkpoint(checkpoints, this.signal);
      } catch (error) {
        // What passes is tried again next time.
        if (meaningOf(error) !== 'passing') this.end(error);
      }
    }
  }

  async #checkpoint(checkpoints: Checkpoints, signal: AbortSignal): Promise<void> {
    // What comes through while this is written is for the next one.
    const { through } = this.#tracker;
    if (through === this.#committed || this.options.useCheckpoints === false) return;
    await checkpoints.write(through, this.progress, signal);
    this.#committed = through;
    this.changed();
  }

  /** A run that ends early need not do again what it did. */
  async #lastCheckpoint(checkpoints: Checkpoints): Promise<void> {
    try {
      await this.#checkpoint(checkpoints, AbortSignal.timeout(LAST_CHECKPOINT));
    } catch {
      // Why the run ended matters more.
    }
  }
}

/** What is said of a database that cannot be used, as CouchDB does. */
const refusedBy =
  ({ name }: Side) =>
  (error: unknown): never => {
    if (error instanceof PeerUnreachable) throw unreachable(error, name);
    if (!(error instanceof CouchError)) throw error;
    const { status } = error;
    if (status === 404) throw new CouchError(500, 'db_not_found', `could not open ${name}`, { cause: error });
    if (status === 403) throw new CouchError(403, 'forbidden', name, { cause: error });
    if (status === 401)
      throw new CouchError(401, 'unauthorized', `unauthorized to access or create database ${name}`, {
        cause: error,
      });
    throw error;
  };

function unreachable(cause: PeerUnreachable, name: string): CouchError {
  const isUnknown = cause.cause instanceof Error && 'code' in cause.cause && cause.cause.code === 'ENOTFOUND';
  if (isUnknown) return new CouchError(500, 'nxdomain', `could not resolve ${name}`, { cause });
  return new CouchError(500, 'unreachable', `could not open ${name}: ${cause.message}`, { cause });
}

const asMissing = ({ id, revs }: ChangedDocument): MissingRevisions => ({
  id,
  missing: revs,
  possibleAncestors: [],
});

const NOTHING_LEFT = (): Promise<void> => Promise.resolve();

const countRevs = (lists: readonly (readonly string[])[]): number =>
  lists.reduce((sum, { length }) => sum + length, 0);

function resultOf({ log, startTime }: Checkpoints, noChanges: boolean): ReplicationResult {
  const times = { startTime, endTime: new Date().toUTCString() };
  if (log === undefined) return { noChanges, ...times };
  const history = historyOf(log);
  const sessionId = log.session_id as string;
  return {
    noChanges,
    checkpoint: { sessionId, sourceLastSeq: log.source_last_seq as Sequence, history },
    ...times,
  };
}

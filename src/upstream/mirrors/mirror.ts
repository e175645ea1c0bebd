import { isDeepStrictEqual } from 'node:util';
import { CouchError, databaseMissing } from '../../errors.js';
import { PeerUnreachable } from '../../replication/peer.js';
import { replicationId } from '../../replication/id.js';
import { Queue } from '../../store/queue.js';
import type { Waiting } from '../../store/unsent-entries.js';
import type { MirrorRule } from '../rules.js';
import type { MirrorContext } from './context.js';
import type { Crossing } from './crossing.js';
import { Flow } from './flow.js';
import type { MirrorRecord } from './records.js';
import { Retries } from './retries.js';
import { runSession } from './session.js';
import { mayFlow, type MirrorEvent, type MirrorState, type Standing, step } from './state.js';
import { type Failure, type MirrorStatus, statusOf } from './status.js';
import { Undelivered } from './undelivered.js';

/** Milliseconds between the checkpoints of either direction. What was pushed counts as sent once there is one. */
const PULLED = 5000;
const PUSHED = 1000;

/** A database here that is kept in step with the upstream database of its name. */
export class Mirror {
  readonly name: string;
  /** Where its requests go. */
  readonly crossing: Crossing;
  readonly pull: Flow;
  readonly push: Flow;
  readonly undelivered: Undelivered;
  /** When it was last asked for, or something of it changed; see `performance.now`. */
  lastUsed = performance.now();
  /** Something was written here of which nobody knows whether it went up. */
  isAhead = true;
  /** When the first of that was written, where it was not there at the start. */
  #aheadSince: Date | undefined;
  #record: MirrorRecord;
  #rule: MirrorRule;
  #standing: Standing;
  #since = new Date();
  #lastError: Failure | undefined;
  #lastSynced: Date | undefined;
  /** There is, or may be, something to be done. */
  #isWanted = false;
  #work: Promise<void> | undefined;
  #stop = new AbortController();
  /** Nothing begins any more. */
  isClosed = false;
  /** What was kept of it was taken away. */
  #isGone = false;
  /** How many admins' actions have it rest. */
  #rests = 0;
  readonly #retries: Retries;
  readonly #writes = new Queue();
  readonly #listeners = new Set<() => void>();

  constructor(
    record: MirrorRecord,
    rule: MirrorRule,
    readonly context: MirrorContext,
    crossing: Crossing,
  ) {
    this.name = record.name;
    this.#record = record;
    this.#rule = rule;
    this.#standing = standingOf(record);
    this.crossing = crossing;
    this.#retries = new Retries(() => context.config.upstream);
    this.pull = new Flow(() => this.#idOf('pull', this.rule), PULLED);
    this.push = new Flow(() => this.#idOf('push', {}), PUSHED);
    this.undelivered = new Undelivered(this, context);
  }

  get rule(): MirrorRule {
    return this.#rule;
  }

  /** The rules may be other ones: it begins again by those. */
  changeRule(rule: MirrorRule): void {
    if (isDeepStrictEqual(rule, this.#rule)) return;
    this.#rule = rule;
    void this.sync();
  }

  get record(): MirrorRecord {
    return this.#record;
  }

  get standing(): Standing {
    return this.#standing;
  }

  /** Opens the database, for counting. @throws CouchError where that fails */
  async status(): Promise<MirrorStatus> {
    const { count, oldest } = await this.#unsent();
    return this.#shown(count, oldest === undefined ? undefined : new Date(oldest.time));
  }

  /** The same, as far as it is known without opening the database. */
  glance(): MirrorStatus {
    const known = this.#standing.isWarm ? this.context.databases.peek(this.name)?.unsent.count : 0;
    return this.#shown(known ?? (this.isAhead ? null : 0), this.#aheadSince);
  }

  #shown(ahead: number | null, oldest: Date | undefined): MirrorStatus {
    const [since, lastError, lastSynced] = [this.#since, this.#lastError, this.#lastSynced];
    return statusOf(this, { since, lastError, lastSynced, ahead, oldest });
  }

  /** Calls `listener` when something flowed, or the state changed. @returns what ends it */
  onProgress(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  tell(): void {
    for (const listener of this.#listeners) listener();
  }

  /** Something happened to it. Resolves once what has to be kept of that is on the disk. @throws CouchError */
  async hear(event: MirrorEvent): Promise<void> {
    await this.#writes.add(async () => {
      const before = this.#standing;
      const next = step(before, event);
      if (event.type === 'failed') this.#lastError = { at: new Date(), reason: event.reason };
      if (next === before) return;
      const { state, isWarm, reason } = next;
      const held =
        state === 'warm' || state === 'warming' || state === 'failing' ? undefined : { state, reason };
      await this.#put({ ...this.#record, isWarm, held });
      this.#standing = next;
      if (state !== before.state) this.#changed(state, reason);
    });
    this.tell();
  }

  /** Changes what is kept of it. @throws CouchError */
  async note(fields: Partial<MirrorRecord>): Promise<void> {
    await this.#writes.add(() => this.#put({ ...this.#record, ...fields }));
  }

  /** Everything has flowed that was known of. */
  synced(): void {
    this.#lastSynced = new Date();
    this.tell();
  }

  // ---- when it works --------------------------------------------------------------------------------------------

  /** Something may have changed, here or upstream: it runs as soon as it may. */
  wake(): void {
    this.#isWanted = true;
    if (!this.#retries.isWaiting) this.#begin();
  }

  /** Documents here changed. Where it works it knows by itself. */
  changed(): void {
    this.lastUsed = performance.now();
    if (!this.isAhead) this.#aheadSince = new Date();
    this.isAhead = true;
    if (this.#work === undefined) this.wake();
  }

  /** Somebody asks for it. */
  used(): void {
    this.lastUsed = performance.now();
    // Otherwise its changes wake it.
    if (this.#work === undefined && !this.context.isTold()) this.wake();
  }

  /** The link came or went. */
  linkChanged(isOnline: boolean): void {
    if (isOnline) {
      this.#retries.forgive();
      // What happened upstream meanwhile is told of, or looked for.
      if (this.isAhead || !this.#standing.isWarm || this.#retries.isDoubting) this.#isWanted = true;
      this.#begin();
    } else void this.#rest();
  }

  /** Does something while nothing flows. */
  async during<T>(work: () => Promise<T>): Promise<T> {
    this.#rests++;
    try {
      await this.#rest();
      return await work();
    } finally {
      this.#rests--;
      this.#retries.forgive();
      this.#begin();
    }
  }

  /** Runs now, whatever it waits for. */
  async sync(): Promise<void> {
    await this.during(() => Promise.resolve((this.#isWanted = true)));
  }

  /** What was found keeps it, or its users, from working, and may not last: it is looked at again after ever longer waits. */
  doubt(): void {
    this.#retries.doubt(() => void this.sync());
  }

  /** All is as it should be. */
  trust(): void {
    this.#retries.trust();
  }

  async pause(): Promise<void> {
    await this.during(() => this.hear({ type: 'paused' }));
  }

  async resume(): Promise<void> {
    await this.during(() => this.hear({ type: 'resumed' }));
    this.wake();
  }

  async close(): Promise<void> {
    this.isClosed = true;
    this.#retries.stop();
    await this.#rest();
  }

  /** It is no mirror any more; nothing begins from now on. */
  end(): void {
    this.isClosed = true;
    this.context.left(this);
  }

  /** Takes away what is here, and the record of it. @throws CouchError */
  async leave(): Promise<void> {
    this.isClosed = true;
    if (this.#isGone) return;
    const { databases, records, rejected } = this.context;
    await this.note({ isLeaving: true });
    await databases.delete(this.name);
    await rejected.clear(this);
    await this.undelivered.clear();
    await this.#writes.add(async () => {
      await records.delete(this.name);
      this.#isGone = true;
    });
    this.context.left(this);
  }

  /** Deletes the database in both places. A crash in between leaves one that is missing upstream. @throws CouchError */
  async remove(removeUpstream: () => Promise<unknown>): Promise<void> {
    await this.during(async () => {
      await removeUpstream();
      await this.leave();
    });
  }

  /** Nothing more is to be done for now. */
  async settle(): Promise<void> {
    const { count } = await this.#unsent(false);
    this.isAhead = count > 0 && this.rule.direction !== 'pull';
    if (!this.isAhead) this.#aheadSince = undefined;
    // What was written while it came to rest.
    if (this.isAhead) this.#isWanted = true;
  }

  #begin(): void {
    const { upstream } = this.context;
    if (this.#work !== undefined || !this.#isWanted || this.#rests > 0 || this.isClosed) return;
    if (!upstream.isOnline || !mayRun(this.#standing)) return;
    this.#stop = new AbortController();
    this.#isWanted = false;
    const work = this.#run(this.#stop.signal).finally(() => {
      this.#work = undefined;
      // Something may have happened since.
      if (!this.#retries.isWaiting) this.#begin();
    });
    this.#work = work;
  }

  /** Never fails. */
  async #run(signal: AbortSignal): Promise<void> {
    const turn = await this.context.turns.take(this.isAhead, signal);
    if (turn === undefined) {
      this.#isWanted = true;
      return;
    }
    const before = this.#moved;
    try {
      await runSession(this, turn, signal);
      this.#retries.succeeded();
    } catch (error) {
      this.#isWanted = true;
      // Over a bad line what gets somewhere, in however many pieces, is worth going on with soon.
      if (this.#moved > before) this.#retries.succeeded();
      if (!signal.aborted) await this.#failed(error);
    } finally {
      turn.end();
    }
  }

  get #moved(): number {
    return this.pull.status.documents + this.push.status.documents;
  }

  async #failed(error: unknown): Promise<void> {
    const { log, upstream } = this.context;
    // When the upstream is back it is woken.
    if (!upstream.isOnline) return;
    const reason = reasonOf(error);
    log.warn({ database: this.name, reason, ...(isDefect(error) && { err: error }) }, 'a mirror failed');
    await this.hear({ type: 'failed', reason }).catch((failure: unknown) => {
      log.error({ database: this.name, err: failure }, 'what became of a mirror could not be kept');
    });
    this.#retries.failed(isForbidden(error), () => this.#begin());
  }

  async #rest(): Promise<void> {
    this.#retries.forgive();
    this.#stop.abort(new Error('the mirror rests'));
    await this.#work;
  }

  // ---- what is known of it --------------------------------------------------------------------------------------

  /** @throws CouchError 404 where it has left: a record of it could be that of another one */
  async #put(record: MirrorRecord): Promise<void> {
    if (this.#isGone) throw databaseMissing();
    await this.context.records.put(record);
    this.#record = record;
  }

  #changed(state: MirrorState, reason: string | undefined): void {
    this.#since = new Date();
    const fields = { database: this.name, state, ...(reason !== undefined && { reason }) };
    if (state === 'warm' || state === 'warming' || state === 'paused')
      this.context.log.info(fields, 'a mirror');
    else this.context.log.warn(fields, 'a mirror');
  }

  async #unsent(withTime = true): Promise<{ count: number; oldest: Waiting | undefined }> {
    const { databases } = this.context;
    if (!this.#standing.isWarm || !databases.exists(this.name)) return { count: 0, oldest: undefined };
    return databases.use(this.name, async ({ unsent }) => ({
      count: unsent.count,
      oldest: withTime ? await unsent.oldest() : undefined,
    }));
  }

  /** What pulls something else has other checkpoints; another address of the upstream has the same. */
  #idOf(direction: string, { docIds, selector }: Partial<MirrorRule>): string {
    return replicationId({
      serverUuid: this.context.uuid,
      source: { name: `mirror:${this.name}`, user: null },
      target: { name: direction, user: null },
      options: { ...(docIds !== undefined && { docIds }), ...(selector !== undefined && { selector }) },
    }).base;
  }
}

const mayRun = ({ state }: Standing): boolean => mayFlow(state) || isToBeMet(state);

/** What the upstream has there may be found to be the one that is known, after all. */
const isToBeMet = (state: MirrorState): boolean =>
  state === 'upstream-missing' || state === 'upstream-replaced';

function standingOf({ isWarm, held }: MirrorRecord): Standing {
  if (held !== undefined) return { state: held.state, isWarm, reason: held.reason };
  return { state: isWarm ? 'warm' : 'warming', isWarm, reason: undefined };
}

const isForbidden = (error: unknown): boolean =>
  error instanceof CouchError && (error.status === 401 || error.status === 403);

const isDefect = (error: unknown): boolean =>
  !(error instanceof CouchError || error instanceof PeerUnreachable);

function reasonOf(error: unknown): string {
  if (error instanceof CouchError) return error.reason === '' ? error.error : error.reason;
  return error instanceof PeerUnreachable
    ? error.message
    : 'an error of the server itself, which its log has';
}

import type { UserContext } from '../auth/usercontext.js';
import type { Config } from '../config/schema.js';
import { CouchError, unavailable } from '../errors.js';
import type { Logger } from '../observe/log.js';
import type { ReplicationId } from '../replication/id.js';
import { PeerUnreachable } from '../replication/peer.js';
import { NEW_JOB, step, type Job, type JobEvent } from '../replication/job.js';
import type { ReplicationProgress } from '../replication/progress.js';
import type { ReplicationResult } from '../replication/replication.js';
import type { ReplicationRequest } from './request.js';
import { giveTurns, type Candidate } from './turns.js';

/** A document that a replication comes from. */
export interface DocumentPlace {
  readonly database: string;
  readonly id: string;
}

/** What is to run. */
export interface JobSpec {
  readonly id: ReplicationId;
  readonly request: ReplicationRequest;
  /** Who asked, for whom databases are used that are named without a URL. */
  readonly as: UserContext;
  /** Whether what they may is what their account may at the time; else a token or a proxy said so once. */
  readonly hasAccount: boolean;
  /** Who is shown to have asked. */
  readonly user: string | null;
  /** None where it was asked for by `_replicate`: such a replication is not tried again when it fails. */
  readonly document: DocumentPlace | undefined;
  /** When it was asked for; milliseconds since 1970. */
  readonly startTime: number;
}

/** Something that happened to a replication. */
export interface JobMoment {
  readonly type: 'added' | 'started' | 'stopped' | 'crashed';
  /** Milliseconds since 1970. */
  readonly at: number;
  /** Why it crashed. */
  readonly reason?: string;
}

/** A replication that is running. */
export interface Run {
  /** As `_active_tasks` shows it. */
  readonly pid: string;
  /** Undefined until it begins to copy. */
  readonly progress: ReplicationProgress | undefined;
  readonly done: Promise<ReplicationResult>;
  /** Resolves when nothing of it runs any more, and never rejects. */
  stop(): Promise<void>;
}

/** A replication that the scheduler knows. */
export interface ScheduledJob {
  readonly spec: JobSpec;
  readonly job: Job;
  /** The newest first. */
  readonly history: readonly JobMoment[];
  readonly pid: string | null;
  /** As it was when it last ran. */
  readonly progress: ReplicationProgress | undefined;
}

export interface JobsOptions {
  /** Read at each use: it may change. */
  readonly config: Pick<Config, 'replication'>;
  readonly log: Pick<Logger, 'info' | 'warn'>;
  run(spec: JobSpec): Run;
  /** Hears of the end of a replication that a document asked for; it is not known any more. */
  onCompleted(document: DocumentPlace, job: ScheduledJob): void;
  /** Milliseconds before a replication that crashed once is tried again; 30,000, as in CouchDB, when left out. */
  readonly firstBackoff?: number;
}

const FIRST_BACKOFF = 30_000;
const MOST_DOUBLINGS = 10;
const LONGEST_TIMER = 2 ** 31 - 1;

/** Whoever waits for the end of a replication. */
interface Waiter {
  readonly resolve: (result: ReplicationResult) => void;
  readonly reject: (error: unknown) => void;
}

/** One replication with what happens to it. */
class Entry implements ScheduledJob {
  job: Job = step(NEW_JOB, { type: 'accepted' });
  history: readonly JobMoment[];
  run: Run | undefined;
  progress: ReplicationProgress | undefined;
  notBefore = -Infinity;
  lastStarted = -Infinity;
  readonly waiters: Waiter[] = [];

  constructor(readonly spec: JobSpec) {
    this.history = [{ type: 'added', at: Date.now() }];
  }

  get pid(): string | null {
    return this.run?.pid ?? null;
  }

  get isContinuous(): boolean {
    return this.spec.request.options.continuous ?? false;
  }

  happened(event: JobEvent): void {
    this.job = step(this.job, event);
  }
}

/** All replications that are to run, and the scheduler that gives them their turns. */
export class Jobs {
  readonly #entries = new Map<string, Entry>();
  /** By the ids of replications, runs of which something still runs: another one waits for that. */
  readonly #endings = new Map<string, Promise<void>>();
  #timer: NodeJS.Timeout | undefined;
  #turn: NodeJS.Immediate | undefined;
  /** When places were last given on. */
  #rotated = -Infinity;
  #isClosed = false;

  constructor(private readonly options: JobsOptions) {}

  get(id: string): ScheduledJob | undefined {
    const entry = this.#entries.get(id);
    return entry && current(entry);
  }

  list(): readonly ScheduledJob[] {
    return Array.from(this.#entries.values(), current);
  }

  /** From now on it waits for its turn; one of the same id stays. */
  add(spec: JobSpec): void {
    if (this.#isClosed || this.#entries.has(spec.id.full)) return;
    this.#entries.set(spec.id.full, new Entry(spec));
    this.schedule();
  }

  /** The end of a replication, which need not wait after a crash any more. @throws CouchError, PeerUnreachable */
  result(id: string): Promise<ReplicationResult> {
    const entry = this.#entries.get(id);
    if (entry === undefined) return Promise.reject(stopping());
    entry.notBefore = -Infinity;
    this.schedule();
    return new Promise((resolve, reject) => entry.waiters.push({ resolve, reject }));
  }

  /** Stops and forgets a replication; resolves when nothing of it runs any more. @returns false where there is none */
  async remove(id: string): Promise<boolean> {
    const entry = this.#entries.get(id);
    if (entry === undefined) return false;
    this.#entries.delete(id);
    for (const { reject } of entry.waiters) reject(cancelled());
    const { run } = entry;
    entry.run = undefined;
    if (run !== undefined) await this.#end(id, run);
    this.schedule();
    return true;
  }

  /** Ends a run that may not go on. */
  fail(id: string, error: unknown): void {
    const entry = this.#entries.get(id);
    const run = entry?.run;
    if (entry === undefined || run === undefined) return;
    void this.#end(id, run);
    this.#crashed(entry, run, error);
  }

  async #end(id: string, run: Run): Promise<void> {
    const ending = run.stop().finally(() => {
      this.#endings.delete(id);
      this.schedule();
    });
    this.#endings.set(id, ending);
    await ending;
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    clearTimeout(this.#timer);
    clearImmediate(this.#turn);
    const entries = [...this.#entries.values()];
    this.#entries.clear();
    for (const { waiters } of entries) for (const { reject } of waiters) reject(stopping());
    const runs = entries.map(({ run }) => run);
    // Their ends are no failures.
    for (const entry of entries) entry.run = undefined;
    await Promise.all([...runs.map((run) => run?.stop()), ...this.#endings.values()]);
  }

  /** Gives turns soon; to be called when the limits change, too. */
  schedule(): void {
    if (!this.#isClosed) this.#turn ??= setImmediate(() => this.#giveTurns());
  }

  #giveTurns(): void {
    clearTimeout(this.#timer);
    this.#turn = undefined;
    const { maxJobs, maxChurn, interval } = this.options.config.replication;
    const now = Date.now();
    const mayRotate = now - this.#rotated >= interval;
    if (mayRotate) this.#rotated = now;
    const limits = { maxJobs, maxChurn: mayRotate ? maxChurn : 0 };
    const turns = giveTurns(
      Array.from(this.#entries.values(), (entry) => this.#candidate(entry)),
      limits,
      now,
    );
    for (const id of turns.stop) this.#stop(this.#entries.get(id));
    for (const id of turns.start) this.#start(this.#entries.get(id));
    this.#arm(now);
  }

  /** Wakes up when there is something to do, and only then. */
  #arm(now: number): void {
    const { maxJobs, interval } = this.options.config.replication;
    let running = 0;
    let next = Infinity;
    for (const { run, spec, notBefore } of this.#entries.values()) {
      if (run !== undefined) running++;
      else if (!this.#endings.has(spec.id.full)) next = Math.min(next, notBefore);
    }
    if (next === Infinity) return;
    const at = running < maxJobs ? next : Math.max(next, this.#rotated + interval);
    const delay = Math.min(Math.max(at - now, 1), LONGEST_TIMER);
    this.#timer = setTimeout(() => this.#giveTurns(), delay);
  }

  #start(entry: Entry | undefined): void {
    if (entry === undefined) return;
    entry.happened({ type: 'due' });
    entry.happened({ type: 'began' });
    entry.lastStarted = Date.now();
    this.#note(entry, { type: 'started', at: entry.lastStarted });
    const run = this.options.run(entry.spec);
    entry.run = run;
    run.done.then(
      (result) => this.#finished(entry, run, result),
      (error: unknown) => this.#crashed(entry, run, error),
    );
  }

  /** Takes its place from a replication that goes on later. */
  #stop(entry: Entry | undefined): void {
    const run = entry?.run;
    if (entry === undefined || run === undefined) return;
    entry.progress = run.progress;
    entry.run = undefined;
    entry.happened({ type: 'steppedAside' });
    this.#note(entry, { type: 'stopped', at: Date.now() });
    void this.#end(entry.spec.id.full, run);
  }

  #finished(entry: Entry, run: Run, result: ReplicationResult): void {
    if (entry.run !== run) return;
    entry.progress = run.progress;
    entry.run = undefined;
    entry.happened({ type: 'finished' });
    this.#entries.delete(entry.spec.id.full);
    for (const { resolve } of entry.waiters) resolve(result);
    if (entry.spec.document !== undefined) this.options.onCompleted(entry.spec.document, entry);
    this.schedule();
  }

  #crashed(entry: Entry, run: Run, error: unknown): void {
    if (entry.run !== run) return;
    entry.progress = run.progress ?? entry.progress;
    entry.run = undefined;
    const { document, id } = entry.spec;
    const reason = reasonOf(error);
    const defect = reason === DEFECT && { err: error };
    this.options.log.warn({ replication: id.full, document, reason, ...defect }, 'a replication failed');
    for (const { reject } of entry.waiters.splice(0)) reject(error);
    if (document === undefined) this.#entries.delete(id.full);
    else this.#backOff(entry, reason);
    this.schedule();
  }

  /** Twice as long each time; what came before a long run without failure does not count. */
  #backOff(entry: Entry, reason: string): void {
    const now = Date.now();
    const wasHealthy = now - entry.lastStarted > this.options.config.replication.healthThreshold * 1000;
    if (wasHealthy) entry.job = { ...entry.job, errorCount: 0 };
    entry.happened({ type: 'crashed', reason });
    this.#note(entry, { type: 'crashed', at: now, reason });
    const doublings = Math.min(entry.job.errorCount - 1, MOST_DOUBLINGS);
    entry.notBefore = now + (this.options.firstBackoff ?? FIRST_BACKOFF) * 2 ** doublings;
  }

  #candidate({ spec, run, isContinuous, lastStarted, notBefore }: Entry): Candidate {
    const id = spec.id.full;
    return {
      id,
      isRunning: run !== undefined,
      isContinuous,
      lastStarted,
      notBefore: this.#endings.has(id) ? Infinity : notBefore,
    };
  }

  #note(entry: Entry, moment: JobMoment): void {
    const { maxHistory } = this.options.config.replication;
    entry.history = [moment, ...entry.history].slice(0, maxHistory);
  }
}

/** How it is at this moment. */
const current = ({ spec, job, history, pid, run, progress }: Entry): ScheduledJob => ({
  spec,
  job,
  history,
  pid,
  progress: run?.progress ?? progress,
});

/** Why something failed, as it may be shown: no text of a library, which could hold more than it should. */
export function reasonOf(error: unknown): string {
  if (error instanceof CouchError || error instanceof PeerUnreachable)
    return error.message.slice(0, LONGEST_REASON).toWellFormed();
  return DEFECT;
}

/** A history of many failures is kept in memory. */
const LONGEST_REASON = 1000;

const DEFECT = 'internal_server_error: the server failed';

const stopping = (): CouchError => unavailable('The server is stopping.');
const cancelled = (): CouchError => new CouchError(500, 'error', 'The replication was cancelled.');

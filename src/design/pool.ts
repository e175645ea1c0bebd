import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { availableParallelism } from 'node:os';
import { unavailable } from '../errors.js';
import { Job, TIMED_OUT, type Machine } from './job.js';
import type { Call, Limits, Outcome, Report } from './protocol.js';
import { Thread } from './thread.js';

/** A thread that works at one order for longer than this holds up nobody else any more. */
const SLOW_MS = 75;
/** How often running threads are looked at. */
const WATCH_MS = 25;
/** How long a function that was slow counts as one. */
const SLOW_FOR_MS = 10_000;
/** How much longer than the time for a call, and for a portion before it, a thread may be silent. */
const GRACE_MS = 500;
/** Threads without work end after this time. */
const IDLE_MS = 30_000;

export interface PoolOptions extends Limits {
  /** How many threads there are at most for functions that are slow. */
  readonly slowThreads: number;
}

/** How many there are for those that are not. One processor is left to the server itself. */
const QUICK_THREADS = Math.max(1, availableParallelism() - 1);

/** As they are now, for a thread that begins. */
const limitsOf = ({ timeout, memory, maxOutput, maxKept }: Limits): Limits => ({
  timeout,
  memory,
  maxOutput,
  maxKept,
});

/** A thread with what it does. */
interface Seat {
  readonly thread: Thread;
  isSlow: boolean;
  job: Job | undefined;
  /** When it got its work, or was done with it. */
  since: number;
}

/**
 * Threads that run functions. Each database has at most one portion of its work with a thread at a time, and then
 * waits behind all others; a thread that does not come back becomes one of those for slow functions, and is replaced.
 */
export class Pool {
  /** Jobs that nobody works at, by database. Those that may be taken are in the order in which they are. */
  readonly #waiting = new Map<string, Job[]>();
  readonly #running = new Set<string>();
  readonly #seats = new Map<Thread, Seat>();
  readonly #unwanted = new Set<number>();
  #module: WebAssembly.Module | undefined;
  #loading: Promise<void> | undefined;
  #watch: NodeJS.Timeout | undefined;
  #isClosed = false;

  constructor(
    private readonly options: PoolOptions,
    private readonly log: (line: string, database: string) => void,
  ) {}

  /** Makes the calls, in portions. @returns what became of each item, up to the first that failed */
  async run(machine: Machine, call: Call): Promise<readonly Outcome[]> {
    if (this.#isClosed) throw unavailable('The server is stopping.');
    if (this.#module === undefined) await (this.#loading ??= this.#load());
    const job = new Job(machine, call, this.options.timeout);
    this.#queue(job, 'last');
    this.#dispatch();
    return job.done;
  }

  /** Threads need not keep these any more. */
  drop(machine: number): void {
    this.#unwanted.add(machine);
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    clearInterval(this.#watch);
    const stopped = unavailable('The server is stopping.');
    for (const jobs of this.#waiting.values()) for (const job of jobs) job.fail(stopped);
    this.#waiting.clear();
    await Promise.all(
      Array.from(this.#seats.values(), ({ thread, job }) => {
        job?.fail(stopped);
        return thread.end();
      }),
    );
  }

  async #load(): Promise<void> {
    const file = createRequire(import.meta.url).resolve('quickjs-wasi/quickjs.wasm');
    this.#module = await WebAssembly.compile(await readFile(file));
  }

  /** Those that are not done yet go first, within their database. */
  #queue(job: Job, where: 'first' | 'last'): void {
    const { database } = job.machine;
    const jobs = this.#waiting.get(database) ?? [];
    if (where === 'first') jobs.unshift(job);
    else jobs.push(job);
    this.#waiting.set(database, jobs);
  }

  #dispatch(): void {
    if (this.#isClosed) return;
    for (const [database, jobs] of this.#waiting) {
      const [job] = jobs;
      if (job === undefined || this.#running.has(database)) continue;
      const seat = this.#seatFor(job.machine);
      if (seat === undefined) continue;
      jobs.shift();
      // It comes to the end of the line: others have their turn first.
      this.#waiting.delete(database);
      if (jobs.length > 0) this.#waiting.set(database, jobs);
      this.#start(seat, job);
    }
  }

  #seatFor({ number, slowUntil }: Machine): Seat | undefined {
    const isSlow = performance.now() < slowUntil;
    let idle: Seat | undefined;
    let count = 0;
    for (const seat of this.#seats.values()) {
      if (seat.isSlow !== isSlow) continue;
      count++;
      if (seat.job !== undefined) continue;
      if (seat.thread.machines.has(number)) return seat;
      idle ??= seat;
    }
    const most = isSlow ? this.options.slowThreads : QUICK_THREADS;
    return idle ?? (count < most ? this.#open(isSlow) : undefined);
  }

  #open(isSlow: boolean): Seat | undefined {
    if (this.#module === undefined) return undefined;
    const thread = new Thread(this.#module, limitsOf(this.options), {
      onReport: (reporting, report) => this.#onReport(reporting, report),
      onEnd: (ended) => this.#onEnd(ended),
    });
    const seat: Seat = { thread, isSlow, job: undefined, since: performance.now() };
    this.#seats.set(thread, seat);
    this.#watch ??= setInterval(() => this.#look(), WATCH_MS).unref();
    return seat;
  }

  #start(seat: Seat, job: Job): void {
    const { number, design, database } = job.machine;
    this.#running.add(database);
    seat.job = job;
    seat.since = performance.now();
    seat.thread.run({
      machine: number,
      design: seat.thread.machines.has(number) ? undefined : design,
      call: job.take(),
      drop: this.#unwantedOf(seat.thread),
    });
  }

  #unwantedOf(thread: Thread): number[] {
    const found = Array.from(this.#unwanted).filter((machine) => thread.machines.has(machine));
    return found;
  }

  #onReport(thread: Thread, { outcomes, log }: Report): void {
    const seat = this.#seats.get(thread);
    const job = seat?.job;
    if (seat === undefined || job === undefined) return;
    for (const line of log) this.log(line, job.machine.database);
    const now = performance.now();
    job.accept(outcomes, now - seat.since);
    this.#release(seat, job, now);
  }

  /** A thread is free again, or gone. */
  #release(seat: Seat, job: Job, now: number): void {
    seat.job = undefined;
    seat.since = now;
    this.#running.delete(job.machine.database);
    if (!job.finish()) this.#queue(job, 'first');
    this.#dispatch();
  }

  #onEnd(thread: Thread): void {
    const seat = this.#seats.get(thread);
    this.#seats.delete(thread);
    if (this.#seats.size === 0) {
      clearInterval(this.#watch);
      this.#watch = undefined;
    }
    if (seat?.job === undefined || this.#isClosed) return;
    // Whatever it did before is lost and done anew; the item that it was at is answered.
    seat.job.settle(thread.item, TIMED_OUT);
    this.#release(seat, seat.job, performance.now());
  }

  #look(): void {
    const now = performance.now();
    for (const seat of this.#seats.values()) {
      const time = now - seat.since;
      if (seat.job === undefined) {
        if (time > IDLE_MS) void seat.thread.end();
      } else if (time > this.options.timeout + SLOW_MS + GRACE_MS) {
        void seat.thread.end();
      } else if (time > SLOW_MS && !seat.isSlow) {
        this.#slowDown(seat, now);
      }
    }
  }

  #slowDown(seat: Seat, now: number): void {
    const slow = Array.from(this.#seats.values()).filter(({ isSlow }) => isSlow);
    if (seat.job !== undefined) seat.job.machine.slowUntil = now + SLOW_FOR_MS;
    if (slow.length >= this.options.slowThreads) return;
    seat.isSlow = true;
    this.#dispatch();
  }
}

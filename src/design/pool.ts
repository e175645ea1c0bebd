import { availableParallelism } from 'node:os';
import { unavailable } from '../errors.js';
import { engineModule } from './engine-module.js';
import { Job, type Machine } from './job.js';
import { CRASHED, TIMED_OUT, type Call, type Limits, type Outcome, type Report } from './protocol.js';
import { Thread } from './thread.js';

/** A function that takes longer than this for one document is slow. */
const SLOW_MS = 75;
/** Unless it had a processor for less than this: then it is the machine that is slow. */
const SLOW_PROCESSOR_MS = SLOW_MS / 2;
/** How often running threads are looked at. */
const WATCH_MS = 25;
/** How long functions that were slow count as slow. */
const SLOW_FOR_MS = 60_000;
/** How long a thread may take to notice that its time is over. */
const GRACE_MS = 500;
/** How long it may take to notice that it is to stop: it is in the way of others. */
const STOP_MS = 100;
/** How long a thread may take to begin. */
const START_MS = 30_000;
/** Threads without work end after this time. */
const IDLE_MS = 30_000;

export interface PoolOptions extends Limits {
  /** How many threads there are at most for functions that are slow. */
  readonly slowThreads: number;
}

/** How many there are at most for those that are not. One processor is left to the server itself. */
const QUICK_THREADS = Math.max(1, availableParallelism() - 1);

/** A thread with what it does. */
interface Seat {
  readonly thread: Thread;
  isSlow: boolean;
  job: Job | undefined;
  /** When it got its work, or was done with it. */
  since: number;
  /** The item that it was at when it was looked at, since when, and the processor's time that it had by then. */
  sight: { readonly item: number; readonly since: number; readonly processorTime: number | undefined };
  /** It was asked to leave its order, it was ended, or it was ended because an item took too long. */
  ending: 'asked' | 'ended' | 'timed out' | undefined;
}

const UNSEEN: Seat['sight'] = { item: -1, since: 0, processorTime: undefined };

/** Tells what happens to those who care. */
export interface PoolListener {
  /** A function logged something. */
  onLog(line: string, machine: Machine): void;
  /** A thread ended by itself. */
  onCrash(error: Error | undefined, machine: Machine): void;
}

/**
 * Threads that run functions. A thread leaves an order after a while, and the rest of it waits behind the work of all
 * other databases. One that does not come back for longer becomes slow: another thread takes its place among the quick
 * ones, and it may go on behind everything else that wants the processor. Each database has at most one thread of each
 * sort. Where there are as many slow ones as there may be, what should become slow is stopped, and waits to be slow.
 */
export class Pool {
  /** Jobs that no thread works at, by database. The database that had its turn last comes last. */
  readonly #waiting = new Map<string, Job[]>();
  readonly #seats = new Map<Thread, Seat>();
  #module: WebAssembly.Module | undefined;
  #watch: NodeJS.Timeout | undefined;
  #isClosed = false;

  constructor(
    private readonly options: PoolOptions,
    private readonly listener: PoolListener,
  ) {}

  /**
   * Makes the calls.
   * @param signal fires when nobody waits for them any more
   * @returns what became of each item; all from the first failure on count for nothing, but in validations
   * @throws the reason of the signal, where it fires
   */
  async run(machine: Machine, call: Call, signal?: AbortSignal): Promise<readonly Outcome[]> {
    if (call.items.length === 0) return [];
    this.#module ??= await engineModule();
    if (this.#isClosed) throw stopping();
    signal?.throwIfAborted();
    const job = new Job(machine, call, this.options.timeout);
    const giveUp = (): void => this.#giveUp(job, signal?.reason);
    signal?.addEventListener('abort', giveUp);
    try {
      this.#queue(job, 'last');
      this.#dispatch();
      return await job.done;
    } finally {
      signal?.removeEventListener('abort', giveUp);
    }
  }

  /** Threads need not keep this any more. */
  drop(machine: number): void {
    for (const thread of this.#seats.keys()) thread.drop(machine);
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    clearInterval(this.#watch);
    for (const jobs of this.#waiting.values()) for (const job of jobs) job.fail(stopping());
    this.#waiting.clear();
    const seats = Array.from(this.#seats.values());
    for (const { job } of seats) job?.fail(stopping());
    await Promise.all(seats.map(({ thread }) => thread.end()));
  }

  // ---- who is next --------------------------------------------------------------------------------------------

  #queue(job: Job, where: 'first' | 'last'): void {
    const { database } = job.machine;
    const jobs = this.#waiting.get(database) ?? [];
    if (where === 'first') jobs.unshift(job);
    else jobs.push(job);
    this.#waiting.set(database, jobs);
  }

  /** A thread that works at it is to leave it. */
  #giveUp(job: Job, reason: unknown): void {
    job.fail(reason);
    const { database } = job.machine;
    const others = this.#waiting.get(database)?.filter((other) => other !== job) ?? [];
    if (others.length > 0) this.#waiting.set(database, others);
    else this.#waiting.delete(database);
    for (const seat of this.#seats.values()) if (seat.job === job) askToLeave(seat);
  }

  #dispatch(): void {
    if (this.#isClosed || this.#module === undefined) return;
    for (const [database, jobs] of this.#waiting) {
      for (const isSlow of [false, true]) {
        const index = jobs.findIndex((job) => job.isSlow === isSlow);
        const job = jobs[index];
        if (job === undefined || this.#isServed(database, isSlow)) continue;
        const seat = this.#seatFor(job.machine, isSlow, this.#module);
        if (seat === undefined) continue;
        jobs.splice(index, 1);
        this.#waiting.delete(database);
        if (jobs.length > 0) this.#waiting.set(database, jobs);
        this.#start(seat, job);
      }
    }
  }

  #isServed(database: string, isSlow: boolean): boolean {
    for (const seat of this.#seats.values())
      if (seat.isSlow === isSlow && seat.job?.machine.database === database) return true;
    return false;
  }

  /** A free thread, rather one that has the machine, or a new one where there may be more. */
  #seatFor({ number }: Machine, isSlow: boolean, module: WebAssembly.Module): Seat | undefined {
    let idle: Seat | undefined;
    for (const seat of this.#seats.values()) {
      if (seat.isSlow !== isSlow || seat.job !== undefined || seat.ending !== undefined) continue;
      if (seat.thread.has(number)) return seat;
      idle ??= seat;
    }
    return idle ?? (this.#count(isSlow) < this.#most(isSlow) ? this.#open(isSlow, module) : undefined);
  }

  #count(isSlow: boolean): number {
    let count = 0;
    for (const seat of this.#seats.values()) if (seat.isSlow === isSlow) count++;
    return count;
  }

  /** Where functions turn out to be slow, one more takes the others' work while they do. */
  #most(isSlow: boolean): number {
    if (isSlow) return this.options.slowThreads;
    return QUICK_THREADS + (this.#count(true) > 0 ? 1 : 0);
  }

  #open(isSlow: boolean, module: WebAssembly.Module): Seat {
    const { timeout, memory, maxOutput, maxKept } = this.options;
    const thread = new Thread(
      module,
      { timeout, memory, maxOutput, maxKept },
      {
        onReport: (reporting, report) => this.#onReport(reporting, report),
        onSaid: () => undefined,
        onEnd: (ended, error) => this.#onEnd(ended, error),
      },
    );
    const since = performance.now();
    const seat: Seat = { thread, isSlow, job: undefined, since, sight: UNSEEN, ending: undefined };
    this.#seats.set(thread, seat);
    this.#watch ??= setInterval(() => this.#look(), WATCH_MS).unref();
    return seat;
  }

  #start(seat: Seat, job: Job): void {
    const { number, design } = job.machine;
    seat.job = job;
    seat.since = performance.now();
    seat.sight = UNSEEN;
    seat.thread.run(number, design, job.take());
  }

  // ---- what becomes of it -------------------------------------------------------------------------------------

  #onReport(thread: Thread, { outcomes, log }: Report): void {
    const seat = this.#seats.get(thread);
    const job = seat?.job;
    if (seat === undefined || job === undefined) return;
    for (const line of log) this.listener.onLog(line, job.machine);
    const now = performance.now();
    const time = now - seat.since;
    // What turns out to be quick is trusted again.
    if (seat.isSlow && seat.ending === undefined)
      job.machine.slowUntil = time > SLOW_MS ? now + SLOW_FOR_MS : 0;
    job.accept(outcomes, time);
    seat.job = undefined;
    seat.since = now;
    // One that is being ended came back too late to stay.
    if (seat.ending === 'asked') seat.ending = undefined;
    this.#leave(job);
  }

  #onEnd(thread: Thread, error: Error | undefined): void {
    const seat = this.#seats.get(thread);
    this.#seats.delete(thread);
    if (this.#seats.size === 0) {
      clearInterval(this.#watch);
      this.#watch = undefined;
    }
    const job = seat?.job;
    if (job === undefined || this.#isClosed) return;
    // What it had done of the order is lost and done anew, but for the time; the item that it was at is answered.
    if (seat !== undefined) job.accept([], performance.now() - seat.since);
    if (seat?.ending === 'timed out') job.settle(Math.max(0, thread.item), TIMED_OUT);
    if (seat?.ending === undefined) {
      this.listener.onCrash(error, job.machine);
      job.settle(Math.max(0, thread.item), CRASHED);
    }
    this.#leave(job);
  }

  /** No thread works at a job any more. */
  #leave(job: Job): void {
    if (!job.finish()) this.#queue(job, 'first');
    this.#dispatch();
  }

  // ---- who takes too long -------------------------------------------------------------------------------------

  #look(): void {
    const now = performance.now();
    for (const seat of this.#seats.values()) {
      const { job, ending, since } = seat;
      if (ending === 'ended' || ending === 'timed out') continue;
      if (job !== undefined) this.#lookAt(seat, job, now);
      else if (now - since > IDLE_MS) this.#end(seat, 'ended');
    }
  }

  #lookAt(seat: Seat, job: Job, now: number): void {
    const { thread, ending } = seat;
    const { item } = thread;
    if (item !== seat.sight.item) seat.sight = { item, since: now, processorTime: thread.processorTime };
    const time = now - (item < 0 ? seat.since : seat.sight.since);
    if (item < 0) {
      if (time > START_MS) this.#end(seat, 'timed out');
    } else if (ending === 'asked') {
      if (time > SLOW_MS + STOP_MS) this.#end(seat, 'ended');
    } else if (time > this.options.timeout + GRACE_MS) {
      this.#end(seat, 'timed out');
    } else if (time > SLOW_MS && !seat.isSlow && hadProcessor(seat)) {
      this.#slowDown(seat, job, now);
    }
  }

  #end(seat: Seat, ending: 'ended' | 'timed out'): void {
    seat.ending = ending;
    // It is heard of by `onEnd`.
    void seat.thread.end();
  }

  #slowDown(seat: Seat, job: Job, now: number): void {
    job.isSlow = true;
    job.machine.slowUntil = now + SLOW_FOR_MS;
    if (this.#count(true) >= this.#most(true) || this.#isServed(job.machine.database, true)) {
      askToLeave(seat);
    } else {
      seat.isSlow = true;
      seat.thread.yieldProcessor();
    }
    // A thread takes a while to start, so it does that before it is missed.
    if (this.#module !== undefined && this.#count(false) < this.#most(false)) this.#open(false, this.#module);
    this.#dispatch();
  }
}

function askToLeave(seat: Seat): void {
  seat.ending ??= 'asked';
  seat.thread.stop();
}

/** Whether what a thread was doing since it was seen to begin can be called slow. */
function hadProcessor({ thread, sight }: Seat): boolean {
  const now = thread.processorTime;
  return (
    now === undefined || sight.processorTime === undefined || now - sight.processorTime > SLOW_PROCESSOR_MS
  );
}

const stopping = (): Error => unavailable('The server is stopping.');

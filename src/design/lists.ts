import { unavailable } from '../errors.js';
import { engineModule } from './engine-module.js';
import type { Machine } from './job.js';
import type { PoolListener } from './pool.js';
import {
  CRASHED,
  TIMED_OUT,
  type Call,
  type Given,
  type Limits,
  type Outcome,
  type Report,
  type Said,
} from './protocol.js';
import { Thread } from './thread.js';

/** How many list functions run at once, and how many of one database. Others wait for their turn. */
const MOST = 8;
const MOST_OF_DATABASE = 4;
/** How often those that run are looked at. */
const WATCH_MS = 100;
/** How long a thread may take to notice that its time is over. */
const GRACE_MS = 500;
/** How long a thread may take to begin. */
const START_MS = 30_000;
/** Threads without work end after this time. */
const IDLE_MS = 30_000;

/** What a list function runs over. */
export interface ListRows {
  /** Pages of rows, JSON text each. */
  readonly pages: AsyncIterable<readonly string[]>;
  /** Aborted when nobody wants the answer any more. */
  readonly signal: AbortSignal;
}

/** What comes of a thread: what it says, what its call came to, or why neither; undefined where nobody wants it any more. */
type Step = Said | Outcome | Error | undefined;

/** A thread with the list function that it runs. */
interface Seat {
  readonly thread: Thread;
  /** Undefined where it has no work. */
  machine: Machine | undefined;
  /** Takes what comes next; undefined while the thread waits for its rows, or has no work. */
  hear: ((step: Step) => void) | undefined;
  /** The row that it was at when it was looked at, and since when; for one without work, since when that is so. */
  sight: { readonly row: number; readonly since: number };
  ending: 'ended' | 'timed out' | undefined;
  /** What its call came to by its end. */
  last: Step;
  /** Everything else gets the processor first. */
  isBehind: boolean;
}

const isSaid = (step: Step): step is Said => typeof step === 'object' && step !== null && 'output' in step;

/**
 * Runs list functions. Each keeps a thread for itself, for as long as its rows and its client take, because the function
 * does not return while it waits for a row.
 */
export class Lists {
  readonly #seats = new Map<Thread, Seat>();
  /** Those who wait for a thread, called when there may be one. */
  readonly #waiting = new Set<() => void>();
  #watch: NodeJS.Timeout | undefined;
  #isClosed = false;

  constructor(
    private readonly limits: Limits,
    private readonly listener: PoolListener,
  ) {}

  /**
   * Calls a list function.
   * @returns JSON of the response object, then the answer piece by piece; at the end what became of the call, or nothing
   *   where nobody wants the answer any more
   */
  async *run(
    machine: Machine,
    call: Call,
    { pages, signal }: ListRows,
  ): AsyncGenerator<string, Outcome | undefined> {
    const rows = pages[Symbol.asyncIterator]();
    let seat: Seat | undefined;
    try {
      // What has not begun to be read would not be closed.
      let page: Given | undefined = await nextPage(rows);
      seat = await this.#seatFor(machine, signal);
      if (seat === undefined) return undefined;
      const { thread } = seat;
      let step = await hear(seat, signal, () => thread.run(machine.number, machine.design, call));
      while (isSaid(step)) {
        if (step.start !== '') yield step.start;
        if (step.output !== '') yield step.output;
        let given: Given = [];
        if (step.wantsRows) {
          given = page ?? (await nextPage(rows));
          page = undefined;
        }
        step = await hear(seat, signal, () => thread.give(given));
      }
      if (step instanceof Error) throw step;
      if (step !== undefined && seat.last === undefined) {
        this.#leave(seat);
        seat = undefined;
      }
      return step;
    } finally {
      // Whoever leaves before the end leaves a thread that waits, or runs for nobody.
      if (seat !== undefined) this.#end(seat, 'ended');
      await rows.return?.();
    }
  }

  /** Threads need not keep this any more. */
  drop(machine: number): void {
    for (const thread of this.#seats.keys()) thread.drop(machine);
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.#wake();
    const seats = Array.from(this.#seats.values());
    for (const seat of seats) tell(seat, stopping());
    await Promise.all(seats.map(({ thread }) => thread.end()));
  }

  // ---- who has a thread ---------------------------------------------------------------------------------------

  /** A thread, once it is the turn of this one; undefined where nobody wants it any more by then. */
  async #seatFor(machine: Machine, signal: AbortSignal): Promise<Seat | undefined> {
    const module = await engineModule();
    for (;;) {
      if (signal.aborted) return undefined;
      if (this.#isClosed) throw stopping();
      const seat = this.#take(machine, module);
      if (seat !== undefined) return seat;
      await this.#change(signal);
    }
  }

  #take(machine: Machine, module: WebAssembly.Module): Seat | undefined {
    const seats = Array.from(this.#seats.values());
    const { database } = machine;
    if (seats.filter((seat) => seat.machine?.database === database).length >= MOST_OF_DATABASE) {
      return undefined;
    }
    const free = seats.filter((seat) => seat.machine === undefined && seat.ending === undefined);
    const seat = free.find(({ thread }) => thread.has(machine.number)) ?? free[0] ?? this.#open(module);
    if (seat !== undefined) seat.machine = machine;
    return seat;
  }

  #open(module: WebAssembly.Module): Seat | undefined {
    if (this.#seats.size >= MOST) return undefined;
    const { timeout, memory, maxOutput, maxKept } = this.limits;
    const thread = new Thread(
      module,
      { timeout, memory, maxOutput, maxKept },
      {
        onSaid: (saying, said) => this.#onSaid(saying, said),
        onReport: (reporting, report) => this.#onReport(reporting, report),
        onEnd: (ended, error) => this.#onEnd(ended, error),
      },
    );
    const seat: Seat = {
      thread,
      machine: undefined,
      hear: undefined,
      sight: { row: -1, since: performance.now() },
      ending: undefined,
      last: undefined,
      isBehind: false,
    };
    this.#seats.set(thread, seat);
    this.#watch ??= setInterval(() => this.#look(), WATCH_MS).unref();
    return seat;
  }

  /** Its function has come to its end. */
  #leave(seat: Seat): void {
    seat.machine = undefined;
    seat.sight = { row: -1, since: performance.now() };
    this.#wake();
  }

  #end(seat: Seat, ending: 'ended' | 'timed out'): void {
    seat.ending ??= ending;
    // It is heard of by `onEnd`.
    void seat.thread.end();
  }

  /** Resolves when a thread may have become free. */
  #change(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const done = (): void => {
        this.#waiting.delete(done);
        signal.removeEventListener('abort', done);
        resolve();
      };
      this.#waiting.add(done);
      signal.addEventListener('abort', done);
    });
  }

  /** All look whether it is their turn, and those that still wait keep their order. */
  #wake(): void {
    for (const done of [...this.#waiting]) done();
  }

  // ---- what threads say ---------------------------------------------------------------------------------------

  #onSaid(thread: Thread, said: Said): void {
    const seat = this.#seats.get(thread);
    if (seat !== undefined) tell(seat, said);
  }

  #onReport(thread: Thread, { outcomes: [outcome = CRASHED], log }: Report): void {
    const seat = this.#seats.get(thread);
    if (seat?.machine === undefined) return;
    for (const line of log) this.listener.onLog(line, seat.machine);
    tell(seat, outcome);
  }

  #onEnd(thread: Thread, error: Error | undefined): void {
    const seat = this.#seats.get(thread);
    this.#seats.delete(thread);
    if (this.#seats.size === 0) {
      clearInterval(this.#watch);
      this.#watch = undefined;
    }
    if (seat?.machine !== undefined && !this.#isClosed) {
      if (seat.ending === undefined) this.listener.onCrash(error, seat.machine);
      seat.last = seat.ending === 'timed out' ? TIMED_OUT : CRASHED;
      tell(seat, seat.last);
    }
    this.#wake();
  }

  #look(): void {
    const now = performance.now();
    for (const seat of this.#seats.values()) {
      const { thread, machine, sight } = seat;
      if (machine === undefined) {
        if (now - sight.since > IDLE_MS) this.#end(seat, 'ended');
      } else if (seat.hear === undefined || thread.item !== sight.row) {
        seat.sight = { row: thread.item, since: now };
      } else if (sight.row >= 0 && !seat.isBehind) {
        // One that needs long for a row is in nobody's way.
        seat.isBehind = true;
        thread.yieldProcessor();
      } else if (now - sight.since > (sight.row < 0 ? START_MS : this.limits.timeout + GRACE_MS)) {
        this.#end(seat, 'timed out');
      }
    }
  }
}

function tell(seat: Seat, step: Step): void {
  const { hear: take } = seat;
  seat.hear = undefined;
  take?.(step);
}

/** What comes of a thread next. @param act has it go on */
async function hear(seat: Seat, signal: AbortSignal, act: () => void): Promise<Step> {
  const stop = (): void => tell(seat, undefined);
  signal.addEventListener('abort', stop);
  try {
    return await new Promise<Step>((resolve) => {
      seat.hear = resolve;
      // It may have ended while the client was waited for.
      if (signal.aborted || seat.last !== undefined) tell(seat, seat.last);
      else act();
    });
  } finally {
    signal.removeEventListener('abort', stop);
  }
}

/** Rows, or none at the end of all. */
async function nextPage(rows: AsyncIterator<Given>): Promise<Given> {
  for (;;) {
    const page = await rows.next();
    if (page.done === true) return [];
    if (page.value.length > 0) return page.value;
  }
}

const stopping = (): Error => unavailable('The server is stopping.');

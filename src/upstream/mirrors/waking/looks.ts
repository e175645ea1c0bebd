import type { Chance } from '../../monitor.js';

/** How an upstream database is. */
export interface Look {
  /** Another one after each change. */
  readonly state: string;
  /** Who may use it, which may become again what it was. */
  readonly security: string;
}

/** What a look at an upstream database finds. */
export type Found = Look | 'missing';

/** What was found before. */
interface Known {
  /** The last one first. */
  readonly states: readonly string[];
  readonly security: string | undefined;
}

const NOTHING: Known = { states: [], security: undefined };

export interface LooksOptions {
  /** Databases whose changes are to be noticed, the most urgent ones first. */
  names(): readonly string[];
  /** Looks at some of them. Those that it says nothing of are looked at again at their next turn. Never fails. */
  look(names: readonly string[], signal: AbortSignal): Promise<ReadonlyMap<string, Found>>;
  /** A database changed since it was last looked at, or was never looked at before. */
  onChange(name: string): void;
  /** A database is not there any more. */
  onMissing(name: string): void;
  /** Milliseconds within which each has its turn. Read at each use. */
  interval(): number;
  readonly chance: Chance;
}

/** Databases that are looked at at once, at most; CouchDB tells as many by one request. */
const BATCH = 100;
/** Milliseconds between two turns, at least. */
const PACE = 3000;
/** The part of the interval that a round is planned for: what is found late in it has still to be brought. */
const ROUND = 0.9;
/**
 * States of one database that are remembered. A cluster answers from whichever of the copies is the first, and each has
 * a sequence of its own.
 */
const STATES = 4;

/** Looks at many databases in turns, spread evenly over the time. */
export class Looks {
  /** What was found of each, the one that was looked at longest ago first. */
  readonly #found = new Map<string, Known>();
  /** How many there were at the last turn. */
  #count = 0;
  #running: AbortController | undefined;
  #cancel: (() => void) | undefined;

  constructor(private readonly options: LooksOptions) {}

  /** Begins with a look at all of them. */
  start(): void {
    const signal = this.#begin();
    const names = this.options.names();
    this.#count = names.length;
    void this.#lookAt(names, signal).then(() => this.#wait(signal));
  }

  /** Goes on where it stopped. */
  resume(): void {
    this.#wait(this.#begin());
  }

  stop(): void {
    this.#running?.abort();
    this.#running = undefined;
    this.#cancel?.();
  }

  /** What was found says nothing any more: the upstream is another one. */
  forget(): void {
    this.#found.clear();
  }

  /** The time that each is to have its turn within is another one now. */
  reschedule(): void {
    this.#cancel?.();
    if (this.#running !== undefined) this.#wait(this.#running.signal);
  }

  #begin(): AbortSignal {
    this.stop();
    this.#running = new AbortController();
    return this.#running.signal;
  }

  /** @param spent milliseconds that the last turn took */
  #wait(signal: AbortSignal, spent = 0): void {
    if (signal.aborted) return;
    this.#cancel?.();
    const pause = this.#pause();
    // An upstream that is slow has some rest in between.
    const rest = Math.max(pause - spent, pause / 2);
    this.#cancel = this.options.chance.after(rest, () => void this.#turn(signal));
  }

  /** Milliseconds from one turn to the next. */
  #pause(): number {
    const round = this.options.interval() * ROUND;
    return Math.max(Math.min(PACE, round), Math.floor(round / Math.max(1, this.#count)));
  }

  /** Looks at those whose turn it is. */
  async #turn(signal: AbortSignal): Promise<void> {
    const { options } = this;
    const began = options.chance.now();
    const names = new Set(options.names());
    this.#count = names.size;
    for (const name of this.#found.keys()) if (!names.has(name)) this.#found.delete(name);
    const share = (names.size * this.#pause()) / (options.interval() * ROUND);
    const unknown = [...names].filter((name) => !this.#found.has(name));
    // A round ends before the time is over, so that none is looked at too late.
    const due = [...unknown, ...this.#found.keys()].slice(0, Math.ceil(share));
    await this.#lookAt(due, signal);
    this.#wait(signal, options.chance.now() - began);
  }

  async #lookAt(names: readonly string[], signal: AbortSignal): Promise<void> {
    for (let at = 0; at < names.length; at += BATCH) {
      const some = names.slice(at, at + BATCH);
      const found = await this.options.look(some, signal);
      if (signal.aborted) return;
      for (const name of some) this.#note(name, found.get(name));
    }
  }

  #note(name: string, found: Found | undefined): void {
    const before = this.#found.get(name) ?? NOTHING;
    const known = found === undefined || found === 'missing' ? before : after(before, found);
    this.#found.delete(name);
    this.#found.set(name, known);
    if (found === 'missing') this.options.onMissing(name);
    else if (known !== before) this.options.onChange(name);
  }
}

/** The same where nothing changed. */
function after(before: Known, { state, security }: Look): Known {
  const isOld = before.states.includes(state);
  if (isOld && security === before.security) return before;
  return { states: isOld ? before.states : [state, ...before.states].slice(0, STATES), security };
}

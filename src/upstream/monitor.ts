import { Knocking } from './knocking.js';
import { type Link, type LinkEvent, NEW_LINK, step } from './link.js';

/** What a look at the upstream found. */
export type Finding =
  | { readonly type: 'right' }
  | {
      readonly type: 'lost';
      readonly reason: string;
      /** Seconds for which it does not want to be asked again. */
      readonly retryAfter?: number | undefined;
      /** Something else is there: what clients say is not for that, so only a probe leads back. */
      readonly isOther?: boolean;
      /** There was a connection: it may have been this one request that went wrong. */
      readonly isReached?: boolean;
      /** There was not even a TCP connection: whether there is one again can be found out without a request. */
      readonly isUnreachable?: boolean;
    }
  | { readonly type: 'refused'; readonly reason: string };

/** Milliseconds. */
export interface Timing {
  /**
   * The longest waits before the first look at an upstream that is away, and before any later one. The former is also how
   * often one that takes no connections is knocked at.
   */
  readonly firstRetry: number;
  readonly longestRetry: number;
  /** After so long without an answer one that is there is looked at. */
  readonly probeInterval: number;
}

/** What tests have of their own. */
export interface Chance {
  /** Milliseconds, of which only differences count. */
  now(): number;
  /** @returns what keeps it from being called */
  after(milliseconds: number, call: () => void): () => void;
  /** From 0 up to, but without, 1. */
  random(): number;
}

export const REAL: Chance = {
  now: () => performance.now(),
  after: (milliseconds, call) => {
    const timer = setTimeout(call, milliseconds).unref();
    return () => clearTimeout(timer);
  },
  random: Math.random,
};

export interface MonitorOptions {
  /** Looks at the upstream. Never fails. */
  probe(signal: AbortSignal): Promise<Finding>;
  /** Whether it takes connections. Never fails. */
  knock(signal: AbortSignal): Promise<boolean>;
  /** Read at each use: it may change. */
  readonly timing: Timing;
  /** Is told of each change of the link. */
  onChange(link: Link, before: Link): void;
  readonly chance?: Chance;
}

/** Probes in a row that fail before an upstream is taken for lost that answers other requests meanwhile. */
const MOST_DOUBTS = 3;

/** Those who wait are told to come back after so many seconds at most: requests find out earlier than probes do. */
const LONGEST_RETRY_AFTER = 30;

/**
 * Keeps the link up to date: hears what came of requests, and sends probes, one at a time. Nobody's failures make it send
 * more than one in the time of the first retry. While there is no connection at all it knocks besides, and probes at once
 * when a knock is answered; where that probe finds something there that is not well, the waits between probes alone count.
 */
export class Monitor {
  #link = NEW_LINK;
  #probe: AbortController | undefined;
  #cancel: (() => void) | undefined;
  /** When the next probe is due; `Infinity` where none is. */
  #dueAt = Infinity;
  #lastProbeAt = -Infinity;
  /** When the upstream was last heard of. */
  #heardAt = -Infinity;
  /** When a request last failed. */
  #failedAt = -Infinity;
  /** Probes in a row that found the upstream lost which answered others. */
  #doubts = 0;
  /** When a request may be tried while the upstream is away. */
  #trialAt = -Infinity;
  /** Whether something else was found in its place. */
  #isOther = false;
  /** The upstream does not want to be asked before. */
  #floor = -Infinity;
  #closed = false;
  readonly #chance: Chance;
  readonly #knocking: Knocking;

  constructor(private readonly options: MonitorOptions) {
    this.#chance = options.chance ?? REAL;
    this.#knocking = new Knocking({
      knock: (signal) => options.knock(signal),
      interval: () => options.timing.firstRetry,
      onTaken: () => this.#lookSoon(),
      chance: this.#chance,
    });
  }

  get link(): Link {
    return this.#link;
  }

  /** Milliseconds until the next probe; undefined while there is one, or none is due. */
  get nextProbe(): number | undefined {
    return this.#dueAt === Infinity ? undefined : Math.max(0, this.#dueAt - this.#chance.now());
  }

  start(): void {
    this.#look();
  }

  /** Forgets everything about the upstream, which is another one from now on; also where it was closed before. */
  restart(): void {
    this.#closed = this.#isOther = false;
    this.#probe?.abort();
    this.#probe = undefined;
    this.#floor = this.#trialAt = this.#heardAt = this.#failedAt = this.#lastProbeAt = -Infinity;
    this.#hear({ type: 'changed' });
    this.#look();
  }

  close(): void {
    this.#closed = true;
    this.#probe?.abort();
    this.#knocking.stop();
    this.#stopWaiting();
  }

  /**
   * Whether a request may be sent. While the upstream is away one is let through now and then: it may prove that it is back
   * before a probe does.
   * @returns undefined where it may, and seconds after which it may be worth a try otherwise
   */
  refusal(): number | undefined {
    if (this.#link.state !== 'offline') return undefined;
    const now = this.#chance.now();
    if (!this.#isOther && now >= this.#trialAt && now >= this.#floor) {
      this.#trialAt = now + this.options.timing.firstRetry;
      return undefined;
    }
    return this.retryAfter();
  }

  /** Seconds after which it may be worth a try to ask again. */
  retryAfter(): number {
    const seconds = Math.ceil((this.nextProbe ?? 0) / 1000);
    return Math.min(Math.max(1, seconds), LONGEST_RETRY_AFTER);
  }

  /** A request was answered, whatever the answer. */
  answered(): void {
    this.#heardAt = this.#chance.now();
    if (this.#link.state !== 'offline' || this.#isOther) return;
    this.#hear({ type: 'answered' });
    this.#look();
  }

  /** A request had no answer, though there was a connection. */
  failed(reason: string): void {
    this.#failedAt = this.#chance.now();
    this.#hear({ type: 'failed', reason });
    if (this.#link.state === 'degraded') this.#lookSoon();
  }

  /** The account of the gateway may be let in no more, which a probe finds out. */
  doubted(): void {
    const { state } = this.#link;
    if (state === 'online' || state === 'degraded') this.#lookSoon();
  }

  /**
   * A request found no connection.
   * @param isUnreachable as in `Finding`
   */
  lost(reason: string, isUnreachable = false): void {
    const isNews = this.#link.state !== 'offline';
    this.#trialAt = this.#chance.now() + this.options.timing.firstRetry;
    if (isNews) this.#hear({ type: 'lost', reason });
    // What the probe finds counts.
    if (this.#probe !== undefined) return;
    if (isNews) this.#lookLater();
    if (isUnreachable) this.#startKnocking();
  }

  #hear(event: LinkEvent): void {
    const before = this.#link;
    this.#link = step(before, event);
    if (this.#link !== before && !this.#closed) this.options.onChange(this.#link, before);
  }

  /** At once, unless there is a probe or was one just now. */
  #lookSoon(): void {
    if (this.#probe !== undefined) return;
    const earliest = this.#lastProbeAt + this.options.timing.firstRetry;
    const wait = Math.max(0, earliest - this.#chance.now());
    if (wait === 0) this.#look();
    else if (this.#dueAt > earliest) this.#wait(wait, () => this.#look());
  }

  /** With a wait that grows, and that is another one for each gateway: they all lost it at the same time. */
  #lookLater(): void {
    const { firstRetry, longestRetry } = this.options.timing;
    // Who tries wrong passwords is locked out for a while, and with them whoever else uses the account from here. The first
    // time it may have been a moment.
    if (this.#link.state === 'unauthorised') {
      const longest = this.#link.failures > 1 ? longestRetry : firstRetry;
      this.#wait((longest * (1 + this.#chance.random())) / 2);
      return;
    }
    const longest = Math.min(longestRetry, firstRetry * 2 ** Math.min(this.#link.failures - 1, 40));
    this.#wait(Math.max(this.#untilFloor(), longest * this.#chance.random()));
  }

  #startKnocking(): void {
    if (!this.#closed) this.#knocking.start(this.#untilFloor());
  }

  #untilFloor(): number {
    return Math.max(0, this.#floor - this.#chance.now());
  }

  #wait(milliseconds: number, call = (): void => this.#due()): void {
    this.#stopWaiting();
    if (this.#closed) return;
    this.#dueAt = this.#chance.now() + milliseconds;
    this.#cancel = this.#chance.after(milliseconds, call);
  }

  #stopWaiting(): void {
    this.#cancel?.();
    this.#cancel = undefined;
    this.#dueAt = Infinity;
  }

  /** Where requests are answered all the time, nothing has to be asked. */
  #due(): void {
    const { probeInterval } = this.options.timing;
    const quiet = this.#chance.now() - this.#heardAt;
    if (this.#link.state === 'online' && quiet < probeInterval) this.#wait(probeInterval - quiet);
    else this.#look();
  }

  #look(): void {
    this.#stopWaiting();
    if (this.#closed || this.#probe !== undefined) return;
    const controller = new AbortController();
    this.#probe = controller;
    this.#knocking.stop();
    this.#lastProbeAt = this.#chance.now();
    void this.options.probe(controller.signal).then((finding) => {
      if (this.#probe !== controller) return;
      this.#probe = undefined;
      this.#take(finding);
    });
  }

  #take(finding: Finding): void {
    const now = this.#chance.now();
    const { probeInterval, longestRetry } = this.options.timing;
    if (finding.type === 'lost' && this.#isDoubtful(finding)) {
      this.failed(finding.reason);
      return;
    }
    this.#doubts = 0;
    this.#isOther = finding.type === 'lost' && finding.isOther === true;
    if (finding.type !== 'right') {
      const seconds = finding.type === 'lost' ? (finding.retryAfter ?? 0) : 0;
      this.#floor = now + Math.min(seconds * 1000, longestRetry);
      this.#hear(finding);
      this.#lookLater();
      if (finding.type === 'lost' && finding.isUnreachable === true) this.#startKnocking();
      return;
    }
    this.#heardAt = now;
    this.#floor = -Infinity;
    // That a probe works says little about other requests: they have to be well for a while.
    const sick = this.#link.state === 'degraded' ? this.#failedAt + probeInterval - now : 0;
    if (sick <= 0) this.#hear({ type: 'proven' });
    this.#wait(sick > 0 ? sick : probeInterval);
  }

  /** Over a bad line probes fail as other requests do: what answers those is there. */
  #isDoubtful({ isReached, retryAfter }: Extract<Finding, { type: 'lost' }>): boolean {
    if (isReached !== true || retryAfter !== undefined) return false;
    const { state } = this.#link;
    const isHeard = this.#chance.now() - this.#heardAt <= this.options.timing.firstRetry;
    return isHeard && (state === 'online' || state === 'degraded') && ++this.#doubts < MOST_DOUBTS;
  }
}

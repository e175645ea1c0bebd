import { CouchError } from '../../../errors.js';
import type { Logger } from '../../../observe/log.js';
import { type Ask, namesFrom } from '../../directory.js';
import { failureOf } from '../../failure.js';
import { type Chance, REAL } from '../../monitor.js';
import { type DatabaseEvent, EventFeed, type Send } from './event-feed.js';
import { Looker } from './look.js';
import { Looks } from './looks.js';

/** Who is woken. */
export interface WakingHost {
  /** The mirrors, those first that were used last. */
  mirrors(): readonly string[];
  /** Something of its upstream database changed, or may have. */
  wake(name: string): void;
  /** Its upstream database is not there any more. */
  missing(name: string): void;
  /** A database was made upstream, or is one of those that are there; no mirror need be of it. */
  found(name: string): void;
  /** Whether databases of which there is no mirror are of interest: to ask for all names costs something. */
  readonly wantsNames: boolean;
}

export interface WakingOptions {
  readonly host: WakingHost;
  readonly ask: Ask;
  readonly send: Send;
  /** Milliseconds within which each mirror is looked at where the upstream does not tell of changes. Read at each use. */
  interval(): number;
  readonly log: Pick<Logger, 'info'>;
  readonly chance?: Chance;
}

/** What is shown of it. */
export interface WakingStatus {
  /** How changes upstream are noticed: it tells of them, all is looked at in turns, or, while it is away, not at all. */
  readonly by: '_db_updates' | 'polls' | null;
  /** Why it does not tell of them. */
  readonly reason: string | null;
  /** Seconds within which each mirror is looked at, whichever it is. */
  readonly poll_interval: number;
  /** When it last told of something. */
  readonly last_event: string | null;
}

/**
 * An upstream that tells of changes may forget some: CouchDB keeps them in memory for half a second. And it tells of no
 * change of a security object. So everything is looked at also then, but more seldom once each had its turn.
 */
const SELDOM = 10;
/** Milliseconds after which a right that the account did not have is tried again. */
const REFUSED = 300_000;
/** The longest waits before the feed is asked for again that failed, at first and at last. */
const FIRST_RETRY = 1000;
const LONGEST_RETRY = 60_000;
/** A feed that was open for so long had not failed. */
const STABLE = 10_000;

/** Notices what happens to the databases of the upstream while it is there, so that mirrors need not ask. */
export class Waking {
  readonly #feed: EventFeed;
  readonly #looker: Looker;
  readonly #looks: Looks;
  readonly #chance: Chance;
  #running: AbortController | undefined;
  #isTold = false;
  #reason: string | undefined;
  #lastEvent: Date | undefined;
  #failures = 0;
  /** When each has had its turn since the upstream is there. */
  #lookedAt = Infinity;
  /** What keeps the next attempt, and the next list of names, from coming. */
  #cancels = new Map<'feed' | 'names', () => void>();

  constructor(private readonly options: WakingOptions) {
    const { ask, send, host, chance = REAL } = options;
    this.#chance = chance;
    this.#feed = new EventFeed(ask, send);
    this.#looker = new Looker(ask);
    this.#looks = new Looks({
      names: () => host.mirrors(),
      look: (names, signal) => this.#looker.look(names, signal),
      onChange: (name) => host.wake(name),
      onMissing: (name) => host.missing(name),
      interval: () => this.#interval(),
      chance,
    });
  }

  /** The upstream is there. */
  start(): void {
    this.stop();
    this.#looker.forget();
    this.#failures = 0;
    this.#lookedAt = this.#chance.now() + this.options.interval();
    const controller = (this.#running = new AbortController());
    void this.#follow(controller.signal, true);
    void this.#list(controller.signal);
  }

  /** It is away. */
  stop(): void {
    this.#running?.abort();
    this.#running = undefined;
    this.#isTold = false;
    this.#looks.stop();
    for (const cancel of this.#cancels.values()) cancel();
  }

  /** It is another one from now on. */
  forget(): void {
    this.stop();
    this.#feed.forget();
    this.#looks.forget();
    this.#reason = this.#lastEvent = undefined;
  }

  /** Whether the upstream tells of changes by itself: then nobody has to ask for them. */
  get isTold(): boolean {
    return this.#isTold;
  }

  status(): WakingStatus {
    return {
      by: this.#running === undefined ? null : this.#isTold ? '_db_updates' : 'polls',
      reason: this.#reason ?? null,
      poll_interval: Math.ceil(this.#interval() / 1000),
      last_event: this.#lastEvent?.toISOString() ?? null,
    };
  }

  #interval(): number {
    const isSeldom = this.#isTold && this.#chance.now() > this.#lookedAt;
    return this.options.interval() * (isSeldom ? SELDOM : 1);
  }

  /** @param isFirst whether nothing is known yet of what happened while nobody listened */
  async #follow(signal: AbortSignal, isFirst: boolean): Promise<void> {
    let openedAt: number | undefined;
    let failure: unknown;
    const onOpen = (isGap: boolean): void => {
      openedAt = this.#chance.now();
      this.#become(true, undefined);
      // Everything that follows is told of: so what this finds is not older than the feed.
      if (isGap) this.#looks.start();
      else if (isFirst) this.#looks.resume();
    };
    try {
      await this.#feed.follow({ onOpen, onEvent: (event) => this.#take(event) }, signal);
    } catch (error) {
      failure = error;
    }
    if (signal.aborted) return;
    this.#become(false, reasonOf(failure));
    if (openedAt === undefined && isFirst) this.#looks.start();
    if (openedAt !== undefined && this.#chance.now() - openedAt >= STABLE) this.#failures = 0;
    this.#later('feed', this.#patience(failure), () => void this.#follow(signal, false));
  }

  /** Milliseconds until the feed is asked for again. */
  #patience(failure: unknown): number {
    if (isRefusal(failure)) return REFUSED;
    const longest = Math.min(LONGEST_RETRY, FIRST_RETRY * 2 ** Math.min(this.#failures++, 10));
    return longest * this.#chance.random();
  }

  #become(isTold: boolean, reason: string | undefined): void {
    if (isTold !== this.#isTold || reason !== this.#reason)
      this.options.log.info(
        { by: isTold ? '_db_updates' : 'polls', reason },
        'how changes of the upstream are noticed',
      );
    this.#reason = reason;
    if (isTold === this.#isTold) return;
    this.#isTold = isTold;
    this.#looks.reschedule();
  }

  #take({ name, type }: DatabaseEvent): void {
    const { host } = this.options;
    this.#lastEvent = new Date();
    if (type === 'deleted') host.missing(name);
    else host.wake(name);
    if (type === 'created') host.found(name);
  }

  /** What is there may become mirrors. */
  async #list(signal: AbortSignal): Promise<void> {
    const { host, ask } = this.options;
    const names = host.wantsNames ? await namesFrom(ask, signal) : [];
    if (signal.aborted) return;
    for (const name of names) host.found(name);
    this.#later('names', this.#interval(), () => void this.#list(signal));
  }

  #later(what: 'feed' | 'names', milliseconds: number, call: () => void): void {
    this.#cancels.get(what)?.();
    this.#cancels.set(what, this.#chance.after(milliseconds, call));
  }
}

const isRefusal = (error: unknown): error is CouchError =>
  error instanceof CouchError && [401, 403, 404].includes(error.status);

function reasonOf(failure: unknown): string {
  if (failure === undefined) return 'the feed of events ended';
  if (!(failure instanceof CouchError)) return failureOf(failure).reason;
  const { status, reason, error } = failure;
  if (status === 404) return 'there is no database _global_changes, in which the events are kept';
  return isRefusal(failure) ? `the account may not read them: ${reason || error}` : reason || error;
}

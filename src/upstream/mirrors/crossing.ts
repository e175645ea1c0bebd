import { upstreamAway } from '../../errors.js';

/** Where requests for a database are answered. */
export type Place = 'here' | 'there';

/** Writes that wait for the place to be settled; more are refused. */
const MOST_HELD = 1000;
/** Seconds after which those may come again. */
const SOON = 1;

/**
 * Where the requests for one database go, and how that changes while they come in: no write may be under way to the one
 * place when another is sent to the other.
 */
export class Crossing {
  #place: Place;
  /** Writes under way. */
  #writes = 0;
  /** Writes that wait. */
  #held = 0;
  #settled: Promise<void> | undefined;
  #settle: () => void = () => undefined;
  #drained: () => void = () => undefined;
  #ending = new AbortController();

  constructor(place: Place) {
    this.#place = place;
  }

  get place(): Place {
    return this.#place;
  }

  /** Fires when requests are answered somewhere else from then on: what waits for changes there may end. */
  get ending(): AbortSignal {
    return this.#ending.signal;
  }

  /** Whether nothing is under way, and nothing waits. */
  get isIdle(): boolean {
    return this.#writes === 0 && this.#held === 0;
  }

  /**
   * Where a write goes, which is under way until `left` is called.
   * @throws CouchError 503 where too many wait
   */
  enter(): Place | Promise<Place> {
    if (this.#settled !== undefined) return this.#enterLater();
    this.#writes++;
    return this.#place;
  }

  left(): void {
    this.#writes--;
    if (this.#writes === 0) this.#drained();
  }

  /**
   * Has new writes wait until `settle`, and waits for those under way.
   * @throws the reason of the signal where they take too long; those that wait go on then as if nothing had been
   */
  async hold(signal: AbortSignal): Promise<void> {
    this.#settled ??= new Promise((resolve) => (this.#settle = resolve));
    try {
      signal.throwIfAborted();
      await new Promise<void>((resolve, reject) => {
        this.#drained = resolve;
        if (this.#writes === 0) resolve();
        signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true });
      });
    } catch (error) {
      this.settle(this.#place);
      throw error;
    }
  }

  /** Those that waited go on. */
  settle(place: Place): void {
    const isMoved = place !== this.#place;
    this.#place = place;
    this.#settled = undefined;
    this.#drained = () => undefined;
    this.#settle();
    if (!isMoved) return;
    this.#ending.abort();
    this.#ending = new AbortController();
  }

  async #enterLater(): Promise<Place> {
    if (this.#held >= MOST_HELD) throw upstreamAway(SOON);
    this.#held++;
    try {
      while (this.#settled !== undefined) await this.#settled;
    } finally {
      this.#held--;
    }
    this.#writes++;
    return this.#place;
  }
}

/** Writes on their way to the upstream of whose databases there is no mirror yet: one that is made has to wait for them. */
export class EarlyWrites {
  readonly #crossings = new Map<string, Crossing>();

  /** @returns what is to be called when it is over */
  enter(name: string): () => void {
    const crossing = this.#crossings.get(name) ?? new Crossing('there');
    this.#crossings.set(name, crossing);
    void crossing.enter();
    return () => this.left(name, crossing);
  }

  /** A write is over that began through a crossing, whose mirror may be none any more. */
  left(name: string, crossing: Crossing): void {
    crossing.left();
    if (crossing.isIdle && this.#crossings.get(name) === crossing) this.#crossings.delete(name);
  }

  /** The crossing of a mirror that is made. */
  take(name: string): Crossing {
    const crossing = this.#crossings.get(name) ?? new Crossing('there');
    this.#crossings.delete(name);
    return crossing;
  }

  /** A mirror is none any more whose writes may still be under way. */
  giveBack(name: string, crossing: Crossing): void {
    if (crossing.place === 'there' && !crossing.isIdle) this.#crossings.set(name, crossing);
  }
}

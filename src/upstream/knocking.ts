import type { Chance } from './monitor.js';

export interface KnockingOptions {
  /** Whether the upstream takes connections. Never fails. */
  knock(signal: AbortSignal): Promise<boolean>;
  /** Milliseconds from one knock to the next, on average. Read at each use: it may change. */
  readonly interval: () => number;
  /** It does; no more knocks follow. */
  onTaken(): void;
  readonly chance: Chance;
}

/**
 * Knocks at an upstream that takes no connections, one knock at a time, until it takes one. After hours away probes come
 * minutes apart, and where all that is asked for is mirrored no request goes there that could find it back. A knock costs
 * next to nothing on either side, so that it need not come less often the longer the upstream is away.
 */
export class Knocking {
  #running: AbortController | undefined;
  #cancel: (() => void) | undefined;

  constructor(private readonly options: KnockingOptions) {}

  /** @param earliest milliseconds before which the first one must not be */
  start(earliest: number): void {
    if (this.#running !== undefined) return;
    const running = new AbortController();
    this.#running = running;
    this.#wait(Math.max(earliest, this.#gap()), running.signal);
  }

  stop(): void {
    this.#running?.abort();
    this.#running = undefined;
    this.#cancel?.();
    this.#cancel = undefined;
  }

  #wait(milliseconds: number, signal: AbortSignal): void {
    this.#cancel = this.options.chance.after(milliseconds, () => void this.#knock(signal));
  }

  async #knock(signal: AbortSignal): Promise<void> {
    const { chance } = this.options;
    const next = chance.now() + this.#gap();
    const isTaken = await this.options.knock(signal);
    if (signal.aborted) return;
    if (!isTaken) {
      this.#wait(Math.max(0, next - chance.now()), signal);
      return;
    }
    this.stop();
    this.options.onTaken();
  }

  /** By chance, up to half as much more or less: many gateways lost it at the same time. */
  #gap(): number {
    return this.options.interval() * (0.5 + this.options.chance.random());
  }
}

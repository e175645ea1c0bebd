import type { ChangeEvents } from '../store/types/changes.js';

/** Milliseconds; Node fires a longer one at once. */
export const LONGEST_TIMER = 2 ** 31 - 1;

/** Lets one feed sleep until there is news, silence has lasted long enough, or it is over. */
export class Waiter {
  readonly #unsubscribe: (() => void) | undefined;
  #ended = false;
  #wake: (() => void) | undefined;
  readonly #onAbort = (): void => {
    this.close();
  };

  constructor(
    events: ChangeEvents,
    private readonly signal: AbortSignal,
  ) {
    if (signal.aborted) {
      this.#ended = true;
      return;
    }
    signal.addEventListener('abort', this.#onAbort, { once: true });
    this.#unsubscribe = events.subscribe({
      onChanges: () => this.#wake?.(),
      onClose: this.#onAbort,
    });
  }

  /** Whether it is over: the feed was aborted, or its database closed. */
  get ended(): boolean {
    return this.#ended;
  }

  /** Resolves at the next news, after the silence, or at the end. What came before is not news. */
  async wait(silence: number): Promise<void> {
    if (this.#ended) return;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, Math.min(Math.ceil(silence), LONGEST_TIMER));
      this.#wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
    this.#wake = undefined;
  }

  /** Frees everything at once; a wait that is under way ends. */
  close(): void {
    this.#ended = true;
    this.signal.removeEventListener('abort', this.#onAbort);
    this.#unsubscribe?.();
    this.#wake?.();
  }
}

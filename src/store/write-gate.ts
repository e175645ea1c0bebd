import { asRefusal } from './failures.js';

/**
 * Lets the writes to one LevelDB pass one after another, and none after one that failed: what is left of that in the
 * log spoils what comes behind it, which would be gone when the log is read again though it was acknowledged.
 */
export class WriteGate {
  #last: Promise<void> = Promise.resolve();
  #failure: { readonly error: unknown } | undefined;

  /** What the write that failed threw. */
  get failure(): { readonly error: unknown } | undefined {
    return this.#failure;
  }

  /** @throws CouchError where one failed before; else what `write` throws */
  run(write: () => Promise<void>): Promise<void> {
    const done = this.#last.then(async () => {
      if (this.#failure !== undefined) throw asRefusal(this.#failure.error);
      try {
        await write();
      } catch (error) {
        this.#failure = { error };
        throw error;
      }
    });
    this.#last = done.catch(() => undefined);
    return done;
  }
}

const NOTHING = Buffer.alloc(0);

/** The chunks of a source one after the other, of which a part can be put back. Pulls only what is asked for. */
export class Input {
  readonly #source: AsyncIterator<Buffer>;
  #rest: Buffer = NOTHING;
  #ended = false;

  constructor(source: AsyncIterable<Buffer>) {
    this.#source = source[Symbol.asyncIterator]();
  }

  /** What was put back, or else the next chunk; undefined at the end. Errors of the source end it. */
  async take(): Promise<Buffer | undefined> {
    const rest = this.#rest;
    this.#rest = NOTHING;
    if (rest.length > 0) return rest;
    if (this.#ended) return undefined;
    try {
      const next = await this.#source.next();
      if (next.done !== true) return next.value;
    } catch (error) {
      this.#ended = true;
      throw error;
    }
    this.#ended = true;
    return undefined;
  }

  /** What of the last chunk was not used. */
  putBack(rest: Buffer): void {
    this.#rest = rest;
  }

  /** Lets go of the source, which is told unless it has ended. */
  async close(): Promise<void> {
    this.#rest = NOTHING;
    if (this.#ended) return;
    this.#ended = true;
    await this.#source.return?.();
  }
}

import type { ServerResponse } from 'node:http';
import type { Patience, Transfer } from './patience.js';

/** What is written at once at most, so that it is seen how a client gets on. */
const SLICE = 64 * 1024;

/**
 * The kernel takes up to some megabytes for a client, and says that it has room again only when a third of them is gone.
 * In between a slow client seems to stand still: what it took before counts for so many times its time.
 */
const CREDIT = 4;

/** The body of an answer on its way out, as fast as the client takes it; one that does not take it is cut off. */
export class Outflow {
  #transfer: Transfer | undefined;

  constructor(
    private readonly response: ServerResponse,
    private readonly patience: Patience,
  ) {}

  /** @returns what resolves when there is room for more, or the client has gone; undefined where there is room at once */
  write(chunk: string | Buffer): Promise<void> | undefined {
    return chunk.length <= SLICE ? this.#slice(chunk) : this.#slices(chunk);
  }

  async #slices(chunk: string | Buffer): Promise<void> {
    const bytes = typeof chunk === 'string' ? Buffer.from(chunk) : chunk;
    for (let at = 0; at < bytes.length && !this.response.destroyed; at += SLICE) {
      await this.#slice(bytes.subarray(at, at + SLICE));
    }
  }

  /** There is no more; what has not gone out yet is still watched over. */
  end(last?: string, encoding: BufferEncoding = 'utf8'): void {
    this.response.end(last, encoding);
    if (!this.response.destroyed && this.response.writableLength > 0) this.#watch().wait();
  }

  #slice(bytes: string | Buffer): Promise<void> | undefined {
    if (bytes.length === 0 || this.response.write(bytes) || this.response.destroyed) return undefined;
    return this.#drain();
  }

  async #drain(): Promise<void> {
    const transfer = this.#watch();
    const pending = this.response.writableLength;
    transfer.wait();
    await this.#drained();
    transfer.moved(pending);
  }

  #watch(): Transfer {
    if (this.#transfer === undefined) {
      const transfer = this.patience.begin(() => this.response.destroy(), CREDIT);
      this.response.once('close', () => {
        transfer.end();
      });
      this.#transfer = transfer;
    }
    return this.#transfer;
  }

  #drained(): Promise<void> {
    const { response } = this;
    return new Promise((resolve) => {
      const done = (): void => {
        response.off('drain', done).off('close', done);
        resolve();
      };
      response.on('drain', done).on('close', done);
    });
  }
}

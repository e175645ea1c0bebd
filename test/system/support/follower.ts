import type { Couch } from './couch.js';

/** Reads a continuous feed from now on, and remembers when its rows came. */
export class Follower {
  /** Id → when its last row came. */
  readonly #came = new Map<string, number>();
  #longest = 0;
  #last: number | undefined;
  #rows = 0;
  #failure: unknown;

  private constructor(
    private readonly body: AsyncIterable<unknown> & { destroy(): unknown },
    /** Ids of which it is remembered when they came. */
    private readonly watched: RegExp,
  ) {
    this.#read().catch((error: unknown) => (this.#failure = error));
  }

  static async open(couch: Couch, database: string, watched: RegExp): Promise<Follower> {
    const path = `/${database}/_changes?feed=continuous&since=now&heartbeat=60000`;
    const { body } = await couch.open('GET', path);
    return new Follower(body, watched);
  }

  async #read(): Promise<void> {
    let rest = '';
    for await (const chunk of this.body) {
      const now = performance.now();
      const lines = (rest + String(chunk)).split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) {
        const [, id] = /^\{"seq":"[^"]*","id":"([^"]*)"/.exec(line) ?? [];
        if (id === undefined) continue;
        this.#rows += 1;
        if (this.watched.test(id)) this.#came.set(id, now);
        if (this.#last !== undefined) this.#longest = Math.max(this.#longest, now - this.#last);
        this.#last = now;
      }
    }
  }

  /** Milliseconds; undefined where it has not come yet. */
  cameAt(id: string): number | undefined {
    if (this.#failure !== undefined) throw new Error('the feed ended', { cause: this.#failure });
    return this.#came.get(id);
  }

  get rows(): number {
    return this.#rows;
  }

  /** The longest time between two rows since this was last asked for, in milliseconds. */
  takeLongest(): number {
    const longest = this.#longest;
    this.#longest = 0;
    this.#last = undefined;
    return Math.round(longest);
  }

  close(): void {
    this.body.destroy();
  }
}

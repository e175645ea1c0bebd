/** What a feed that waits answers before it has anything to tell. */
const HEAD = /^\s*(\{"results":\[\s*)?$/;
/** Bytes at its beginning that are looked at. */
const BEGINNING = 1024;

/**
 * Knows how a feed of changes that is passed on can end early, so that its client comes back. One that waits for its first
 * change is told that there was none; one that tells them one by one may end behind any.
 */
export class FeedTail {
  readonly #isLongpoll: boolean;
  readonly #since: string | undefined;
  /** What was sent, while that is nothing but a beginning. */
  #sent = '';
  #isEnding = false;

  /** @param query of the request */
  constructor(query: string) {
    const parameters = new URLSearchParams(query);
    this.#isLongpoll = parameters.get('feed') === 'longpoll';
    const since = parameters.get('since') ?? '0';
    this.#since = since === 'now' ? undefined : since;
  }

  /** Takes note of what is sent. */
  take(chunk: Buffer): void {
    if (this.#sent.length < BEGINNING) this.#sent += chunk.toString('latin1');
  }

  /** Whether it may end now: a feed that has begun to tell what it waited for ends by itself. */
  get mayEnd(): boolean {
    this.#isEnding = !this.#isLongpoll || (this.#since !== undefined && HEAD.test(this.#sent));
    return this.#isEnding;
  }

  /** What its answer lacks to be whole. */
  get rest(): string {
    if (!this.#isLongpoll || !this.#isEnding) return '';
    const last = `"last_seq":${JSON.stringify(this.#since)},"pending":0}\n`;
    return this.#sent.trim() === '' ? `{"results":[],${last}` : `],${last}`;
  }
}

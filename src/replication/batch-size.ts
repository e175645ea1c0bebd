/** How much goes into one request: less after failures, more again after successes. */
export class BatchSize {
  #count: number;
  #bytes: number;

  constructor(private readonly most: { readonly count: number; readonly bytes: number }) {
    this.#count = most.count;
    this.#bytes = most.bytes;
  }

  /** Documents, at least one. */
  get count(): number {
    return this.#count;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** A request with so much failed. Others that began before it count once. */
  shrink(count: number, bytes = Infinity): void {
    this.#count = Math.max(1, Math.min(this.#count, Math.floor(count / STEP)));
    this.#bytes = Math.max(1, Math.min(this.#bytes, Math.floor(bytes / STEP)));
  }

  /** A request succeeded. */
  grow(): void {
    this.#count = Math.min(this.most.count, this.#count * 2);
    this.#bytes = Math.min(this.most.bytes, this.#bytes * 2);
  }
}

/** Three failures in a row make one document of a full batch. */
const STEP = 8;

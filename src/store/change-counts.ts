/** Sequences are counted in blocks of this many, so that nobody counts rows one by one. */
export const BLOCK = 1024;

export const blockOf = (seq: number): number => Math.floor(seq / BLOCK);

/** How many rows the changes index holds, block by block. */
export class ChangeCounts {
  readonly #blocks: number[] = [];

  add(block: number, count: number): void {
    while (this.#blocks.length <= block) this.#blocks.push(0);
    this.#blocks[block] = (this.#blocks[block] ?? 0) + count;
  }

  /** Blocks up to the last one that was counted. */
  get size(): number {
    return this.#blocks.length;
  }

  get(block: number): number {
    return this.#blocks[block] ?? 0;
  }

  /** Rows in all blocks after this one. */
  after(block: number): number {
    let sum = 0;
    for (let at = this.#blocks.length - 1; at > block; at--) sum += this.#blocks[at] ?? 0;
    return sum;
  }
}

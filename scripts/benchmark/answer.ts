const HEAD_END = Buffer.from('\r\n\r\n');

/** An answer whose head is read. */
export interface Reading {
  readonly status: number;
  readonly headLength: number;
  begun: boolean;
  done: boolean;
  readonly kept: Buffer[];
  /** Takes bytes of the body. @returns those that it could not do anything with yet */
  take(bytes: Buffer): Buffer | undefined;
}

/** Reads the head of an answer; undefined where it is not all there. */
export function readHead(bytes: Buffer, keep: boolean): Reading | undefined {
  const end = bytes.indexOf(HEAD_END);
  if (end < 0) return undefined;
  const head = bytes.toString('latin1', 0, end).toLowerCase();
  const status = Number(head.slice(9, 12));
  const [, length] = /\r\ncontent-length: *(\d+)/.exec(head) ?? [];
  const base = { status, headLength: end + HEAD_END.length, begun: false, done: false, kept: [] };
  if (length !== undefined) return new ByLength(base, Number(length), keep);
  if (/\r\ntransfer-encoding: *chunked/.test(head)) return new ByChunks(base, keep);
  throw new Error(`an answer without an end: ${head}`);
}

type Base = Pick<Reading, 'status' | 'headLength'>;

class ByLength implements Reading {
  readonly status: number;
  readonly headLength: number;
  readonly kept: Buffer[] = [];
  begun = false;
  done: boolean;

  constructor(
    base: Base,
    private left: number,
    private readonly keep: boolean,
  ) {
    this.status = base.status;
    this.headLength = base.headLength;
    this.done = left === 0;
  }

  take(bytes: Buffer): undefined {
    this.left -= bytes.length;
    if (this.keep) this.kept.push(bytes);
    this.done = this.left <= 0;
  }
}

class ByChunks implements Reading {
  readonly status: number;
  readonly headLength: number;
  readonly kept: Buffer[] = [];
  begun = false;
  done = false;
  /** Bytes of the chunk, and of its line end, that are still to come. */
  #left = 0;
  #last = false;

  constructor(
    base: Base,
    private readonly keep: boolean,
  ) {
    this.status = base.status;
    this.headLength = base.headLength;
  }

  take(bytes: Buffer): Buffer | undefined {
    let at = 0;
    while (at < bytes.length) {
      if (this.#left > 0) {
        const end = Math.min(bytes.length, at + this.#left);
        if (this.keep) this.#keepContent(bytes, at, end);
        this.#left -= end - at;
        at = end;
        if (this.#left === 0 && this.#last) this.done = true;
        continue;
      }
      const lineEnd = bytes.indexOf(10, at);
      if (lineEnd < 0) return bytes.subarray(at);
      const size = Number.parseInt(bytes.toString('latin1', at, lineEnd), 16);
      this.#last = size === 0;
      this.#left = size + 2;
      at = lineEnd + 1;
    }
    return undefined;
  }

  /** The last two bytes are the line end. */
  #keepContent(bytes: Buffer, from: number, to: number): void {
    const content = Math.min(to, from + Math.max(0, this.#left - 2));
    if (content > from) this.kept.push(bytes.subarray(from, content));
  }
}

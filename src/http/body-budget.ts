/** What a body may have without counting: small writes wait for nobody. */
const FREE = 64 * 1024;

/**
 * The memory that the bodies of all requests may take together. Where it is used up, bodies that are still coming in
 * wait, and their clients with them; only the oldest goes on, so that one is finished in the end and makes room.
 */
export class BodyBudget {
  /** Those that need more and more of it, the oldest first. */
  readonly #shares = new Set<Share>();
  #used = 0;

  /** @param total bytes; all bodies together can exceed it by one, and by what counts for nothing of each */
  constructor(private readonly total: number) {}

  /** The share of one request; it must be given back. */
  open(): BodyShare {
    let read = 0;
    const share: Share = { held: 0, resume: undefined };
    return {
      take: (bytes, resume) => {
        read += bytes;
        if (read <= FREE) return true;
        this.#shares.add(share);
        share.held += bytes;
        this.#used += bytes;
        if (this.#mayGoOn(share)) return true;
        share.resume = resume;
        return false;
      },
      drop: (bytes) => {
        // It is written to the disk from now on, maybe for long, and stands in nobody's way.
        this.#shares.delete(share);
        this.#release(share, Math.min(bytes, share.held));
      },
      giveBack: () => {
        this.#shares.delete(share);
        this.#release(share, share.held);
      },
    };
  }

  #release(share: Share, bytes: number): void {
    share.held -= bytes;
    this.#used -= bytes;
    this.#resume();
  }

  #mayGoOn(share: Share): boolean {
    if (this.#used <= this.total) return true;
    const [oldest] = this.#shares;
    return oldest === share;
  }

  #resume(): void {
    for (const share of this.#shares) {
      if (!this.#mayGoOn(share)) return;
      const { resume } = share;
      share.resume = undefined;
      resume?.();
    }
  }
}

interface Share {
  held: number;
  /** Set while it waits. */
  resume: (() => void) | undefined;
}

export interface BodyShare {
  /**
   * Counts bytes that were read.
   * @returns false where no more may be read until `resume` is called, which may be at any time but not at once
   */
  readonly take: (bytes: number, resume: () => void) => boolean;
  /** So many of them are held no more; not while it waits. */
  readonly drop: (bytes: number) => void;
  /** The body is needed no more. May be called again. */
  readonly giveBack: () => void;
}

/** For what is counted elsewhere. */
export const UNCOUNTED: BodyShare = { take: () => true, drop: () => undefined, giveBack: () => undefined };

import type { LevelOptions } from './level-host.js';
import { RecentTexts } from './recent.js';

/**
 * LevelDB works badly with less: each full buffer becomes a table, with a few syncs, so that single writes into small
 * ones take half as much processor time again as into large ones.
 */
const LEAST_BUFFER = 512 * 1024;
const LEAST_CACHE = 256 * 1024;

/** The part of what is left that one database may get. */
const PART = 8;

/**
 * Divides memory among the databases that are open: the first get as much as is good for one, later ones a part of
 * what is left, so that a thousand of them do not need a thousand times as much.
 */
export class MemoryBudget {
  #left: number;
  readonly #texts = new RecentTexts();

  /** @param total bytes, @param most what one database gets at best */
  constructor(
    total: number,
    private readonly most: Pick<LevelOptions, 'writeBuffer' | 'cache'>,
  ) {
    this.#left = total;
  }

  /** Takes the share of a database that is being opened. It must be given back. */
  take(): MemoryShare {
    const share = Math.max(0, this.#left) / PART;
    // While LevelDB writes one full buffer to a table it fills the next.
    const writeBuffer = clamp(share / 3, LEAST_BUFFER, this.most.writeBuffer);
    const cache = clamp(share / 3, LEAST_CACHE, this.most.cache);
    const taken = 2 * writeBuffer + cache;
    this.#left -= taken;
    return {
      writeBuffer,
      cache,
      texts: this.#texts,
      giveBack: () => {
        this.#left += taken;
      },
    };
  }
}

export interface MemoryShare extends Required<Pick<LevelOptions, 'writeBuffer' | 'cache' | 'texts'>> {
  /** To be called once, when the database is closed. */
  readonly giveBack: () => void;
}

const clamp = (bytes: number, least: number, most: number): number =>
  Math.floor(Math.min(most, Math.max(least, bytes)));

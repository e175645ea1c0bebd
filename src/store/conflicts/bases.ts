import type { ClassicLevel } from 'classic-level';
import { pagesOf } from '../pages.js';
import type { WriteTask } from '../writer.js';
import { ALL_BASES, numberOfBaseKey, parseBase } from './base-entry.js';
import type { Tally } from './tally.js';
import type { BaseLimits, Bases } from './types.js';

/** What the bodies that are kept for merges need of their database. */
export interface BasesHost {
  readonly level: ClassicLevel;
  readonly state: () => Tally;
  /** Undefined where nobody says; answers undefined where none are to be kept any more. */
  readonly limits: (() => BaseLimits | undefined) | undefined;
  /** Resolves once it is committed. */
  readonly submit: (task: Pick<WriteTask, 'run'>) => Promise<void>;
}

/** Entries that one commit takes away: their bodies are read. */
const PAGE = 100;

/** The bodies of one database that are kept for merges. */
export class LevelBases implements Bases {
  constructor(private readonly host: BasesHost) {}

  get count(): number {
    return this.host.state().count;
  }

  get bytes(): number {
    return this.host.state().bytes;
  }

  async trim(signal?: AbortSignal): Promise<void> {
    const { limits } = this.host;
    if (limits === undefined || this.count === 0) return;
    for await (const page of pagesOf(this.host.level.iterator(ALL_BASES), PAGE)) {
      const due = this.#dueOf(page, limits() ?? NOTHING);
      if (due.length > 0) {
        await this.host.submit({
          run: (transaction) => {
            transaction.bases.remove(due);
          },
        });
      }
      if (due.length < page.length || signal?.aborted === true) return;
    }
  }

  async due(): Promise<number | undefined> {
    const limits = this.host.limits?.();
    if (limits === undefined || this.count === 0) return undefined;
    const [text] = await this.host.level.values({ ...ALL_BASES, limit: 1 }).all();
    const base = text === undefined ? undefined : parseBase(text);
    return base && base.time + limits.maxAge;
  }

  /** The first of these that have to go; those behind them are younger. */
  #dueOf(page: readonly (readonly [string, string])[], { maxAge, maxBytes }: BaseLimits): readonly number[] {
    const due: number[] = [];
    let { bytes } = this;
    for (const [key, text] of page) {
      const base = parseBase(text);
      const isDue = base === undefined || bytes > maxBytes || Date.now() - base.time > maxAge;
      if (!isDue) break;
      due.push(numberOfBaseKey(key));
      bytes -= base?.bytes ?? 0;
    }
    return due;
  }
}

const NOTHING: BaseLimits = { maxAge: -Infinity, maxBytes: 0 };

import type { ClassicLevel } from 'classic-level';
import type { WriteTask } from '../writer.js';
import { ALL_GROUPS, areDue, type BaseGroup, groupKey, numberOfGroup, parseGroup } from './base-entry.js';
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
    const { limits, state, submit } = this.host;
    // Where none is left, groups of those that were may be.
    if (limits === undefined || state().last === 0) return;
    let from = 0;
    while (signal?.aborted !== true) {
      const oldest = await this.#oldestFrom(from);
      if (oldest === undefined) return;
      const { number, group } = oldest;
      const now = limits() ?? NOTHING;
      if (group !== undefined && !areDue(now, group.time, this.bytes)) return;
      await submit({
        run: (transaction) => {
          transaction.bases.trim(now, number);
        },
      });
      // What went before it need not be passed once more.
      from = number;
    }
  }

  async due(): Promise<number | undefined> {
    const limits = this.host.limits?.();
    if (limits === undefined || this.count === 0) return undefined;
    const { group } = (await this.#oldestFrom(0)) ?? {};
    return group && group.time + limits.maxAge;
  }

  /** The oldest group that has some number or a higher one; without `group` where it cannot be read. */
  async #oldestFrom(number: number): Promise<{ number: number; group?: BaseGroup | undefined } | undefined> {
    const [first] = await this.host.level.iterator({ ...ALL_GROUPS, gte: groupKey(number), limit: 1 }).all();
    return first && { number: numberOfGroup(first[0]), group: parseGroup(first[1]) };
  }
}

const NOTHING: BaseLimits = { maxAge: -Infinity, maxBytes: 0 };

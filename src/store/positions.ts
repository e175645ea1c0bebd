import type { ClassicLevel } from 'classic-level';
import { unavailable } from '../errors.js';
import * as layout from './layout.js';
import { countLiving } from './list.js';
import type { Snapshot } from './level.js';
import { compareIds } from './order.js';
import { pagesOf } from './pages.js';
import { isLivingText } from './record.js';

/** A stretch is made with this many living documents, and cut again when it holds four times as many. */
const STRETCH = 1024;
/** Metadata read at a time. */
const PAGE = 500;

/** Documents from `first` (inclusive) up to the next stretch. */
interface Stretch {
  readonly first: string;
  living: number;
}

/** By how much a commit changed the number of living documents of one id. */
export interface LivingDelta {
  readonly id: string;
  readonly by: number;
}

/**
 * How many living documents come before an id, without counting them all for each page: CouchDB tells it as the
 * `offset` of a listing. Counted when it is first asked for, then kept in memory while the database is open.
 */
export class Positions {
  #stretches: Stretch[] = [];
  /** Counts under way or done; each begins when the one before has ended. */
  #counted: Promise<void> | undefined;
  /** Commits since the snapshot that is being counted. */
  #missed: LivingDelta[] | undefined;

  /**
   * @param takeSnapshot calls back, maybe more than once, with a snapshot that holds just the commits that
   * `note` was told of by then
   */
  constructor(
    private readonly level: ClassicLevel,
    private readonly takeSnapshot: (taken: (snapshot: Snapshot) => void) => Promise<void>,
  ) {}

  /** Tells of a commit. */
  note(deltas: readonly LivingDelta[]): void {
    apply(this.#stretches, deltas);
    this.#missed?.push(...deltas);
  }

  /** Living documents before an id in LevelDB's order, itself included if so asked. */
  async before(id: string, inclusive: boolean, snapshot: Snapshot): Promise<number> {
    await (this.#counted ??= this.#countAfter(Promise.resolve(), '', undefined));
    const at = indexOf(this.#stretches, id);
    const stretch = this.#stretches[at];
    if (stretch === undefined) return 0;
    if (stretch.living > 4 * STRETCH) {
      const end = this.#stretches[at + 1]?.first;
      this.#counted = this.#countAfter(this.#counted, stretch.first, end);
      return this.before(id, inclusive, snapshot);
    }
    const earlier = this.#stretches.slice(0, at).reduce((sum, { living }) => sum + living, 0);
    const key = layout.documents.key(id);
    const bounds = { gte: layout.documents.key(stretch.first), ...(inclusive ? { lte: key } : { lt: key }) };
    return earlier + (await countLiving(this.level, { ...bounds, snapshot }));
  }

  /** Counts a range once the count before is done; after a failure everything is counted anew. */
  async #countAfter(before: Promise<void>, first: string, end: string | undefined): Promise<void> {
    try {
      await before;
      await this.#count(first, end);
    } catch (error) {
      this.#stretches = [];
      this.#counted = undefined;
      throw error;
    }
  }

  /** Counts a range of ids and replaces its stretches. */
  async #count(first: string, end: string | undefined): Promise<void> {
    const missed: LivingDelta[] = [];
    const snapshots: Snapshot[] = [];
    try {
      await this.takeSnapshot((taken) => {
        snapshots.push(taken);
        this.#missed = missed;
      });
      const snapshot = snapshots.at(-1);
      if (snapshot === undefined) throw unavailable('The database is being closed.');
      const fresh = await cut(this.level, first, end, snapshot);
      const inRange = ({ id }: { readonly id: string }): boolean =>
        compareIds(id, first) >= 0 && (end === undefined || compareIds(id, end) < 0);
      apply(fresh, missed.filter(inRange));
      // Somebody else may have cut the same stretch just before.
      const others = this.#stretches.filter((stretch) => !inRange({ id: stretch.first }));
      this.#stretches = [...others, ...fresh].sort((a, b) => compareIds(a.first, b.first));
    } finally {
      this.#missed = undefined;
      await Promise.all(snapshots.map((snapshot) => snapshot.close()));
    }
  }
}

function apply(stretches: readonly Stretch[], deltas: readonly LivingDelta[]): void {
  if (stretches.length === 0) return;
  for (const { id, by } of deltas) {
    const stretch = stretches[indexOf(stretches, id)];
    if (stretch !== undefined) stretch.living += by;
  }
}

/** The stretch that an id falls into. */
function indexOf(stretches: readonly Stretch[], id: string): number {
  let low = 0;
  let high = stretches.length;
  while (high - low > 1) {
    const middle = (low + high) >>> 1;
    if (compareIds(stretches[middle]?.first ?? '', id) <= 0) low = middle;
    else high = middle;
  }
  return low;
}

/** Cuts a range of ids into stretches. */
async function cut(
  level: ClassicLevel,
  first: string,
  end: string | undefined,
  snapshot: Snapshot,
): Promise<Stretch[]> {
  let last: Stretch = { first, living: 0 };
  const stretches = [last];
  const entries = level.iterator({
    gte: layout.documents.key(first),
    lt: end === undefined ? layout.documents.end : layout.documents.key(end),
    snapshot,
    highWaterMarkBytes: 1 << 20,
  });
  for await (const page of pagesOf(entries, PAGE)) {
    for (const [key, text] of page) {
      if (!isLivingText(text)) continue;
      if (last.living >= STRETCH) {
        last = { first: layout.documents.strip(key), living: 0 };
        stretches.push(last);
      }
      last.living++;
    }
  }
  return stretches;
}

import { Turns } from '../json/turns.js';
import type { Logger } from '../observe/log.js';
import type { Database } from '../store/types/database.js';
import { type Branches, branchesIn } from './branches.js';

/** What became of leaves that were to be purged. */
export type PurgeOutcome =
  | {
      readonly kind: 'purged';
      /** Id → leaves that were there. */
      readonly purged: ReadonlyMap<string, readonly string[]>;
      /** Ids of documents that cannot be purged yet. */
      readonly waiting: readonly string[];
    }
  /** For now nothing can be purged. */
  | { readonly kind: 'later' }
  /** Whoever else has the database does not let it be purged. */
  | { readonly kind: 'refused'; readonly reason: string };

/** Purges leaves wherever the database is. */
export type PurgeLeaves = (
  db: Database,
  requests: ReadonlyMap<string, readonly string[]>,
  signal: AbortSignal,
) => Promise<PurgeOutcome>;

export interface PurgingOptions {
  /** May change at any time. */
  readonly branches: {
    /** Milliseconds after which the branch of a leaf that was merged goes; undefined where it stays. */
    readonly maxAge: number | undefined;
  };
  readonly purge: PurgeLeaves;
  readonly log: Pick<Logger, 'warn'>;
}

/** What is shown of one database. */
export interface PurgedBranches {
  /** How many were purged since the server started. */
  readonly branches: number;
  /** Why none are; null where nobody refuses it. */
  readonly refused: string | null;
}

/** What is shown of all databases together. */
export interface PurgedInAll {
  readonly branches: number;
  /** In how many databases none are, because somebody refuses it. */
  readonly refused: number;
}

const HOUR = 3_600_000;
const DAY = 24 * HOUR;

/** How far the journal of a database was read. */
interface Place {
  /** Of the database that had the name then. */
  readonly instance: string;
  /** Number of the entry to go on with. */
  next: number;
  /** The first entry that has to be looked at again. */
  again: number | undefined;
  /** Nothing is tried before, in milliseconds since 1970. */
  notBefore: number;
  /** Why nothing could be purged the last time. */
  refused: string | null;
}

/**
 * Purges the branches of leaves that were merged, once they are old enough: those that the journal tells of, so that each
 * gateway purges what it has merged. The journal is read once from its beginning, and from then on as its entries become old
 * enough. What a client brings back stays until then.
 */
export class Purging {
  readonly #places = new Map<string, Place>();
  /** Name → how many were purged. */
  readonly #counts = new Map<string, number>();

  constructor(private readonly options: PurgingOptions) {}

  shown(name: string): PurgedBranches {
    return { branches: this.#counts.get(name) ?? 0, refused: this.#places.get(name)?.refused ?? null };
  }

  inAll(): PurgedInAll {
    const refused = [...this.#places.values()].filter((place) => place.refused !== null);
    const branches = [...this.#counts.values()].reduce((sum, count) => sum + count, 0);
    return { branches, refused: refused.length };
  }

  /** Everything is looked at once more. */
  restart(): void {
    this.#places.clear();
  }

  /** A database is gone. */
  forget(name: string): void {
    this.#places.delete(name);
    this.#counts.delete(name);
  }

  /**
   * Purges what is due, no more than one request may ask for.
   * @returns when to come back, in milliseconds since 1970; undefined where all branches stay
   * @throws the reason of the signal
   */
  async purge(db: Database, signal: AbortSignal): Promise<number | undefined> {
    const { maxAge } = this.options.branches;
    if (maxAge === undefined) return undefined;
    const place = this.#placeOf(db);
    if (Date.now() < place.notBefore) return place.notBefore;
    const range = { start: place.next, until: Date.now() - maxAge };
    const found = await branchesIn(db, range, new Turns(), signal);
    if (!(await this.#purge(db, place, found, signal))) return Math.max(place.notBefore, Date.now());
    place.next = found.next;
    if (found.isFull) return Date.now();
    return lookAgain(place) ? place.notBefore : (found.nextTime ?? Date.now()) + maxAge;
  }

  #placeOf({ name, instanceStartTime: instance }: Database): Place {
    const known = this.#places.get(name);
    if (known?.instance === instance) return known;
    const place = { instance, next: 1, again: undefined, notBefore: 0, refused: null };
    this.#places.set(name, place);
    return place;
  }

  /** @returns false where all of it is to be tried again */
  async #purge(db: Database, place: Place, found: Branches, signal: AbortSignal): Promise<boolean> {
    const outcome = await this.#ask(db, found.requests, signal);
    if (outcome.kind === 'purged') {
      const waiting = outcome.waiting.map((id) => found.entries.get(id));
      place.again = least(place.again, found.inConflict, ...waiting);
      this.#count(db.name, place, outcome.purged);
      return true;
    }
    if (outcome.kind === 'refused') this.#refused(db.name, place, outcome.reason);
    if (outcome.kind === 'failed') place.notBefore = Date.now() + HOUR;
    return false;
  }

  async #ask(
    db: Database,
    requests: Branches['requests'],
    signal: AbortSignal,
  ): Promise<PurgeOutcome | { readonly kind: 'failed' }> {
    if (requests.size === 0) return { kind: 'purged', purged: requests, waiting: [] };
    try {
      return await this.options.purge(db, requests, signal);
    } catch (error) {
      signal.throwIfAborted();
      this.options.log.warn({ err: error, database: db.name }, 'branches of merged leaves cannot be purged');
      return { kind: 'failed' };
    }
  }

  #refused(database: string, place: Place, reason: string): void {
    place.notBefore = Date.now() + DAY;
    if (place.refused !== reason)
      this.options.log.warn({ database, reason }, 'branches of merged leaves may not be purged');
    place.refused = reason;
  }

  #count(name: string, place: Place, purged: ReadonlyMap<string, readonly string[]>): void {
    if (purged.size === 0) return;
    place.refused = null;
    const count = [...purged.values()].reduce((sum, revs) => sum + revs.length, 0);
    this.#counts.set(name, (this.#counts.get(name) ?? 0) + count);
  }
}

/** Goes back, after a while, to what could not be purged. @returns whether there is such a thing */
function lookAgain(place: Place): boolean {
  if (place.again === undefined) return false;
  place.next = place.again;
  place.again = undefined;
  place.notBefore = Date.now() + HOUR;
  return true;
}

const least = (...numbers: readonly (number | undefined)[]): number | undefined => {
  const known = numbers.filter((one) => one !== undefined);
  return known.length === 0 ? undefined : Math.min(...known);
};

/** For a database that nobody else has. */
export const purgeHere: PurgeLeaves = async (db, requests) => ({
  kind: 'purged',
  purged: await db.purge(requests),
  waiting: [],
});

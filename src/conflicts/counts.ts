import type { Databases } from '../store/databases.js';
import type { Database } from '../store/types/database.js';
import type { MergeRule } from './rules.js';
import { type Standing, standingOf } from './standing.js';

/** Conflicts of a database in figures. */
export interface ConflictCounts {
  /** Documents in conflict. */
  readonly total: number;
  /** How many of them have each state; null where there are too many to be counted. */
  readonly states: Partial<Record<Standing['state'], number>> | null;
  readonly journal: { readonly entries: number; readonly bytes: number };
}

/** So many rows are looked at to count states. */
const MOST_COUNTED = 10_000;

/** @param most so many rows may be looked at */
export async function countConflicts(
  db: Database,
  rule: MergeRule | undefined,
  most = MOST_COUNTED,
): Promise<ConflictCounts> {
  const { conflicts, journal } = db;
  const isMany = rule !== undefined && conflicts.count > most;
  return {
    total: conflicts.count,
    states: isMany ? null : await countStates(db, rule),
    journal: { entries: journal.count, bytes: journal.bytes },
  };
}

async function countStates(db: Database, rule: MergeRule | undefined): Promise<ConflictCounts['states']> {
  const { conflicts } = db;
  if (rule === undefined) return conflicts.count === 0 ? {} : { kept: conflicts.count };
  const counts: Partial<Record<Standing['state'], number>> = {};
  for await (const page of conflicts.rows({ since: 0 })) {
    for (const row of page) {
      const { state } = standingOf(row, rule);
      counts[state] = (counts[state] ?? 0) + 1;
    }
  }
  return counts;
}

/** Databases that are named one by one. */
const MOST_NAMED = 100;

/** Conflicts of one database in a list of many. */
interface DatabaseConflicts {
  readonly name: string;
  readonly conflicts: number;
  /** Those that somebody must look at; null where they were not counted. */
  readonly deferred: number | null;
  readonly journal_bytes: number;
}

/**
 * Conflicts of all databases that are open, with the ones that have most of them. Of these those that are deferred are
 * counted, as long as that does not take long.
 */
export async function conflictsInShort(
  databases: Databases,
  ruleOf: (db: Database) => MergeRule | undefined,
): Promise<object> {
  const rows = databases.allOpen
    .map(({ name, conflicts, journal }) => ({
      name,
      conflicts: conflicts.count,
      journal_bytes: journal.bytes,
    }))
    .filter(({ conflicts, journal_bytes: bytes }) => conflicts + bytes > 0)
    .sort((a, b) => b.conflicts - a.conflicts);
  const named: DatabaseConflicts[] = [];
  let left = MOST_COUNTED;
  for (const row of rows.slice(0, MOST_NAMED)) {
    const { name, conflicts } = row;
    // One that was deleted meanwhile, or fails, does not keep the others from being shown.
    const counted = await databases
      .use(name, (db) => {
        const [rule, most] = [ruleOf(db), left];
        if (rule !== undefined) left = Math.max(0, left - conflicts);
        return countConflicts(db, rule, most);
      })
      .catch(() => ({ states: null }));
    named.push({ ...row, deferred: counted.states && (counted.states.deferred ?? 0) });
  }
  return {
    total: rows.reduce((sum, { conflicts }) => sum + conflicts, 0),
    journal_bytes: rows.reduce((sum, { journal_bytes: bytes }) => sum + bytes, 0),
    databases: named,
  };
}

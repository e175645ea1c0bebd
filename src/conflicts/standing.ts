import type { ConflictRow } from '../store/conflicts/types.js';
import type { Database } from '../store/types/database.js';
import type { MergeRule } from './rules.js';
import { type ConflictState, parseState } from './states.js';

/** `open`: the rule of the database has not been asked yet. */
export const LISTED_STATES = ['deferred', 'waiting', 'undone', 'kept', 'open'] as const satisfies readonly (
  ConflictState['state'] | 'open'
)[];

/** The rule of a database, of which only counts which one it is. */
export type WhichRule = Pick<MergeRule, 'version'>;

/** What becomes of a conflict, as it is shown. */
export interface Standing {
  /** `resolved`: there is at most one leaf left, in feeds alone. */
  readonly state: (typeof LISTED_STATES)[number] | 'resolved';
  readonly reason: string | null;
  /** JSON pointers of what could not be merged. */
  readonly paths: readonly string[];
  /** Since when it has this state; null where nobody noted that. */
  readonly since: string | null;
}

/** @param rule of its database; undefined where all conflicts are kept */
export function standingOf({ state }: Pick<ConflictRow, 'state'>, rule: WhichRule | undefined): Standing {
  const noted = parseState(state);
  // What another rule made of it does not count any more.
  if (noted === undefined || noted.rule !== rule?.version) return rule === undefined ? KEPT : OPEN;
  const { reason = null, paths = [], since } = noted;
  return { state: noted.state, reason, paths, since: new Date(since).toISOString() };
}

const NOTHING_NOTED = { reason: null, paths: [], since: null };
const KEPT: Standing = { state: 'kept', ...NOTHING_NOTED };
const OPEN: Standing = { state: 'open', ...NOTHING_NOTED };
export const RESOLVED: Standing = { state: 'resolved', ...NOTHING_NOTED };

/** A conflict in a list. */
export interface ListedConflict extends Standing {
  /** The token of the document's last change. */
  readonly seq: string;
  readonly id: string;
  /** How many leaves are not deleted. */
  readonly leaves: number;
  /** The winner's revision. */
  readonly winner: string;
}

/** Rows of the index as they are listed, but for documents that are not to be seen, or are in conflict no more. */
export async function listed(
  db: Database,
  rows: readonly ConflictRow[],
  rule: WhichRule | undefined,
): Promise<ListedConflict[]> {
  const records = await db.getMany(rows.map(({ id }) => id));
  return rows.flatMap((row, at) => {
    const { seq, id, leaves } = row;
    const record = records[at];
    // One that has changed meanwhile comes at its new place.
    if (record?.seq !== seq) return [];
    return [{ seq: db.token(seq), id, leaves, winner: record.winner, ...standingOf(row, rule) }];
  });
}

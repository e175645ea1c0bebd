import { hash } from 'node:crypto';
import type { Database } from '../store/types/database.js';
import type { Rules } from '../store/types/rules.js';

const known = new WeakMap<Rules, string>();

/**
 * Which functions say what may be written to a database, in a few characters: others after each change of the design documents
 * that hold them, and the same after a restart.
 */
export function judgesOf(db: Database): string {
  const { rules } = db;
  const before = known.get(rules);
  if (before !== undefined) return before;
  const judges = rules.validators.map((id) => [id, db.get(id)?.winner]);
  const found = hash('sha256', JSON.stringify(judges)).slice(0, DIGITS);
  known.set(rules, found);
  return found;
}

const DIGITS = 16;

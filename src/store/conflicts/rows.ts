import { quote } from '../../json/quote.js';
import { members } from '../../json/text.js';
import * as layout from '../layout.js';
import type { StoredDocument } from '../record.js';
import type { ConflictRow } from './types.js';

/** Leaves from which on a document is in conflict. */
const CONFLICT = 2;

/** How many leaves of a document are not deleted, where that makes a conflict; 0 where it is in none. */
export function conflictingLeaves(record: StoredDocument | undefined): number {
  const living = record?.livingLeaves ?? 0;
  return living < CONFLICT ? 0 : living;
}

export const conflictKey = (seq: number): string => layout.conflicts.key(layout.seqKey(seq));

/** As the index has it. */
export const conflictText = ({ id, leaves, state }: Omit<ConflictRow, 'seq'>): string =>
  `{"id":${quote(id)},"leaves":${String(leaves)}${state === undefined ? '' : `,"state":${state}`}}`;

export function parseConflict(seq: number, text: string): ConflictRow {
  const { id, leaves } = JSON.parse(text) as { id: string; leaves: number };
  const state = stateIn(text);
  return { seq, id, leaves, ...(state !== undefined && { state }) };
}

/** What is noted of a conflict, with its text as it was given. */
export const stateIn = (text: string): string | undefined => members(text)?.get('state');

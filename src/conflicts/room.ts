import type { Journal, JournalLimits } from '../store/conflicts/types.js';

/** A journal that has no room is not looked at again before that, in milliseconds. */
const AGAIN = 60_000;

/**
 * When a journal has room for what a merge takes away: without it a merge would lose that, or push out what may still be
 * wanted. Trims it where it has none.
 * @returns undefined where it has room now, else when it may have some, in milliseconds since 1970
 */
export async function roomAt(journal: Journal, limits: JournalLimits): Promise<number | undefined> {
  if (journal.bytes <= limits.maxBytes) return undefined;
  await journal.trim(limits);
  if (journal.bytes <= limits.maxBytes) return undefined;
  const due = await journal.due(limits);
  return due === undefined ? undefined : Math.max(due, Date.now() + AGAIN);
}

import type { ClassicLevel } from 'classic-level';
import type { BodyRoles } from '../body-roles.js';
import * as layout from '../layout.js';
import { pagesOf } from '../pages.js';
import { ALL_BASES, baseNumberKey, BASES_KEY, numberOfBaseKey, parseBase } from './base-entry.js';
import { NO_TALLY, parseTally } from './tally.js';

/** Entries looked at at a time. */
const PAGE = 1000;

/** Forgets what is kept for merges and is not there any more, or is a leaf's, counts the rest, and marks it as kept. */
export async function recountBases(level: ClassicLevel, roles: BodyRoles): Promise<void> {
  const known = await level.get(BASES_KEY);
  let { last, count, bytes } = { ...NO_TALLY, last: parseTally(known ?? '')?.last ?? 0 };
  await level.clear({ gte: layout.baseNumbers.start, lt: layout.baseNumbers.end });
  for await (const page of pagesOf(level.iterator(ALL_BASES), PAGE)) {
    const batch = level.batch();
    for (const [key, text] of page) {
      last = Math.max(last, numberOfBaseKey(key));
      const base = parseBase(text);
      if (base === undefined || !roles.keep(base.seq)) {
        batch.del(key);
        continue;
      }
      batch.put(baseNumberKey(base.seq), String(numberOfBaseKey(key)));
      count++;
      bytes += base.bytes;
    }
    await batch.write({ sync: false });
  }
  if (known !== undefined || last > 0) await level.put(BASES_KEY, JSON.stringify({ last, count, bytes }));
}

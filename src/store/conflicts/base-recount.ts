import type { ClassicLevel } from 'classic-level';
import type { BodyRoles } from '../body-roles.js';
import * as layout from '../layout.js';
import { pagesOf } from '../pages.js';
import { ALL_GROUPS, BASES_KEY, groupText, numberOfGroup, parseGroup } from './base-entry.js';
import { BaseMarks } from './base-marks.js';
import { NO_TALLY, parseTally } from './tally.js';

/** Groups looked at at a time: their marks may stand in as many entries as they have bodies. */
const PAGE = 100;

/**
 * Forgets what is kept for merges and is not there any more, or is a leaf's, counts the rest, marks it, and says that it is
 * kept. Marks alone say nothing of age and bytes, so what no group names is kept no more.
 */
export async function recountBases(level: ClassicLevel, roles: BodyRoles): Promise<void> {
  const known = await level.get(BASES_KEY);
  let { last, count, bytes } = { ...NO_TALLY, last: parseTally(known ?? '')?.last ?? 0 };
  await level.clear({ gte: layout.baseMarks.start, lt: layout.baseMarks.end });
  for await (const page of pagesOf(level.iterator(ALL_GROUPS), PAGE)) {
    const batch = level.batch();
    const marks = new BaseMarks(level);
    for (const [key, text] of page) {
      last = Math.max(last, numberOfGroup(key));
      const { time, bodies } = parseGroup(text) ?? NOTHING;
      const left = bodies.filter(([seq]) => roles.keep(seq));
      if (left.length === 0) batch.del(key);
      else if (left.length < bodies.length) batch.put(key, groupText({ time, bodies: left }));
      for (const [seq, size] of left) {
        marks.add(seq);
        count++;
        bytes += size;
      }
    }
    marks.write(batch);
    await batch.write({ sync: false });
  }
  if (known !== undefined || last > 0) await level.put(BASES_KEY, JSON.stringify({ last, count, bytes }));
}

const NOTHING = { time: 0, bodies: [] };

import {
  ALL_BASES,
  type BaseEntry,
  baseNumberKey,
  BASES_KEY,
  numberOfBaseKey,
  parseBase,
} from '../conflicts/base-entry.js';
import { isSameTally, NO_TALLY, parseTally } from '../conflicts/tally.js';
import * as layout from '../layout.js';
import { pagesOf } from '../pages.js';
import { keptOf } from './bodies.js';
import { type Context, PAGE, parseObject, READING, readableRecord } from './context.js';

/** Checks what is said of the bodies that are kept for merges, and counts them. */
export async function checkBases(context: Context): Promise<void> {
  const { level, indexed } = context;
  // What others dropped meanwhile is forgotten at the next start.
  if (!indexed) return;
  const report = (problem: string): void => {
    context.report({ code: 'bases_wrong', problem });
  };
  let [last, count, bytes] = [0, 0, 0];
  for await (const page of pagesOf(level.iterator({ ...READING, ...ALL_BASES }), PAGE)) {
    for (const [key, text] of page) {
      last = numberOfBaseKey(key);
      const base = parseBase(text);
      const wrong = base === undefined ? 'cannot be read' : await wrongWith(context, last, base);
      if (wrong !== undefined) report(`entry ${String(last)} of a body that is kept for merges ${wrong}`);
      count++;
      bytes += base?.bytes ?? 0;
    }
  }
  let numbers = 0;
  const keys = level.keys({ ...READING, gte: layout.baseNumbers.start, lt: layout.baseNumbers.end });
  for await (const page of pagesOf(keys, 1000)) numbers += page.length;
  if (numbers !== count) report(`${String(numbers)} bodies have the numbers of ${String(count)} entries`);
  const text = await level.get(BASES_KEY);
  const stored = text === undefined ? NO_TALLY : parseTally(text);
  if (stored === undefined || stored.last < last || !isSameTally(stored, { last: stored.last, count, bytes }))
    report('the counters of bodies that are kept for merges are not those of their entries');
}

/** @returns in words; undefined where it is as it should be */
async function wrongWith(
  { level }: Context,
  number: number,
  { seq }: BaseEntry,
): Promise<string | undefined> {
  const [known, text] = await level.getMany([baseNumberKey(seq), layout.bodies.key(layout.seqKey(seq))]);
  if (known !== String(number)) return 'is not known by its body';
  if (text === undefined) return 'is of a body that is not there';
  const { _id: id, _rev: rev } = parseObject(text) ?? {};
  // Both are told with the bodies and the records.
  if (typeof id !== 'string' || typeof rev !== 'string') return undefined;
  const record = readableRecord(await level.get(layout.documents.key(id)));
  if (record === undefined) return undefined;
  if (record.bodySeqs.get(rev) !== seq) return 'is of a body that no document has';
  return keptOf(record).has(rev) ? 'is of a body that is kept anyway' : undefined;
}

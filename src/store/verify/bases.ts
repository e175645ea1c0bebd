import type { ClassicLevel } from 'classic-level';
import { ALL_GROUPS, type BaseBody, BASES_KEY, numberOfGroup, parseGroup } from '../conflicts/base-entry.js';
import { countMarks, markedAmong } from '../conflicts/base-marks.js';
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
  for await (const page of pagesOf(level.iterator({ ...READING, ...ALL_GROUPS }), PAGE)) {
    for (const [key, text] of page) {
      last = numberOfGroup(key);
      const group = parseGroup(text);
      if (group === undefined)
        report(`entry ${String(last)} of bodies that are kept for merges cannot be read`);
      for (const [seq, size] of await markedOf(level, group?.bodies ?? [])) {
        const wrong = await wrongWith(context, seq);
        if (wrong !== undefined) report(`entry ${String(last)} of bodies that are kept for merges ${wrong}`);
        count++;
        bytes += size;
      }
    }
  }
  const marks = await countAllMarks(level, report);
  if (marks !== count)
    report(
      `${String(marks)} bodies are marked as kept for merges, and entries have ${String(count)} of them`,
    );
  const text = await level.get(BASES_KEY);
  const stored = text === undefined ? NO_TALLY : parseTally(text);
  if (stored === undefined || stored.last < last || !isSameTally(stored, { last: stored.last, count, bytes }))
    report('the counters of bodies that are kept for merges are not those of their entries');
}

/** The bodies of an entry that are kept still. */
async function markedOf(level: ClassicLevel, bodies: readonly BaseBody[]): Promise<readonly BaseBody[]> {
  const seqs = bodies.map(([seq]) => seq);
  const isMarked = await markedAmong(level, seqs);
  return bodies.filter(([seq]) => isMarked(seq));
}

async function countAllMarks(level: ClassicLevel, report: (problem: string) => void): Promise<number> {
  let marks = 0;
  const texts = level.values({ ...READING, gte: layout.baseMarks.start, lt: layout.baseMarks.end });
  for await (const page of pagesOf(texts, PAGE)) {
    for (const text of page) {
      const count = countMarks(text);
      if (count === undefined) report('marks of bodies that are kept for merges cannot be read');
      marks += count ?? 0;
    }
  }
  return marks;
}

/** @returns in words; undefined where it is as it should be */
async function wrongWith({ level }: Context, seq: number): Promise<string | undefined> {
  const text = await level.get(layout.bodies.key(layout.seqKey(seq)));
  if (text === undefined) return 'has a body that is not there';
  const { _id: id, _rev: rev } = parseObject(text) ?? {};
  // Both are told with the bodies and the records.
  if (typeof id !== 'string' || typeof rev !== 'string') return undefined;
  const record = readableRecord(await level.get(layout.documents.key(id)));
  if (record === undefined) return undefined;
  if (record.bodySeqs.get(rev) !== seq) return 'has a body that no document has';
  return keptOf(record).has(rev) ? 'has a body that is kept anyway' : undefined;
}

import * as layout from '../layout.js';
import { pagesOf } from '../pages.js';
import { rowsAfter } from '../pending.js';
import { countRows, isEntry, parseEntry } from '../unsent-entries.js';
import { parseUnsent, UNSENT_KEY, type UnsentState } from '../unsent-state.js';
import { type Context, READING } from './context.js';

/** Entries read at a time. */
const PAGE = 1000;

/** Checks the account of what the upstream has not got. The rows of the feed must be checked already. */
export async function checkUnsent(context: Context): Promise<void> {
  const { level, report } = context;
  const text = await level.get(UNSENT_KEY);
  const range = { gte: layout.unsent.start, lt: layout.unsent.end };
  if (text === undefined) {
    const left = await level.keys({ ...range, limit: 1 }).all();
    if (left.length > 0)
      report({ code: 'unsent_left', problem: 'there are entries of an account that ended' });
    return;
  }
  const known = parseUnsent(text);
  if (known === undefined) report({ code: 'unsent_damaged', problem: 'the account cannot be read' });
  else if (context.indexed && context.recount.isWhole) await checkEntries(context, known);
}

async function checkEntries(context: Context, { sent, floor, count }: UnsentState): Promise<void> {
  const { level, report } = context;
  let counted = sent < floor ? await rowsUpTo(context, sent, floor) : 0;
  // What was sent, or waits anyway, has entries for a while.
  const after = Math.max(sent, floor);
  const range = { gte: layout.unsent.start, lt: layout.unsent.end };
  for await (const page of pagesOf(level.iterator({ ...READING, ...range }), PAGE)) {
    const entries = page.map(([key, text]) => parseEntry(key, text));
    const counts = await countRows(level, entries, after);
    for (const [at, [key, text]] of page.entries()) {
      const problem = (what: string): void => {
        const where = layout.unsent.strip(key);
        report({ code: 'unsent_damaged', problem: `the entry at sequence ${where} ${what}` });
      };
      if (!isEntry(key, text)) problem('cannot be read');
      const entry = entries[at];
      if (entry === undefined || entry.last <= after) continue;
      const rows = counts[at] ?? 0;
      if (entry.rows !== rows)
        problem(`is of ${String(entry.rows)} rows of the feed, which has ${String(rows)} of them`);
      counted += rows;
    }
  }
  if (counted !== count) {
    const problem = `${String(count)} rows are said to wait, there are ${String(counted)}`;
    report({ code: 'unsent_damaged', problem });
  }
}

async function rowsUpTo({ level, recount }: Context, since: number, until: number): Promise<number> {
  const after = (seq: number): Promise<number> => rowsAfter(level, recount.changes, seq, recount.updateSeq);
  return (await after(since)) - (await after(until));
}

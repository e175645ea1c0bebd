import * as layout from '../layout.js';
import { pagesOf } from '../pages.js';
import { rowsAfter } from '../pending.js';
import { parseUnsent, UNSENT_KEY, unsentSeq, type UnsentState } from '../unsent-state.js';
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
  const range = { gte: layout.unsent.start, lt: layout.unsent.end };
  for await (const page of pagesOf(level.iterator({ ...READING, ...range }), PAGE)) {
    const seqs = page.map(([key]) => unsentSeq(key));
    const rows = await level.hasMany(seqs.map((seq) => layout.changes.key(layout.seqKey(seq))));
    for (const [at, [key, since]] of page.entries()) {
      const seq = seqs[at] ?? NaN;
      const where = layout.unsent.strip(key);
      if (!/^[0-9]+,[0-9]+$/.test(since))
        report({ code: 'unsent_damaged', problem: `the entry at sequence ${where} cannot be read` });
      // What was sent, or waits anyway, has an entry for a while.
      if (seq <= Math.max(sent, floor)) continue;
      counted++;
      if (rows[at] !== true)
        report({
          code: 'unsent_damaged',
          problem: `the entry at sequence ${where} is of no row of the feed`,
        });
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

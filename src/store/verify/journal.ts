import { readableAttachments } from '../attachments/members.js';
import { journalOwner } from '../attachments/refs-text.js';
import { factsOf } from '../body-facts.js';
import {
  JOURNAL_KEY,
  journalIdKey,
  journalKey,
  leafBytes,
  numberOfLeavesKey,
  parseEntry,
} from '../conflicts/journal-entry.js';
import { leavesIn } from '../conflicts/leaf-text.js';
import { NO_TALLY, parseTally } from '../conflicts/tally.js';
import * as layout from '../layout.js';
import { pagesOf } from '../pages.js';
import type { AttachmentChecks } from './attachments.js';
import { type Context, PAGE, parseObject, READING } from './context.js';

/** Checks the journal, and counts it. */
export async function checkJournal(context: Context, attachments: AttachmentChecks): Promise<void> {
  const { level, report } = context;
  const counted = { last: 0, count: 0, bytes: 0 };
  await checkEntries(context, counted);
  await checkLeaves(context, attachments, counted);
  let ids = 0;
  const keys = level.keys({ ...READING, gte: layout.journalIds.start, lt: layout.journalIds.end });
  for await (const page of pagesOf(keys, 1000)) ids += page.length;
  const text = await level.get(JOURNAL_KEY);
  const { last, count, bytes } = (text === undefined ? undefined : parseTally(text)) ?? NO_TALLY;
  if (text !== undefined && parseTally(text) === undefined)
    report({ code: 'journal_index', problem: 'the counters of the journal cannot be read' });
  else if (count !== counted.count || bytes !== counted.bytes || last < counted.last)
    report({ code: 'journal_index', problem: 'the counters of the journal are not those of its entries' });
  if (ids !== counted.count)
    report({ code: 'journal_index', problem: `entries of ${String(ids)} documents are known by their ids` });
}

interface Counted {
  last: number;
  count: number;
  bytes: number;
}

async function checkEntries({ level, report }: Context, counted: Counted): Promise<void> {
  const entries = level.iterator({ ...READING, gte: layout.journal.start, lt: layout.journal.end });
  for await (const page of pagesOf(entries, PAGE)) {
    for (const [key, stored] of page) {
      const number = layout.parseSeqKey(layout.journal.strip(key));
      const entry = parseEntry(number, stored);
      if (entry === undefined) {
        const problem = `entry ${String(number)} of the journal cannot be read`;
        report({ code: 'journal_damaged', problem });
        continue;
      }
      counted.last = number;
      counted.count++;
      counted.bytes += Buffer.byteLength(stored);
      if (await level.has(journalIdKey(entry.id, number))) continue;
      const problem = `entry ${String(number)} of the journal is not known by the id of its document`;
      report({ code: 'journal_index', problem, document: entry.id });
    }
  }
}

async function checkLeaves(
  { level, report, sizes }: Context,
  attachments: AttachmentChecks,
  counted: Counted,
): Promise<void> {
  const values = level.iterator({
    ...READING,
    gte: layout.journalLeaves.start,
    lt: layout.journalLeaves.end,
  });
  for await (const page of pagesOf(values, PAGE)) {
    for (const [key, stored] of page) {
      const number = numberOfLeavesKey(key);
      const leaves = leavesIn(stored);
      if (leaves.length === 0 || !(await level.has(journalKey(number)))) {
        const problem = `leaves of entry ${String(number)} of the journal cannot be read, or have no entry`;
        report({ code: 'journal_damaged', problem });
      }
      for (const { rev, text } of leaves) {
        const facts = factsOf(text);
        counted.bytes += leafBytes(facts);
        await sizes.addHeld(facts.attachments);
        const { _id: id, _rev } = parseObject(text) ?? {};
        const named = readableAttachments(text);
        if (typeof id !== 'string' || _rev !== rev || named === undefined) {
          const problem = `leaf ${rev} of entry ${String(number)} of the journal cannot be read`;
          report({ code: 'journal_damaged', problem });
        } else await attachments.check({ id, rev, attachments: named, owner: journalOwner(number, rev) });
      }
    }
  }
}

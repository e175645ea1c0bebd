import type { ClassicLevel } from 'classic-level';
import { factsOf } from '../body-facts.js';
import * as layout from '../layout.js';
import { pagesOf } from '../pages.js';
import type { BytesCount } from '../recount.js';
import { JOURNAL_KEY, journalIdKey, leafBytes, parseEntry } from './journal-entry.js';
import { leavesIn } from './leaf-text.js';
import { parseTally } from './tally.js';

/** Entries, or values that have their leaves, read at a time. */
const PAGE = 100;

/** Makes anew what can be told from the entries of a journal: who has some, and how much they are. */
export async function recountJournal(level: ClassicLevel, counted: BytesCount): Promise<void> {
  const known = parseTally((await level.get(JOURNAL_KEY)) ?? '');
  await level.clear({ gte: layout.journalIds.start, lt: layout.journalIds.end });
  let { count, bytes } = { count: 0, bytes: 0 };
  const entries = level.iterator({ gte: layout.journal.start, lt: layout.journal.end });
  let last = known?.last ?? 0;
  for await (const page of pagesOf(entries, PAGE)) {
    const batch = level.batch();
    for (const [key, stored] of page) {
      const number = layout.parseSeqKey(layout.journal.strip(key));
      last = Math.max(last, number);
      const entry = parseEntry(number, stored);
      if (entry === undefined) continue;
      batch.put(journalIdKey(entry.id, number), '');
      count++;
      bytes += Buffer.byteLength(stored);
    }
    await batch.write({ sync: false });
  }
  const values = level.values({
    gte: layout.journalLeaves.start,
    lt: layout.journalLeaves.end,
    highWaterMarkBytes: 1 << 20,
  });
  for await (const page of pagesOf(values, PAGE)) {
    for (const stored of page) {
      for (const { text } of leavesIn(stored)) {
        const facts = factsOf(text);
        bytes += leafBytes(facts);
        await counted.addHeld(facts.attachments);
      }
    }
  }
  if (known === undefined && last === 0) await level.del(JOURNAL_KEY);
  else await level.put(JOURNAL_KEY, JSON.stringify({ last, count, bytes }));
}

import type { ClassicLevel } from 'classic-level';
import * as layout from './layout.js';
import { pagesOf } from './pages.js';
import type { PurgeRequest } from './types/database.js';
import { entriesOf } from './view.js';

/** Purges read at a time. */
const PAGE = 1000;

/** What was asked to be purged, the oldest first. */
export async function* listPurges(level: ClassicLevel): AsyncGenerator<readonly PurgeRequest[]> {
  const range = { gte: layout.purges.start, lt: layout.purges.end };
  for await (const page of entriesOf(level, range, { size: PAGE })) {
    yield page.map(([, text]) => JSON.parse(text) as PurgeRequest);
  }
}

/** The numbers of all purges that are remembered, up to one of them. */
export async function* purgesUpTo(level: ClassicLevel, last: number): AsyncGenerator<readonly number[]> {
  if (last <= 0) return;
  const keys = level.keys({ gte: layout.purges.start, lte: layout.purges.key(layout.seqKey(last)) });
  for await (const page of pagesOf(keys, PAGE)) {
    yield page.map((key) => layout.parseSeqKey(layout.purges.strip(key)));
  }
}

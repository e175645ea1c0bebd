import { find } from '../../src/find/find.js';
import { indexesOf } from '../../src/find/indexes.js';
import { parseFind } from '../../src/find/options.js';
import { planToRun } from '../../src/find/plan.js';
import type { IndexOpener } from '../../src/find/types.js';
import { documentText } from '../../src/store/document.js';
import type { Database } from '../../src/store/types/database.js';

export interface Found {
  readonly docs: readonly Readonly<Record<string, unknown>>[];
  readonly bookmark: string;
}

/** Answers a query without HTTP. */
export async function ask(db: Database, indexes: IndexOpener, body: object): Promise<Found> {
  const texts = Object.entries(body).map(([name, value]): [string, string] => [name, JSON.stringify(value)]);
  const query = parseFind(new Map(texts), undefined, db.isPartitioned);
  const plan = planToRun(await indexesOf(db, true), query, db.isPartitioned);
  let answer = '';
  const source = { db, indexes, show: documentText };
  for await (const chunk of find(source, plan, query, new AbortController().signal)) answer += chunk;
  return JSON.parse(answer) as Found;
}

import type { AddResource } from './index.js';
import { inOrder } from './open-revs.js';
import { badRequest } from '../../errors.js';
import { JsonReader } from '../../json/reader.js';
import { parseRev } from '../../store/document.js';
import type { Database, DocumentRecord } from '../../store/types.js';
import type { Exchange } from '../exchange.js';
import { json, onDatabase } from '../resource.js';

export function revsRoutes(add: AddResource): void {
  add({
    path: '/:db/_revs_diff',
    allow: 'POST',
    methods: { POST: json(onDatabase('member', revsDiff)) },
    other: onDatabase('member'),
  });
  add({
    path: '/:db/_missing_revs',
    allow: 'POST',
    methods: { POST: json(onDatabase('member', missingRevs)) },
    other: onDatabase('member'),
  });
}

/** Which of these revisions are not here, and which that are could be their ancestors. */
async function revsDiff(exchange: Exchange, db: Database): Promise<void> {
  let rows = '';
  for (const { id, record, missing } of await missingOf(exchange, db)) {
    const ancestors = record?.possibleAncestors(newestOf(missing)) ?? [];
    const possible = ancestors.length === 0 ? '' : `,"possible_ancestors":${JSON.stringify(ancestors)}`;
    rows += `${rows === '' ? '' : ','}${JSON.stringify(id)}:{"missing":${JSON.stringify(missing)}${possible}}`;
  }
  exchange.json(200, `{${rows}}`);
}

async function missingRevs(exchange: Exchange, db: Database): Promise<void> {
  const found = await missingOf(exchange, db);
  const rows = found.map(({ id, missing }) => `${JSON.stringify(id)}:${JSON.stringify(missing)}`);
  exchange.json(200, `{"missing_revs":{${rows.join(',')}}}`);
}

interface Missing {
  readonly id: string;
  readonly record: DocumentRecord | undefined;
  readonly missing: readonly string[];
}

async function missingOf(exchange: Exchange, db: Database): Promise<readonly Missing[]> {
  const asked = readAsked(await exchange.bodyText());
  const ids = Array.from(asked.keys());
  const records = await db.getMany(ids);
  const found: Missing[] = [];
  for (const [at, id] of ids.entries()) {
    const record = records[at];
    const revs = asked.get(id) ?? [];
    const missing = record === undefined ? revs : inOrder(revs).filter((rev) => !record.has(rev));
    if (missing.length > 0) found.push({ id, record, missing });
  }
  return found;
}

/** The body, `{id: [rev, …], …}`. @throws CouchError, JsonError */
function readAsked(text: string): Map<string, readonly string[]> {
  const reader = new JsonReader(text);
  if (reader.peek() !== 'object') {
    reader.readText();
    reader.end();
    throw badRequest('Request body must be a JSON object');
  }
  const asked = new Map<string, readonly string[]>();
  reader.readObject((id) => {
    if (reader.peek() !== 'array') throw badRequest('Invalid list of revisions');
    const revs: string[] = [];
    reader.readArray(() => revs.push(parseRev(reader.readValue())));
    asked.set(id, revs);
  });
  reader.end();
  return asked;
}

/** The highest generation; a request may name more revisions than a call takes arguments. */
function newestOf(revs: readonly string[]): number {
  let newest = 0;
  for (const rev of revs) newest = Math.max(newest, Number(rev.slice(0, rev.indexOf('-'))));
  return newest;
}

import type { AddResource } from './index.js';
import { parseEntry } from '../../conflicts/entries.js';
import { undo } from '../../conflicts/undo.js';
import { badRequest, noEntry } from '../../errors.js';
import { quote } from '../../json/quote.js';
import { membersInTurns } from '../../json/text.js';
import { STUBS, shownText } from '../../store/attachments/text.js';
import type { JournalEntry } from '../../store/conflicts/types.js';
import type { Database } from '../../store/types/database.js';
import type { Exchange } from '../exchange.js';
import { count, limitOf } from '../page.js';
import { integer } from '../query.js';
import { json, onDatabase } from '../resource.js';
import { sendStream } from '../stream.js';
import { NOT_KEPT } from './conflicts.js';

const JOURNAL = '/_gateway/databases/:db/journal';
const ONE = `${JOURNAL}/:number`;

/** What was done about conflicts of a database, and how it is undone. */
export function journalRoutes(add: AddResource): void {
  const other = onDatabase('databaseAdmin');
  const get = { allow: 'GET,HEAD', other };
  add({ path: JOURNAL, ...get, methods: { GET: onDatabase('databaseAdmin', list) } });
  add({ path: ONE, ...get, methods: { GET: onDatabase('databaseAdmin', show) } });
  add({
    path: `${ONE}/undo`,
    allow: 'POST',
    methods: { POST: json(onDatabase('databaseAdmin', undoEntry)) },
    other,
  });
}

/** A page of entries, the newest first; the following one begins with the number `next`. */
async function list(exchange: Exchange, { journal }: Database): Promise<void> {
  const limit = limitOf(exchange);
  const start = Math.min(count(exchange, 'start', Infinity), Number.MAX_SAFE_INTEGER);
  const found: JournalEntry[] = [];
  const range = { descending: true, limit: limit + 1, start };
  for await (const page of journal.list(range)) found.push(...page);
  const next = found[limit]?.number ?? null;
  const { count: total, bytes } = journal;
  const entries = found.slice(0, limit).map(shown);
  exchange.json(200, JSON.stringify({ total, bytes, next, entries }), NOT_KEPT);
}

/** With the leaves as they were, and what became of them as far as that is here. */
async function show(exchange: Exchange, db: Database): Promise<void> {
  const entry = db.journal.get(numberOf(exchange));
  if (entry === undefined) throw noEntry();
  await sendStream(exchange, () => entryText(db, entry), { headers: NOT_KEPT });
}

async function* entryText(db: Database, entry: JournalEntry): AsyncGenerator<string> {
  const parsed = parseEntry(entry.text);
  const bases = new Map(parsed.kind === 'merge' ? parsed.leaves.map(({ rev, base }) => [rev, base]) : []);
  yield `${JSON.stringify({ ...shown(entry), leaves: undefined }).slice(0, -1)},"leaves":[`;
  let separator = '';
  for await (const { rev, text } of db.journal.leaves(entry.number)) {
    const base = JSON.stringify(bases.get(rev) ?? null);
    yield `${separator}{"rev":${quote(rev)},"base":${base},"doc":${shownText(text, {}, STUBS)}}`;
    separator = ',';
  }
  yield `],"result":${parsed.kind === 'merge' ? resultText(db, entry.id, parsed.merged) : 'null'}}\n`;
}

function resultText(db: Database, id: string, rev: string): string {
  const record = db.get(id);
  const text = record && db.read(record, rev);
  return `{"rev":${quote(rev)},"doc":${text === undefined ? 'null' : shownText(text, {}, STUBS)}}`;
}

/** Puts the leaves of an entry back. */
async function undoEntry(exchange: Exchange, db: Database): Promise<void> {
  await requireNothing(exchange);
  const { revs, entry } = await undo(db, numberOf(exchange), exchange.user.name);
  exchange.json(201, JSON.stringify({ ok: true, revs, journal: entry }));
}

/** Nothing may be said of how: who thinks that it is heeded is to learn that it is not. @throws CouchError 400 */
async function requireNothing(exchange: Exchange): Promise<void> {
  const text = await exchange.bodyText();
  if (text.trim() === '') return;
  const members = await membersInTurns(text);
  if (members === undefined) throw badRequest('Request body must be a JSON object');
  const [name] = members.keys();
  if (name !== undefined) throw badRequest(`There is no member ${quote(name)} of an undo.`);
}

const shown = ({ number, id, time, text }: JournalEntry): object => ({
  number,
  id,
  time: new Date(time).toISOString(),
  ...parseEntry(text),
});

/** @throws CouchError 404 */
function numberOf(exchange: Exchange): number {
  const number = integer(exchange.param('number'));
  if (number === undefined || number < 1 || !Number.isSafeInteger(number)) throw noEntry();
  return number;
}

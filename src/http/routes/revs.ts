import type { AddResource } from './index.js';
import { inOrder } from './open-revs.js';
import { badRequest } from '../../errors.js';
import { inChunks } from '../../json/chunks.js';
import { JsonReader } from '../../json/reader.js';
import { inTurns, type Work } from '../../json/turns.js';
import { parseRev } from '../../store/document.js';
import { requireColon } from '../../store/partitions.js';
import type { Database } from '../../store/types/database.js';
import type { DocumentRecord } from '../../store/types/records.js';
import type { Exchange } from '../exchange.js';
import { json, onDatabase } from '../resource.js';
import { sendStream } from '../stream.js';

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
const revsDiff = (exchange: Exchange, db: Database): Promise<void> =>
  answer(exchange, db, { head: '{', before: '{"missing":', after: ancestorsOf, tail: '}\n' });

const missingRevs = (exchange: Exchange, db: Database): Promise<void> =>
  answer(exchange, db, { head: '{"missing_revs":{', before: '', after: () => '', tail: '}}\n' });

/** The answer's text around its members, and around the list of revisions in one of them. */
interface Form {
  readonly head: string;
  readonly before: string;
  after(document: Missing): string;
  readonly tail: string;
}

/** A document of which some revisions are not here. */
interface Missing {
  readonly id: string;
  readonly record: DocumentRecord | undefined;
  readonly missing: readonly string[];
}

/** The answer to a body of more characters is sent piece by piece: it is about as long. */
const LONG = 100_000;

/** Documents looked up at a time. */
const PAGE = 500;

/** Documents between two moments at which others may have their turn. */
const STRIDE = 32;

const NONE: readonly string[] = [];

/** More revisions of one document than these are not put in order. */
const ORDERED = 10_000;

type Asked = ReadonlyMap<string, readonly string[]>;

async function answer(exchange: Exchange, db: Database, form: Form): Promise<void> {
  const { asked, long } = await readAsked(exchange);
  for (const id of db.isPartitioned ? asked.keys() : NONE) requireColon(db, id);
  if (long) {
    await sendStream(exchange, () => texts(db, asked, form));
    return;
  }
  let text = '';
  for await (const part of texts(db, asked, form)) text += part;
  exchange.send(200, 'application/json', text);
}

async function* texts(db: Database, asked: Asked, form: Form): AsyncGenerator<string> {
  let before = form.head;
  for (const page of pagesOf(asked)) {
    const found = await missingOf(db, page);
    if (found.length === 0) continue;
    yield before;
    yield* inChunks(membersOf(found, form));
    before = ',';
  }
  yield before === form.head ? form.head + form.tail : form.tail;
}

function* pagesOf(asked: Asked): Generator<Asked> {
  let page = new Map<string, readonly string[]>();
  for (const [id, revs] of asked) {
    page.set(id, revs);
    if (page.size < PAGE) continue;
    yield page;
    page = new Map();
  }
  if (page.size > 0) yield page;
}

async function missingOf(db: Database, asked: Asked): Promise<readonly Missing[]> {
  const records = await db.getMany(Array.from(asked.keys()));
  return await inTurns(compare(asked, records));
}

function* compare(asked: Asked, records: readonly (DocumentRecord | undefined)[]): Work<readonly Missing[]> {
  const found: Missing[] = [];
  let at = 0;
  for (const [id, revs] of asked) {
    const record = records[at++];
    if (at % STRIDE === 0) yield;
    const missing = record === undefined ? revs : yield* without(record, revs);
    if (missing.length > 0) found.push({ id, record, missing });
  }
  return found;
}

function* without(record: DocumentRecord, revs: readonly string[]): Work<readonly string[]> {
  const [only] = revs;
  if (revs.length === 1 && only !== undefined) return record.has(only) ? NONE : revs;
  const missing: string[] = [];
  for (const rev of revs.length > ORDERED ? new Set(revs) : inOrder(revs)) {
    if (!record.has(rev)) missing.push(rev);
    yield;
  }
  return missing;
}

function* membersOf(found: readonly Missing[], form: Form): Generator<string> {
  let separator = '';
  for (const document of found) {
    const { id, missing } = document;
    const start = `${separator}${JSON.stringify(id)}:${form.before}[${JSON.stringify(missing[0])}`;
    separator = ',';
    if (missing.length === 1) {
      yield `${start}]${form.after(document)}`;
      continue;
    }
    yield start;
    for (let at = 1; at < missing.length; at++) yield `,${JSON.stringify(missing[at])}`;
    yield `]${form.after(document)}`;
  }
}

function ancestorsOf({ record, missing }: Missing): string {
  const ancestors = record?.possibleAncestors(newestOf(missing)) ?? NONE;
  return ancestors.length === 0 ? '}' : `,"possible_ancestors":${JSON.stringify(ancestors)}}`;
}

async function readAsked(exchange: Exchange): Promise<{ readonly asked: Asked; readonly long: boolean }> {
  const text = await exchange.bodyText();
  return { asked: await inTurns(parseAsked(text)), long: text.length > LONG };
}

/** The body, `{id: [rev, …], …}`. @throws CouchError, JsonError */
function* parseAsked(text: string): Work<Asked> {
  return (yield* parsePlain(text)) ?? (yield* parseAny(text));
}

/** A member as replicators send it: an id without escapes, and revisions in the form in which they are stored. */
const MEMBER =
  /"([ !#-[\]-\uffff]*)":\["([1-9][0-9]{0,14}-[0-9a-f]{32}(?:","[1-9][0-9]{0,14}-[0-9a-f]{32}){0,100})"\]([,}])/y;

/** The body where all of its members are so, in a quarter of the time; undefined where they are not. */
function* parsePlain(text: string): Work<Asked | undefined> {
  if (!text.startsWith('{')) return undefined;
  const asked = new Map<string, readonly string[]>();
  for (let at = 1, count = 1; ; count++) {
    MEMBER.lastIndex = at;
    const [, id, revs, next] = MEMBER.exec(text) ?? [];
    if (id === undefined || revs === undefined) return undefined;
    at = MEMBER.lastIndex;
    asked.set(id, revs.split('","'));
    if (next === '}') return at === text.length ? asked : undefined;
    if (count % STRIDE === 0) yield;
  }
}

function* parseAny(text: string): Work<Asked> {
  try {
    return yield* parseMembers(new JsonReader(text));
  } catch (error) {
    // What is no JSON is refused as that, even if it goes wrong behind what asks for nothing.
    const reader = new JsonReader(text);
    yield* reader.skip();
    reader.end();
    throw error;
  }
}

function* parseMembers(reader: JsonReader): Work<Asked> {
  if (reader.peek() !== 'object') throw badRequest('Request body must be a JSON object');
  const asked = new Map<string, readonly string[]>();
  reader.openObject();
  for (let id = reader.nextMember(); id !== undefined; id = reader.nextMember()) {
    asked.set(id, yield* readRevs(reader));
    yield;
  }
  reader.end();
  return asked;
}

function* readRevs(reader: JsonReader): Work<readonly string[]> {
  if (reader.peek() !== 'array') throw badRequest('Invalid list of revisions');
  const revs: string[] = [];
  reader.openArray();
  while (reader.nextElement()) {
    revs.push(parseRev(reader.readValue()));
    yield;
  }
  return revs;
}

/** The highest generation; a request may name more revisions than a call takes arguments. */
function newestOf(revs: readonly string[]): number {
  let newest = 0;
  for (const rev of revs) newest = Math.max(newest, Number(rev.slice(0, rev.indexOf('-'))));
  return newest;
}

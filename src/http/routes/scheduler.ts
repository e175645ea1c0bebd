import { NODE } from './server.js';
import type { AddResource } from './index.js';
import { badRequest, CouchError, notFound, queryParseError } from '../../errors.js';
import { isReplicatorDatabase, membersOf, REPLICATOR } from '../../replicator/documents.js';
import {
  type Shown,
  shownEnd,
  shownJob,
  shownScheduled,
  type ShownState,
  shownUnscheduled,
  STATES,
} from '../../replicator/shown.js';
import type { Database } from '../../store/types/database.js';
import type { Exchange } from '../exchange.js';
import { checkListQuery, emptyListQuery, idRange, readListQuery } from '../list-query.js';
import { integer } from '../query.js';
import { onServer, type ServerHandler } from '../resource.js';
import { CHUNK_SIZE, sendStream } from '../stream.js';
import { decodeSegment } from '../url.js';

/** Jobs that are shown where nobody says how many. */
const LIMIT = 100;

export function schedulerRoutes(add: AddResource): void {
  const other = onServer('serverAdmin');
  const route = (path: string, run: ServerHandler): void =>
    add({ path, allow: 'GET,HEAD', methods: { GET: onServer('serverAdmin', run) }, other });
  route('/_scheduler', unknown);
  route('/_scheduler/*', unknown);
  route('/_scheduler/jobs', jobs);
  route('/_scheduler/jobs/*', job);
  route('/_scheduler/docs', (exchange) => documentsOf(exchange, REPLICATOR));
  route('/_scheduler/docs/*', documents);
}

/** CouchDB says it in its own way here. */
function unknown(exchange: Exchange): void {
  exchange.json(404, '{"error":"not found"}');
}

// ---- jobs -----------------------------------------------------------------------------------------------------

function jobs(exchange: Exchange): void {
  const limit = count(exchange, 'limit', LIMIT);
  const skip = count(exchange, 'skip', 0);
  const all = exchange.server.replicator
    .jobs()
    .toSorted((a, b) => (a.spec.id.full < b.spec.id.full ? -1 : 1));
  const offset = Math.min(skip, all.length);
  const shown = all.slice(offset, offset + limit).map((one) => shownJob(one, NODE));
  exchange.json(200, JSON.stringify({ total_rows: all.length, offset, jobs: shown }));
}

function count(exchange: Exchange, name: string, absent: number): number {
  const text = exchange.parameter(name);
  const value = text === undefined ? absent : integer(text);
  if (value === undefined) throw queryParseError(`${name} must be an integer`);
  if (value < 0) throw queryParseError(`${name} not in range of [0,infinity]`);
  return value;
}

function job(exchange: Exchange): void {
  const [id = '', ...more] = segments(exchange);
  if (more.length > 0) {
    unknown(exchange);
    return;
  }
  // A `+` that was not encoded means a space, which is in no id.
  const found = exchange.server.replicator.job(id.replaceAll(' ', '+'));
  if (found === undefined) throw notFound();
  exchange.json(200, JSON.stringify(shownJob(found, NODE)));
}

// ---- documents ------------------------------------------------------------------------------------------------

function documents(exchange: Exchange): Promise<void> {
  const { database, id } = placeIn(segments(exchange));
  return id === undefined ? documentsOf(exchange, database) : documentOf(exchange, database, id);
}

/** The slashes in the name of a database need not be encoded. @throws CouchError 400 */
function placeIn([first = '', ...rest]: readonly string[]): { database: string; id: string | undefined } {
  const parts = isReplicatorDatabase(first) ? [REPLICATOR, ...rest] : [first, ...rest];
  const end = parts.indexOf(REPLICATOR);
  const [id, ...more] = parts.slice(end + 1);
  if (end < 0 || more.length > 0) throw badRequest('Invalid path');
  return { database: isReplicatorDatabase(first) ? first : parts.slice(0, end + 1).join('/'), id };
}

async function documentOf(exchange: Exchange, database: string, id: string): Promise<void> {
  if (id.startsWith('_')) throw badRequest('Invalid path');
  const shown = await exchange.server.databases.use(database, (db) => shownDocument(exchange, db, id));
  if (shown === undefined) throw notFound();
  exchange.json(200, JSON.stringify(shown));
}

function shownDocument(exchange: Exchange, db: Database, id: string): Shown | undefined {
  const record = db.get(id);
  if (record === undefined || record.deleted) return undefined;
  return shownFrom(exchange, db.name, id, db.read(record, record.winner));
}

/** @param text of the document, which knows better than the scheduler how it ended */
function shownFrom({ server }: Exchange, database: string, id: string, text = '{}'): Shown | undefined {
  const end = shownEnd(database, id, membersOf(text));
  if (end !== undefined) return end;
  const found = server.replicator.document({ database, id });
  if (found === undefined) return undefined;
  return 'spec' in found ? shownScheduled(found, NODE) : shownUnscheduled(database, id, found, NODE);
}

function documentsOf(exchange: Exchange, database: string): Promise<void> {
  const query = readListQuery(emptyListQuery(), exchange.query);
  checkListQuery(query);
  const states = statesIn(exchange.parameter('states'));
  const { skip, limit } = query;
  const range = idRange({ ...query, skip: 0, limit: Infinity });
  return exchange.server.databases.use(database, (db) =>
    sendStream(exchange, () => rows(exchange, db, range, { states, skip, limit })),
  );
}

interface Choice {
  /** None stands for all. */
  readonly states: ReadonlySet<unknown>;
  readonly skip: number;
  readonly limit: number;
}

async function* rows(
  exchange: Exchange,
  db: Database,
  range: ReturnType<typeof idRange>,
  { states, skip, limit }: Choice,
): AsyncGenerator<string> {
  const { total, offset, pages } = await db.list({ ...range, bodies: true });
  let chunk = `{"total_rows":${total},"offset":${Math.min(total, offset + skip)},"docs":[\r\n`;
  let separator = '';
  let at = 0;
  for await (const page of pages) {
    if (at >= skip + limit) break;
    for (const { id, text } of page) {
      const shown = id.startsWith('_design/') ? undefined : shownFrom(exchange, db.name, id, text);
      if (shown === undefined || (states.size > 0 && !states.has(shown.state))) continue;
      if (at >= skip && at < skip + limit) {
        chunk += separator + JSON.stringify(shown);
        separator = ',\r\n';
      }
      at++;
      if (chunk.length < CHUNK_SIZE) continue;
      yield chunk;
      chunk = '';
    }
  }
  yield `${chunk}\r\n]}\n`;
}

/** @throws CouchError 400 */
function statesIn(text = ''): ReadonlySet<unknown> {
  const names = text.split(',').filter((name) => name !== '');
  const states = names.map((name) => name.toLowerCase());
  if (!states.every((state) => STATES.includes(state as ShownState)))
    throw queryParseError(`States must be one or more of [${STATES.join(',')}]`);
  return new Set(states);
}

/** What stands in the path behind `/_scheduler/jobs/` or `/_scheduler/docs/`. @throws CouchError 400 */
function segments({ request }: Exchange): readonly string[] {
  const [path = ''] = (request.url ?? '').split('?', 1);
  return path.split('/').slice(3).map(decoded);
}

function decoded(segment: string): string {
  const text = decodeSegment(segment);
  if (text === undefined) throw new CouchError(400, 'bad_request', 'invalid UTF-8 in the path');
  return text;
}

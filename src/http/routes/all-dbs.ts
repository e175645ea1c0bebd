import { databaseInfo } from './info.js';
import type { AddResource } from './index.js';
import { badRequest, CouchError, queryParseError } from '../../errors.js';
import { parseJson } from '../../json/text.js';
import { etagOf, matches } from '../etag.js';
import type { Exchange } from '../exchange.js';
import { checkListQuery, emptyListQuery, idRange, keysOf, readListQuery } from '../list-query.js';
import { json, onServer } from '../resource.js';
import { sendStream } from '../stream.js';

export function allDbsRoutes(add: AddResource): void {
  add({
    path: '/_all_dbs',
    allow: 'GET,HEAD',
    methods: { GET: onServer('databases', allDbs) },
    other: onServer('databases'),
  });
  add({
    path: '/_dbs_info',
    allow: 'GET,HEAD,POST',
    methods: { GET: onServer('databases', infos), POST: json(onServer('databases', infosOfKeys)) },
    other: onServer('databases'),
  });
}

function allDbs(exchange: Exchange): void {
  const body = JSON.stringify(selected(exchange));
  const etag = etagOf(body);
  if (matches(exchange.header('if-none-match'), etag)) exchange.empty(304, ['ETag', etag]);
  else exchange.json(200, body, ['ETag', etag]);
}

/** The names of databases that the parameters of the URL choose, in their order. */
function selected(exchange: Exchange): string[] {
  const query = readListQuery(emptyListQuery(), exchange.query);
  checkListQuery(query);
  if (query.keys !== undefined) throw queryParseError('`keys` cannot choose databases.');
  const { start, end, inclusiveEnd, descending, skip = 0, limit } = idRange(query);
  const names = descending ? exchange.server.databases.list().toReversed() : exchange.server.databases.list();
  const isBefore = (a: string, b: string): boolean => (descending ? a > b : a < b);
  const chosen = names.filter(
    (name) =>
      (start === undefined || !isBefore(name, start)) &&
      (end === undefined || isBefore(name, end) || (inclusiveEnd === true && name === end)),
  );
  return chosen.slice(skip, limit === undefined ? undefined : skip + limit);
}

async function infos(exchange: Exchange): Promise<void> {
  const names = selected(exchange);
  await sendStream(exchange, () => rows(exchange, names, false));
}

async function infosOfKeys(exchange: Exchange): Promise<void> {
  const given = (await exchange.bodyMembers()).get('keys');
  if (given === undefined) throw badRequest('`keys` member must exist.');
  const keys = keysOf(parseJson(given), 'member');
  if (keys.length > exchange.server.config.limits.maxDbNumberForDbsInfoReq) throw badRequest('too_many_keys');
  await sendStream(exchange, () => rows(exchange, keys, true));
}

/** One row for each database; missing ones are told of only where they were asked for by name. */
async function* rows(
  exchange: Exchange,
  names: readonly unknown[],
  missing: boolean,
): AsyncGenerator<string, void, undefined> {
  let separator = '[';
  for (const name of names) {
    const info = typeof name === 'string' ? await infoOf(exchange, name) : undefined;
    if (info === undefined && !missing) continue;
    const rest = info === undefined ? '"error":"not_found"' : `"info":${info}`;
    yield `${separator}{"key":${JSON.stringify(name)},${rest}}`;
    separator = ',';
  }
  yield separator === '[' ? '[]\n' : ']\n';
}

async function infoOf(exchange: Exchange, name: string): Promise<string | undefined> {
  try {
    return await exchange.server.databases.use(name, databaseInfo);
  } catch (error) {
    if (error instanceof CouchError && error.status === 404) return undefined;
    throw error;
  }
}

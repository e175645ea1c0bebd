import { databaseInfo } from './info.js';
import type { AddResource } from './index.js';
import { badRequest, CouchError, queryParseError } from '../../errors.js';
import { parseJson } from '../../json/text.js';
import type { Asking } from '../../upstream/upstream.js';
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

async function allDbs(exchange: Exchange): Promise<void> {
  const body = JSON.stringify(await selected(exchange));
  const etag = etagOf(body);
  if (matches(exchange.header('if-none-match'), etag)) exchange.empty(304, ['ETag', etag]);
  else exchange.json(200, body, ['ETag', etag]);
}

/** The names of databases that the parameters of the URL choose, in their order. */
async function selected(exchange: Exchange): Promise<string[]> {
  const query = readListQuery(emptyListQuery(), exchange.query);
  checkListQuery(query);
  if (query.keys !== undefined) throw queryParseError('`keys` cannot choose databases.');
  const { start, end, inclusiveEnd, descending, skip = 0, limit } = idRange(query);
  const all = await allNames(exchange);
  const names = descending ? all.toReversed() : all;
  const isBefore = (a: string, b: string): boolean => (descending ? a > b : a < b);
  const chosen = names.filter(
    (name) =>
      (start === undefined || !isBefore(name, start)) &&
      (end === undefined || isBefore(name, end) || (inclusiveEnd === true && name === end)),
  );
  return chosen.slice(skip, limit === undefined ? undefined : skip + limit);
}

/** Those here, and those at the upstream that the rules cover. */
async function allNames(exchange: Exchange): Promise<readonly string[]> {
  const { databases, mirrors } = exchange.server;
  const isHere = (name: string): boolean => mirrors.placeOf(name) === 'here';
  const there = (await askingFor(exchange).names()).filter((name) => !isHere(name));
  const here = databases.list().filter(isHere);
  return there.length === 0 ? here : [...here, ...there].sort();
}

const askingFor = ({ server, user, authMethod, request }: Exchange): Asking =>
  server.upstream.asking({ user, method: authMethod }, request.headers);

async function infos(exchange: Exchange): Promise<void> {
  const names = await selected(exchange);
  await sendStream(exchange, () => rows(exchange, names, false));
}

async function infosOfKeys(exchange: Exchange): Promise<void> {
  const given = (await exchange.bodyMembers()).get('keys');
  if (given === undefined) throw badRequest('`keys` member must exist.');
  const keys = keysOf(parseJson(given), 'member');
  if (keys.length > exchange.server.config.limits.maxDbNumberForDbsInfoReq) throw badRequest('too_many_keys');
  await sendStream(exchange, () => rows(exchange, keys, true));
}

/** So many databases are asked about at once. */
const AT_ONCE = 8;

/** One row for each database; missing ones are told of only where they were asked for by name. */
async function* rows(
  exchange: Exchange,
  names: readonly unknown[],
  missing: boolean,
): AsyncGenerator<string, void, undefined> {
  const asking = askingFor(exchange);
  let separator = '[';
  for (let at = 0; at < names.length; at += AT_ONCE) {
    const some = names.slice(at, at + AT_ONCE);
    const members = await Promise.all(some.map((name) => memberOf(exchange, asking, name)));
    for (const [index, member] of members.entries()) {
      if (member === undefined && !missing) continue;
      yield `${separator}{"key":${JSON.stringify(some[index])},${member ?? '"error":"not_found"'}}`;
      separator = ',';
    }
  }
  yield separator === '[' ? '[]\n' : ']\n';
}

/** What is said about a database; undefined where there is none. */
async function memberOf(exchange: Exchange, asking: Asking, name: unknown): Promise<string | undefined> {
  const { databases, mirrors } = exchange.server;
  if (typeof name !== 'string') return undefined;
  const isThere = mirrors.placeOf(name) === 'there';
  try {
    return `"info":${await (isThere ? asking.infoOf(name) : databases.use(name, databaseInfo))}`;
  } catch (error) {
    if (!(error instanceof CouchError) || (error.status !== 404 && !isThere)) throw error;
    return error.status === 404 ? undefined : `"error":${JSON.stringify(error.error)}`;
  }
}

import { invalidJson } from '../errors.js';
import { quote } from '../json/quote.js';
import { normalise } from '../json/text.js';
import type { Database } from '../store/types/database.js';
import { readBody, tooLarge } from './body.js';
import type { Exchange } from './exchange.js';
import { parseQuery, type Query } from './query.js';
import { databaseInfo } from './routes/info.js';
import { decodeSegment } from './url.js';

/** What CouchDB has in the place of a body that was not sent. */
const NO_BODY = 'undefined';

/**
 * The body of a request, whatever it is, of as many bytes as a document may have: it comes to a function as one text.
 * Undefined where none is sent. @throws CouchError 408, 413, ClientGone
 */
export async function anyBody(exchange: Exchange): Promise<Buffer | undefined> {
  const { 'content-length': length, 'transfer-encoding': coding } = exchange.headers;
  if (length === undefined && coding === undefined) return undefined;
  return readBody(exchange.incoming, Math.min(exchange.maxText, exchange.server.documents.maxSize));
}

/** The body of a request to a show or update function, as that sees it, and the form that it may be. */
export interface SeenBody {
  readonly body: string;
  readonly form: string;
}

/** Reading a form is not interrupted: it has at most so many bytes, and so many fields. */
const MAX_FORM = 1024 * 1024;
const MAX_FIELDS = 10_000;

/** @throws CouchError 400 for a form that is not UTF-8, 413 */
export function seenBody(exchange: Exchange, bytes: Buffer | undefined): SeenBody {
  const body = bytes?.toString('utf8');
  const isForm = exchange.header('content-type')?.startsWith('application/x-www-form-urlencoded');
  return {
    body: quote(body ?? NO_BODY),
    form: isForm === true && body !== undefined ? formOf(body) : '{}',
  };
}

function formOf(body: string): string {
  if (body.length > MAX_FORM || body.split(/[&;]/, MAX_FIELDS + 1).length > MAX_FIELDS) throw tooLarge();
  return objectOf(parseQuery(body), quote);
}

export const NOTHING_SENT: SeenBody = { body: quote(NO_BODY), form: '{}' };

/**
 * A request as JSON, as functions of design documents see it: without anything by which its user could be taken for
 * somebody else.
 * @param id the document that the path names
 * @throws CouchError 400
 */
export async function requestObject(
  exchange: Exchange,
  db: Database,
  id: string | undefined,
  { body, form }: SeenBody,
): Promise<string> {
  const head = {
    info: await databaseInfo(db),
    uuid: quote(exchange.server.uuids.next()),
    id: id === undefined ? 'null' : quote(id),
  };
  return object([...Object.entries(head), ...plain(exchange), ['body', body], ...asker(exchange, db, form)]);
}

/** The same for `rewrites` functions, which see less. @throws CouchError 400 */
export const rewriteObject = (exchange: Exchange, db: Database, bytes: Buffer | undefined): string =>
  object([
    ...plain(exchange),
    ['body', quote(bytes?.toString('utf8') ?? NO_BODY)],
    ...asker(exchange, db, undefined),
  ]);

type Members = readonly (readonly [name: string, json: string])[];

const object = (members: Members): string =>
  `{${members.map(([name, json]) => `${quote(name)}:${json}`).join(',')}}`;

function plain(exchange: Exchange): Members {
  const { url, method, query } = exchange;
  const [path = ''] = url.split('?', 1);
  return [
    // HEAD is a GET of which only the head is sent.
    ['method', quote(method === 'HEAD' ? 'GET' : method)],
    ['requested_path', JSON.stringify(partsOf(url))],
    ['path', JSON.stringify(partsOf(path))],
    ['raw_path', quote(url)],
    ['query', objectOf(query, (value, key) => (JSON_PARAMETERS.has(key) ? jsonOf(value) : quote(value)))],
    ['headers', object(seenHeaders(exchange))],
  ];
}

function asker({ address, user }: Exchange, db: Database, form: string | undefined): Members {
  return [
    ['peer', quote(address)],
    ...(form === undefined ? [] : [['form', form] as const]),
    ['cookie', '{}'],
    ['userCtx', JSON.stringify({ db: db.name, name: user.name, roles: user.roles })],
    ['secObj', db.security],
  ];
}

const partsOf = (path: string): string[] =>
  path
    .split('/')
    .filter((part) => part !== '')
    .map((part) => decodeSegment(part) ?? part);

// ---- the query ------------------------------------------------------------------------------------------------

/** Parameters that functions get as values; all others are text. */
export const JSON_PARAMETERS: ReadonlySet<string> = new Set(['key', 'startkey', 'endkey', 'descending']);

/** @throws CouchError 400 */
export function jsonOf(text: string): string {
  try {
    return normalise(text);
  } catch {
    throw invalidJson();
  }
}

/** Of several values of a key the last one counts. */
function objectOf(query: Query, valueOf: (value: string, key: string) => string): string {
  return object([...new Map(query.map(([key, value]) => [key, valueOf(value, key)]))]);
}

// ---- headers --------------------------------------------------------------------------------------------------

/** Each word of their names begins with a capital, as CouchDB shows them. */
function seenHeaders({ headers, server }: Exchange): Members {
  const { usernameHeader, rolesHeader, tokenHeader } = server.config.proxy;
  const secret = new Set([...CREDENTIALS, ...[usernameHeader, rolesHeader, tokenHeader].map(lower)]);
  return Object.entries(headers)
    .filter(([name]) => !secret.has(name))
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, value]) => [capitals(name), quote(utf8([value ?? ''].flat().join(', ')))]);
}

const CREDENTIALS = [
  'authorization',
  'cookie',
  'proxy-authorization',
  'x-auth-couchdb-username',
  'x-auth-couchdb-roles',
  'x-auth-couchdb-token',
];

const lower = (name: string): string => name.toLowerCase();
const capitals = (name: string): string => name.replace(/(?<=^|-)[a-z]/g, (c) => c.toUpperCase());

/** Node gives the bytes of headers as Latin-1. */
const utf8 = (value: string): string => Buffer.from(value, 'latin1').toString('utf8');

import { parseBasic } from '../auth/basic.js';
import { CouchError } from '../errors.js';
import { requireDatabaseName } from '../store/names.js';
import { InvalidReplication } from './invalid.js';

/** One side of a replication, as it was named. */
export interface Endpoint {
  /** Of the database; ends with `/`, and holds no credentials: it may be shown. */
  readonly url: string;
  /** Sent with each request, credentials among them: never shown, never logged. Names are in lower case. */
  readonly headers: Readonly<Record<string, string>>;
  /** Whose credentials they are. */
  readonly user: string | null;
  /** The name of a database of this server that was named so, without a URL: it is used as whoever asked may use it. */
  readonly database?: string;
}

/** The endpoint that a name without a URL means. */
export type NameResolver = (name: string) => Endpoint;

/**
 * @param value a URL, an object with `url`, `headers` and `auth`, or a name
 * @param resolve what names mean; left out where there are to be none
 * @throws InvalidReplication
 */
export function parseEndpoint(value: unknown, resolve?: NameResolver): Endpoint {
  if (value === undefined) throw InvalidReplication.error('Missing replicator database');
  if (typeof value === 'string') return isUrl(value) ? remote(value, {}) : named(value, resolve);
  if (!isObject(value) || typeof value.url !== 'string') throw InvalidReplication.endpoint();
  return isUrl(value.url) ? remote(value.url, value) : namedBesides(value.url, resolve);
}

function named(name: string, resolve: NameResolver | undefined): Endpoint {
  if (resolve === undefined) throw InvalidReplication.error('local_endpoints_not_supported');
  requireName(name);
  return resolve(name);
}

/** CouchDB takes a name in an object where it takes names. */
function namedBesides(name: string, resolve: NameResolver | undefined): Endpoint {
  if (resolve === undefined) throw InvalidReplication.endpoint();
  requireName(name);
  return resolve(name);
}

/** What may be told of a misspelt name: it cannot be a URL of whatever form, which may hold a password. */
const TELLABLE = /^[\w .$()+/-]{0,1000}$/;

/** What no database may be called is an error in itself, not one that is not there. @throws InvalidReplication */
function requireName(name: string): void {
  if (!TELLABLE.test(name)) throw InvalidReplication.endpoint();
  try {
    requireDatabaseName(name);
  } catch (error) {
    throw error instanceof CouchError ? InvalidReplication.because(error) : error;
  }
}

const isUrl = (text: string): boolean => /^https?:\/\//i.test(text);

function remote(text: string, given: Readonly<Record<string, unknown>>): Endpoint {
  const url = parseUrl(text);
  const headers = headersIn(given.headers);
  const credentials = basicIn(given.auth) ?? userinfo(url);
  url.username = url.password = url.hash = '';
  if (!url.pathname.endsWith('/')) url.pathname += '/';
  if (credentials === undefined) return { url: url.href, headers, user: userOf(headers.authorization) };
  const authorization = basic(credentials);
  return { url: url.href, headers: { ...headers, authorization }, user: credentials.name };
}

function parseUrl(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  // A query would have to stand behind the path of every request.
  if (url?.search !== '') throw InvalidReplication.endpoint();
  return url;
}

interface NamedPassword {
  readonly name: string;
  readonly password: string;
}

function basicIn(auth: unknown): NamedPassword | undefined {
  if (auth === undefined) return undefined;
  if (!isObject(auth)) throw InvalidReplication.member('parameter `auth` must be an object');
  const { basic } = auth;
  if (basic === undefined) return undefined;
  const { username: name, password } = isObject(basic) ? basic : {};
  if (typeof name !== 'string' || typeof password !== 'string')
    throw InvalidReplication.member('parameter `auth.basic` must have a username and a password');
  return { name, password };
}

function userinfo({ username, password }: URL): NamedPassword | undefined {
  if (username === '') return undefined;
  try {
    return { name: decodeURIComponent(username), password: decodeURIComponent(password) };
  } catch {
    throw InvalidReplication.endpoint();
  }
}

/** What is sent is what was given; whose it is tells replications apart. */
function userOf(header: string | undefined): string | null {
  try {
    return parseBasic(header)?.name ?? null;
  } catch {
    return null;
  }
}

const basic = ({ name, password }: NamedPassword): string =>
  `Basic ${Buffer.from(`${name}:${password}`).toString('base64')}`;

/** What belongs to a connection, or says where a request goes: that is ours to say. */
const OURS = new Set([
  'connection',
  'content-encoding',
  'content-length',
  'expect',
  'host',
  'keep-alive',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
]);
const HEADER_NAME = /^[\w!#$%&'*+.^`|~-]{1,256}$/;
const HEADER_VALUE = /^[\t\x20-\x7e\x80-\xff]{0,16384}$/;
const MOST_HEADERS = 100;

function headersIn(given: unknown): Record<string, string> {
  if (given === undefined) return {};
  if (!isObject(given)) throw InvalidReplication.member('parameter `headers` must be an object');
  const entries = Object.entries(given);
  if (entries.length > MOST_HEADERS)
    throw InvalidReplication.member(`parameter \`headers\` must have at most ${MOST_HEADERS} members`);
  return Object.fromEntries(entries.map(([name, value]) => [name.toLowerCase(), headerValue(name, value)]));
}

function headerValue(name: string, value: unknown): string {
  if (!HEADER_NAME.test(name) || OURS.has(name.toLowerCase()))
    throw InvalidReplication.member(
      `header \`${name.slice(0, 100).replace(/[^\x20-\x7e]/g, '?')}\` cannot be sent`,
    );
  if (typeof value !== 'string' || !HEADER_VALUE.test(value))
    throw InvalidReplication.member(`header \`${name}\` must be a string`);
  return value;
}

/** What others than its owner may see of a `source` or `target`; also of one that makes no sense. */
export function withoutCredentials(value: unknown): unknown {
  if (typeof value === 'string') return withoutUserinfo(value);
  if (!isObject(value)) return null;
  const { url } = value;
  const shown = Object.entries(value).filter(([name]) => name !== 'headers' && name !== 'auth');
  return { ...Object.fromEntries(shown), ...(url !== undefined && { url: withoutCredentials(url) }) };
}

/** The name and password may hold anything, and stand anywhere, where the URL is none or of an unknown scheme. */
function withoutUserinfo(text: string): string | null {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const isBare = url?.username === '' && url.password === '';
  if (isBare && isUrl(text)) return text;
  if (url === undefined || isBare)
    return text.includes('@') ? text.slice(text.lastIndexOf('@') + 1) : TELLABLE.test(text) ? text : null;
  url.username = url.password = '';
  return url.href;
}

/** The URL of a `source` or `target` that may be shown to everybody; null where it is none. */
export function shownUrl(value: unknown): string | null {
  const text = isObject(value) ? value.url : value;
  if (typeof text !== 'string') return null;
  // What is no name may be a URL of an unknown scheme, with a password somewhere.
  if (!isUrl(text)) return typeof value === 'string' && TELLABLE.test(text) ? text : null;
  try {
    return remote(text, {}).url;
  } catch {
    return null;
  }
}

export const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

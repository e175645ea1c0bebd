import { createHmac } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import type { AuthMethod } from '../auth/auth.js';
import type { UserContext } from '../auth/usercontext.js';
import { type CouchError, forbidden } from '../errors.js';

/** What is between two neighbours only. */
const HOP_BY_HOP = [
  'connection',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
];

/** What clients cannot say to the upstream: who they are, and where they come from, is said by the gateway. */
const NOT_SENT_UP = new Set([
  ...HOP_BY_HOP,
  'host',
  'expect',
  'authorization',
  'cookie',
  'forwarded',
  'x-http-method-override',
]);
const NEVER_SENT_UP = /^x-(auth-couchdb|forwarded|real-ip)/;

/** What answers have of the gateway itself. */
const NOT_SENT_DOWN = new Set([...HOP_BY_HOP, 'set-cookie']);
/** Who may read an answer is for the gateway to say. */
const NEVER_SENT_DOWN = 'access-control-';

/** What requests name in `Via` that came through a gateway. @param uuid of the gateway */
export const passedBy = (uuid: string): string => `1.1 causeway-${uuid}`;

/** Who sends a request, and how that is known. */
export interface Sender {
  readonly user: UserContext;
  readonly method: AuthMethod | undefined;
}

/** Where a request came from, as the gateway knows it. */
export interface Origin {
  readonly address: string;
  readonly host: string | undefined;
  readonly isSecure: boolean;
}

/**
 * The headers of a request as the upstream gets them, names and values in turn.
 * @param secret for CouchDB's proxy authentication, where there is one
 * @param own the names of what a proxy in front of the gateway says to the gateway alone
 * @throws CouchError 403 for somebody whose credentials mean nothing there
 */
export function headersUp(
  headers: IncomingHttpHeaders,
  sender: Sender,
  { address, host, isSecure }: Origin,
  secret: string | undefined,
  own: readonly string[],
): string[] {
  const dropped = namedBy(headers.connection, own);
  const sent: string[] = [];
  for (const name in headers) {
    const value = headers[name];
    if (value === undefined || NOT_SENT_UP.has(name) || dropped.includes(name)) continue;
    if (name.startsWith('x-') && NEVER_SENT_UP.test(name)) continue;
    if (typeof value === 'string') sent.push(name, value);
    else for (const one of value) sent.push(name, one);
  }
  sent.push('x-forwarded-for', address, 'x-forwarded-proto', isSecure ? 'https' : 'http');
  if (host !== undefined) sent.push('x-forwarded-host', host);
  sent.push(...identity(headers, sender, secret));
  return sent;
}

/** What other headers belong to the connection, too, in lower case. @param more names besides them */
function namedBy(connection: string | undefined, more: readonly string[] = []): readonly string[] {
  // What nearly everybody says names nothing.
  const named =
    connection === undefined || /^(keep-alive|close)$/i.test(connection) ? [] : connection.split(',');
  return named.concat(more).map((name) => name.trim().toLowerCase());
}

/** Why the upstream cannot be told who sends a request; undefined where it can. */
export function whyUntold(
  { authorization }: IncomingHttpHeaders,
  { user: { name }, method }: Sender,
  secret: string | undefined,
): CouchError | undefined {
  if (name === null) return undefined;
  if (secret !== undefined)
    return isPlain(name)
      ? undefined
      : forbidden('The upstream cannot be told your name: no header can hold it.');
  if (method === 'default' && authorization !== undefined) return undefined;
  return forbidden(
    'The upstream cannot be told who you are: log in with a name and a password in each request (HTTP Basic), or an admin of this server can set upstream.proxySecretFile.',
  );
}

/** Says to the upstream who sends a request. @throws CouchError 403 */
export function identity(headers: IncomingHttpHeaders, sender: Sender, secret: string | undefined): string[] {
  const untold = whyUntold(headers, sender, secret);
  if (untold !== undefined) throw untold;
  const { name, roles } = sender.user;
  if (name === null) return [];
  if (secret !== undefined) {
    const bytes = Buffer.from(name);
    return [
      'x-auth-couchdb-username',
      bytes.toString('latin1'),
      'x-auth-couchdb-roles',
      Buffer.from(rolesThere(roles)).toString('latin1'),
      'x-auth-couchdb-token',
      createHmac('sha256', secret).update(bytes).digest('hex'),
    ];
  }
  return ['authorization', headers.authorization ?? ''];
}

/** An admin here is none there, nor are other roles of a server itself; a role with a comma would be two. */
const rolesThere = (roles: readonly string[]): string =>
  roles.filter((role) => !role.startsWith('_') && !role.includes(',') && isPlain(role)).join(',');

/** Whether a header holds a text as it is: spaces around it would be lost, so that it would be another one. */
const isPlain = (text: string): boolean => text === text.trim() && !/\p{Cc}/u.test(text);

/**
 * The headers of an answer as the client gets them.
 * @param locate what a place at the upstream is called here
 */
export function headersDown(headers: readonly string[], locate: (location: string) => string): string[] {
  const sent: string[] = [];
  const dropped = namedBy(valueOf(headers, 'connection'));
  for (let at = 0; at + 1 < headers.length; at += 2) {
    const given = headers[at] ?? '';
    const value = headers[at + 1] ?? '';
    const name = given.toLowerCase();
    if (NOT_SENT_DOWN.has(name) || name.startsWith(NEVER_SENT_DOWN) || dropped.includes(name)) continue;
    sent.push(given, name === 'location' ? locate(value) : value);
  }
  return sent;
}

/** Of headers that are names and values in turn. */
function valueOf(headers: readonly string[], name: string): string | undefined {
  for (let at = 0; at + 1 < headers.length; at += 2)
    if (headers[at]?.toLowerCase() === name) return headers[at + 1];
  return undefined;
}

/** The same as an object, where no name is there twice. */
export function pairsOf(headers: readonly string[]): Record<string, string> {
  const pairs: Record<string, string> = {};
  for (let at = 0; at + 1 < headers.length; at += 2) pairs[headers[at] ?? ''] = headers[at + 1] ?? '';
  return pairs;
}

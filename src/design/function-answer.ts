import { CouchError } from '../errors.js';
import { isObject, type Json } from './values.js';

/** What a function of a design document answers a client. */
export interface FunctionAnswer {
  /** Undefined where it leaves it open. */
  readonly status: number | undefined;
  readonly type: string;
  /** Names and values in turn. */
  readonly headers: readonly string[];
  readonly body: Buffer;
}

/** What a client would be told by CouchDB, where it is told anything. */
const invalid = (what: string): CouchError =>
  new CouchError(500, 'external_response_error', `Invalid data from external server: ${what}`);

const HTML = 'text/html; charset=utf-8';

/** @param json an object with `code`, `headers` and one of `body`, `json`, `base64`. @throws CouchError 500 */
export function readAnswer(json: string): FunctionAnswer {
  const value = JSON.parse(json) as unknown;
  if (!isObject(value)) throw invalid(JSON.stringify(value));
  let status: number | undefined;
  let given: Json = {};
  let content: Pick<FunctionAnswer, 'type' | 'body'> = { type: 'application/json', body: Buffer.alloc(0) };
  // The last of several says what is sent.
  for (const [name, member] of Object.entries(value)) {
    if (name === 'code') status = readStatus(member);
    else if (name === 'headers') given = readObject(name, member);
    else if (name === 'json') {
      content = { type: 'application/json', body: Buffer.from(`${JSON.stringify(member)}\n`) };
    } else if (name === 'body') content = { type: HTML, body: Buffer.from(readText(name, member)) };
    else if (name === 'base64') content = { type: 'application/binary', body: readBase64(member) };
    else if (name !== 'stop' || member !== true) throw invalid(name);
  }
  const { type, headers } = readHeaders(Object.entries(given));
  return { status, headers, body: content.body, type: type ?? content.type };
}

function readStatus(value: unknown): number {
  const status = typeof value === 'string' && /^[0-9]{3}$/.test(value) ? Number(value) : value;
  if (!Number.isInteger(status) || Number(status) < 200 || Number(status) > 999) throw invalid('code');
  return Number(status);
}

function readObject(name: string, value: unknown): Json {
  if (!isObject(value)) throw invalid(name);
  return value;
}

function readText(name: string, value: unknown): string {
  if (typeof value !== 'string') throw invalid(name);
  return value;
}

function readBase64(value: unknown): Buffer {
  const text = readText('base64', value);
  if (!/^[A-Za-z0-9+/\s]*={0,2}\s*$/.test(text)) throw invalid('base64');
  return Buffer.from(text, 'base64');
}

// ---- headers --------------------------------------------------------------------------------------------------

const NAME = /^[\w!#$%&'*+.^`|~-]+$/;
const VALUE = /^[\t\x20-\x7e\x80-\xff]*$/;

/**
 * Headers that are the server's: where the answer ends, what may be done with it, and what browsers are told about all
 * of its pages. Whoever may write a design document does not speak for the server.
 */
const SERVERS = new Set([
  'alt-svc',
  'clear-site-data',
  'connection',
  'content-length',
  'content-security-policy',
  'date',
  'etag',
  'keep-alive',
  'proxy-connection',
  'public-key-pins',
  'server',
  'strict-transport-security',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'vary',
  'x-content-type-options',
  'x-couch-id',
  'x-couch-request-id',
  'x-couch-update-newrev',
]);

const isServers = (name: string, value: string): boolean =>
  SERVERS.has(name) ||
  name.startsWith('access-control-') ||
  (name === 'set-cookie' && /^\s*AuthSession\s*=/i.test(value));

/** Those of a function that are sent, and the content type that they state. @throws CouchError 500 */
export function readHeaders(given: Iterable<readonly [name: string, value: unknown]>): {
  readonly type: string | undefined;
  readonly headers: readonly string[];
} {
  let type: string | undefined;
  const headers: string[] = [];
  for (const [name, value] of checkedHeaders(given)) {
    const key = name.toLowerCase();
    if (key === 'content-type') type = value;
    else if (!isServers(key, value)) headers.push(SPELLINGS.get(key) ?? name, value);
  }
  return { type, headers };
}

/** Headers that can be sent as they are. @throws CouchError 500 for any that cannot */
export function checkedHeaders(
  given: Iterable<readonly [name: string, value: unknown]>,
): readonly (readonly [name: string, value: string])[] {
  return Array.from(given, ([name, member]) => {
    // Bytes of UTF-8, as CouchDB sends them.
    const value = Buffer.from(headerText(member)).toString('latin1');
    if (!NAME.test(name) || !VALUE.test(value)) throw invalid(`the header ${JSON.stringify(name)}`);
    return [name, value] as const;
  });
}

/** The server sends a `Cache-Control` of its own where there is none, and cookies of its own beside others. */
const SPELLINGS: ReadonlyMap<string, string> = new Map([
  ['cache-control', 'Cache-Control'],
  ['set-cookie', 'set-cookie'],
]);

function headerText(value: unknown): string {
  if (typeof value === 'string') return value;
  return Array.isArray(value) ? value.map(headerText).join('') : JSON.stringify(value);
}

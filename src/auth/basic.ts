import { badRequest } from '../errors.js';

export interface BasicCredentials {
  readonly name: string;
  /** Bytes, because what a client sends need not be UTF-8. */
  readonly password: Buffer;
}

const PREFIX = 'Basic ';
const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;
const COLON = 0x3a;

/**
 * Reads an Authorization header. `undefined` when it is of another kind, has no colon, or is the `_:_` with which
 * browsers are made to forget a password.
 * @throws CouchError 400 when it is not Base64.
 */
export function parseBasic(header: string | undefined): BasicCredentials | undefined {
  if (!header?.startsWith(PREFIX)) return undefined;
  const encoded = header.slice(PREFIX.length).replace(/[ \t\r\n]+/g, '');
  if (!BASE64.test(encoded)) throw badRequest('Authorization header has invalid base64 value');
  const bytes = Buffer.from(encoded, 'base64');
  const colon = bytes.indexOf(COLON);
  if (colon < 0) return undefined;
  const name = bytes.toString('utf8', 0, colon);
  const password = bytes.subarray(colon + 1);
  return name === '_' && password.toString('latin1') === '_' ? undefined : { name, password };
}

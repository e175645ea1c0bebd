import { decodeBody, parseJson } from '../json/text.js';
import { badRequest, type CouchError } from '../errors.js';

/** Members of a JSON object, whose names may be any. */
export type Members = Readonly<Record<string, unknown>>;

/** A token in its parts. Nothing in it is true before its signature is verified. */
export interface Token {
  readonly header: Members;
  readonly claims: Members;
}

/**
 * Takes a token apart: header, claims and signature in Base64url with dots between them. There is one way only to write
 * it: who changes a character has another token, or none.
 * @throws CouchError 400
 */
export function readToken(text: string): Token {
  const [header = '', claims = '', signature, ...more] = text.split('.', 4);
  if (signature === undefined || more.length > 0) throw malformedToken();
  decode(signature);
  return { header: readMembers(header), claims: readMembers(claims) };
}

function readMembers(part: string): Members {
  const value = parse(decode(part));
  if (!isMembers(value)) throw badRequest('Not an object');
  return value;
}

function decode(part: string): Buffer {
  const bytes = Buffer.from(part, 'base64url');
  if (bytes.toString('base64url') !== part) throw malformedToken();
  return bytes;
}

function parse(bytes: Buffer): unknown {
  try {
    return parseJson(decodeBody(bytes));
  } catch {
    throw malformedToken();
  }
}

export function isMembers(value: unknown): value is Members {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

export const malformedToken = (): CouchError => badRequest('Malformed token');

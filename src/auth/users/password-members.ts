import { forbidden, type CouchError } from '../../errors.js';
import type { PasswordHash } from '../password.js';

/** What CouchDB replaces in a document when it hashes a password. */
const REPLACED: ReadonlySet<string> = new Set([
  'derived_key',
  'iterations',
  'password',
  'password_scheme',
  'password_sha',
  'pbkdf2_prf',
  'preserve_salt',
  'salt',
]);

/** The texts of a document's members without a password, and the password in clear if there was one. */
export interface Taken {
  readonly texts: ReadonlyMap<string, string>;
  readonly clear: string | undefined;
}

/**
 * Takes the password in clear out of a document. Without one (`null` counts as none) it stays as it is.
 * @param texts of its members
 * @throws CouchError 403 for a password that is no text
 */
export function takePassword(texts: ReadonlyMap<string, string>): Taken {
  const text = texts.get('password') ?? 'null';
  if (text === 'null') return { texts, clear: undefined };
  const clear = JSON.parse(text) as unknown;
  if (typeof clear !== 'string') throw notText();
  return { texts: withoutHash(texts), clear };
}

/** A document's members without what is said of its password. */
export const withoutHash = (texts: ReadonlyMap<string, string>): ReadonlyMap<string, string> =>
  new Map([...texts].filter(([name]) => !REPLACED.has(name)));

const notText = (): CouchError => forbidden('The password must be a string.');

/** A document's members with a hashed password, as CouchDB writes it. */
export function withHash(
  texts: ReadonlyMap<string, string>,
  { scheme, salt, iterations, key }: PasswordHash,
): ReadonlyMap<string, string> {
  const members = {
    password_scheme: 'pbkdf2',
    pbkdf2_prf: scheme,
    salt,
    iterations,
    derived_key: key.toString('hex'),
  };
  const hashed = Object.entries(members).map(([name, value]) => [name, JSON.stringify(value)] as const);
  return new Map([...hashed, ...texts]);
}

/** Members as a body of the store. */
export const bodyOf = (texts: ReadonlyMap<string, string>): string =>
  Array.from(texts, ([name, text]) => `${JSON.stringify(name)}:${text}`).join(',');

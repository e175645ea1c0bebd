import { createHash, pbkdf2, randomBytes, timingSafeEqual } from 'node:crypto';
import { promisify } from 'node:util';
import { unavailable } from '../errors.js';
import { Limiter } from './limiter.js';

/**
 * Hashed passwords as CouchDB writes them into its configuration:
 *
 *     -pbkdf2:sha256-KEY,SALT,ITERATIONS     now
 *     -pbkdf2-KEY,SALT,ITERATIONS            before 3.4; the function is SHA-1
 *     -hashed-KEY,SALT                       before 1.3; one SHA-1
 *
 * KEY is hexadecimal. SALT is text: its characters are hashed, not what they might encode.
 */
export interface PasswordHash {
  /** In the form that CouchDB writes now. */
  readonly text: string;
  readonly scheme: Scheme;
  readonly key: Buffer;
  readonly salt: string;
  /** 0 when the scheme has none. */
  readonly iterations: number;
  /** Of an old hash that was hashed again (`simple+pbkdf2`): the password is hashed as `simple` first. */
  readonly isOverSimple?: boolean;
}

/** How new passwords are hashed. */
export interface HashTarget {
  readonly prf: Prf;
  readonly iterations: number;
}

export type Prf = Exclude<Scheme, 'simple'>;

type Scheme = 'simple' | 'sha' | 'sha224' | 'sha256' | 'sha384' | 'sha512';

const KEY_BYTES: Record<Scheme, number> = {
  simple: 20,
  sha: 20,
  sha224: 28,
  sha256: 32,
  sha384: 48,
  sha512: 64,
};

const HASHED = /^-(?:hashed|pbkdf2(?::[^-]*)?)-/;
const SIMPLE = /^-hashed-([0-9a-f]+),([^,]+)$/i;
const PBKDF2 = /^-pbkdf2(?::(sha|sha224|sha256|sha384|sha512))?-([0-9a-f]+),([^,]+),([1-9][0-9]*)$/i;

const MAX_ITERATIONS = 1_000_000_000;
export const DEFAULT_TARGET: HashTarget = { prf: 'sha256', iterations: 600_000 };

/**
 * Clients take turns: one that tries many passwords keeps nobody else from logging in. Two are hashed at once, for the
 * thread pool also serves the store and the file system.
 */
const hashing = new Limiter(2, 256, () => unavailable('Too many passwords are being checked.'));
const derive = promisify(pbkdf2);

/** Whether the text claims to be a hashed password; such a text is never taken for a password in clear. */
export function isHashed(text: string): boolean {
  return HASHED.test(text);
}

/** `undefined` for a text that is no hashed password, or a mangled one. */
export function parseHash(text: string): PasswordHash | undefined {
  const simple = SIMPLE.exec(text);
  if (simple) return buildHash('simple', simple[1], simple[2], 0);
  const derived = PBKDF2.exec(text);
  if (!derived) return undefined;
  const iterations = Number(derived[4]);
  if (iterations > MAX_ITERATIONS) return undefined;
  const prf = (derived[1] ?? 'sha').toLowerCase() as Scheme;
  return buildHash(prf, derived[2], derived[3], iterations);
}

/** Hashes a password. @param salt a new one when left out */
export async function derivePassword(
  clear: string | Buffer,
  { prf, iterations }: HashTarget,
  salt = randomBytes(16).toString('hex'),
): Promise<PasswordHash> {
  const key = await compute(bytesOf(clear), { scheme: prf, salt, iterations });
  return hashOf(prf, key, salt, iterations);
}

/** Hashes a password as CouchDB does for its admins. */
export async function hashPassword(clear: string, iterations = DEFAULT_TARGET.iterations): Promise<string> {
  return (await derivePassword(clear, { ...DEFAULT_TARGET, iterations })).text;
}

/**
 * Takes the same time whatever the password. A text that is no hashed password fits none.
 * @param client stands for who asks
 */
export async function verifyPassword(
  clear: string | Buffer,
  hashed: string | PasswordHash,
  client?: string,
): Promise<boolean> {
  const hash = typeof hashed === 'string' ? parseHash(hashed) : hashed;
  if (!hash) return false;
  const first =
    hash.isOverSimple === true ? Buffer.from(simple(bytesOf(clear), hash.salt).toString('hex')) : clear;
  const key = await compute(bytesOf(first), hash, client);
  return timingSafeEqual(key, hash.key);
}

/** A hash that no password fits, for names that nobody has. */
export function decoyOf({ prf, iterations }: HashTarget): PasswordHash {
  const salt = randomBytes(16).toString('hex');
  return { text: '', scheme: prf, key: randomBytes(KEY_BYTES[prf]), salt, iterations };
}

const bytesOf = (clear: string | Buffer): Buffer => (typeof clear === 'string' ? Buffer.from(clear) : clear);

const simple = (clear: Buffer, salt: string): Buffer =>
  createHash('sha1').update(clear).update(salt).digest();

/** A hash of these parts; undefined where they are not of the scheme. @param hex the key */
export function buildHash(
  scheme: Scheme,
  hex: unknown,
  salt: unknown,
  iterations: number,
): PasswordHash | undefined {
  if (typeof hex !== 'string' || typeof salt !== 'string') return undefined;
  if (hex.length !== 2 * KEY_BYTES[scheme] || !/^[0-9a-f]+$/i.test(hex)) return undefined;
  return hashOf(scheme, Buffer.from(hex, 'hex'), salt, iterations);
}

function hashOf(scheme: Scheme, key: Buffer, salt: string, iterations: number): PasswordHash {
  const hex = key.toString('hex');
  const text =
    scheme === 'simple' ? `-hashed-${hex},${salt}` : `-pbkdf2:${scheme}-${hex},${salt},${String(iterations)}`;
  return { text, scheme, key, salt, iterations };
}

function compute(
  clear: Buffer,
  how: Pick<PasswordHash, 'scheme' | 'salt' | 'iterations'>,
  client?: string,
): Promise<Buffer> {
  const { scheme, salt, iterations } = how;
  if (scheme === 'simple') return Promise.resolve(simple(clear, salt));
  const digest = scheme === 'sha' ? 'sha1' : scheme;
  return hashing.run(() => derive(clear, salt, iterations, KEY_BYTES[scheme], digest), client);
}

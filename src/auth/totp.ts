import { createHmac, timingSafeEqual } from 'node:crypto';

/** What makes the codes of an authenticator app (RFC 6238, a new one every 30 seconds). */
export interface Totp {
  readonly key: Buffer;
  /** As Node calls it. */
  readonly algorithm: string;
  /** Digits of a code. */
  readonly length: number;
}

const STEP_SECONDS = 30;
const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567';
const ALGORITHMS: ReadonlyMap<unknown, string> = new Map([
  ['sha', 'sha1'],
  ['sha224', 'sha224'],
  ['sha256', 'sha256'],
  ['sha384', 'sha384'],
  ['sha512', 'sha512'],
]);

/** Characters of a key, of which accounts keep what they stand for. */
const MAX_KEY = 1024;

/**
 * Reads the `totp` member of a user document: `{key, algorithm, length}`, the key in Base32.
 * @returns `undefined` where no code could ever fit
 */
export function parseTotp(value: unknown): Totp | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  const { key, algorithm = 'sha', length = 6 } = value as Record<string, unknown>;
  const bytes = typeof key === 'string' && key.length <= MAX_KEY ? decodeBase32(key) : undefined;
  const digest = ALGORITHMS.get(algorithm);
  const isLength = Number.isInteger(length) && Number(length) >= 6 && Number(length) <= 10;
  if (bytes === undefined || digest === undefined || !isLength) return undefined;
  return { key: bytes, algorithm: digest, length: Number(length) };
}

/** Whether a code fits now, or did or will half a minute from now: clocks differ. */
export function fitsTotp(totp: Totp | undefined, code: string): boolean {
  if (totp === undefined) return false;
  const step = Math.floor(Date.now() / 1000 / STEP_SECONDS);
  // All three are looked at, so that the time does not show which of them it is.
  const fits = [step - 1, step, step + 1].map((at) => isSame(codeAt(totp, at), code));
  return fits.includes(true);
}

function codeAt({ key, algorithm, length }: Totp, step: number): string {
  const counter = Buffer.alloc(8);
  counter.writeBigInt64BE(BigInt(step));
  const mac = createHmac(algorithm, key).update(counter).digest();
  const offset = (mac.at(-1) ?? 0) & 0xf;
  const number = mac.readUInt32BE(offset) & 0x7fffffff;
  return String(number % 10 ** length).padStart(length, '0');
}

function isSame(expected: string, given: string): boolean {
  const [a, b] = [Buffer.from(expected), Buffer.from(given)];
  return a.length === b.length && timingSafeEqual(a, b);
}

function decodeBase32(text: string): Buffer | undefined {
  const bytes: number[] = [];
  let bits = 0;
  let value = 0;
  for (const letter of text.replace(/=+$/, '')) {
    const at = ALPHABET.indexOf(letter);
    if (at < 0) return undefined;
    value = ((value << 5) | at) & 0xfff;
    bits += 5;
    if (bits < 8) continue;
    bits -= 8;
    bytes.push((value >> bits) & 0xff);
  }
  return bytes.length === 0 ? undefined : Buffer.from(bytes);
}

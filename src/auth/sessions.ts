import { createHmac, timingSafeEqual } from 'node:crypto';
import { badRequest } from '../errors.js';

/** What an AuthSession cookie says; true only after `Sessions.verify`. */
export interface SessionClaim {
  readonly name: string;
  /** When it was signed, in seconds. */
  readonly time: number;
  /** The bytes that were signed. */
  readonly signed: Buffer;
  readonly mac: Buffer;
}

/** `session` of the configuration. */
export interface SessionSettings {
  /** Seconds until an unused session ends. */
  readonly timeout: number;
  /** Whether browsers keep the cookie when they are closed. */
  readonly persistent: boolean;
  readonly sameSite?: 'none' | 'lax' | 'strict' | undefined;
  readonly domain?: string | undefined;
}

const COOKIE = 'AuthSession';
const BASE64URL = /^[A-Za-z0-9_-]+$/;
const HEX = /^[0-9A-Fa-f]{1,12}$/;
const COLON = 0x3a;

/**
 * AuthSession cookies as CouchDB makes them: Base64url of `NAME:TIME:MAC`, where TIME is in seconds and hexadecimal
 * and MAC is HMAC-SHA-256 under the server's secret followed by the user's salt. A new password has a new salt, which
 * ends the sessions of the old one; several servers with one secret and the same users accept each other's cookies.
 */
export class Sessions {
  readonly #secret: Buffer;

  /** @param settings asked for each time: they may change */
  constructor(
    secret: string | Buffer,
    private readonly settings: () => SessionSettings,
  ) {
    this.#secret = Buffer.from(secret);
    if (this.#secret.length === 0) throw new Error('the secret of the sessions is empty');
  }

  /** The Set-Cookie header that begins or prolongs a session. */
  issue(name: string, salt: string, secure: boolean): string {
    const time = now();
    const signed = Buffer.from(`${name}:${time.toString(16).toUpperCase()}`);
    const value = Buffer.concat([signed, Buffer.from(':'), this.#sign(signed, salt)]).toString('base64url');
    const { timeout, persistent } = this.settings();
    return this.#setCookie(value, persistent ? lifetime(time + timeout, timeout) : '', secure);
  }

  /** The Set-Cookie header that makes a browser forget its session. */
  clear(secure: boolean): string {
    return this.#setCookie('', lifetime(0, 0), secure);
  }

  /** Seconds that are left of the session, or `undefined` if it has ended or was not signed here for this salt. */
  verify(claim: SessionClaim, salt: string): number | undefined {
    const mac = this.#sign(claim.signed, salt);
    const left = claim.time + this.settings().timeout - now();
    const genuine = mac.length === claim.mac.length && timingSafeEqual(mac, claim.mac);
    return genuine && left > 0 ? left : undefined;
  }

  /** A session in use is prolonged when a tenth of its time is over. */
  isDue(left: number): boolean {
    return left < this.settings().timeout * 0.9;
  }

  #sign(signed: Buffer, salt: string): Buffer {
    return createHmac('sha256', Buffer.concat([this.#secret, Buffer.from(salt)]))
      .update(signed)
      .digest();
  }

  #setCookie(value: string, until: string, secure: boolean): string {
    const { domain, sameSite } = this.settings();
    const where = `${secure ? 'Secure; ' : ''}${domain === undefined ? '' : `Domain=${domain}; `}Path=/; HttpOnly`;
    const cookie = `${COOKIE}=${value}; Version=1; ${until}${where}`;
    return sameSite === undefined ? cookie : `${cookie}; SameSite=${SAME_SITE[sameSite]}`;
  }
}

const SAME_SITE = { none: 'None', lax: 'Lax', strict: 'Strict' } as const;

/**
 * Finds the session in a Cookie header; `undefined` when there is none, or one that cannot be genuine.
 * @throws CouchError 400 for a cookie of this name that does not have the form of a session at all.
 */
export function readSession(header: string | undefined): SessionClaim | undefined {
  const value = header === undefined ? '' : cookieValue(header, COOKIE).replace(/={1,2}$/, '');
  if (value === '') return undefined;
  const bytes =
    BASE64URL.test(value) && value.length % 4 !== 1 ? Buffer.from(value, 'base64url') : Buffer.alloc(0);
  const first = bytes.indexOf(COLON);
  const second = first < 0 ? -1 : bytes.indexOf(COLON, first + 1);
  if (second < 0) throw badRequest('Malformed AuthSession cookie. Please clear your cookies.');
  const time = bytes.toString('latin1', first + 1, second);
  if (!HEX.test(time)) return undefined;
  return {
    name: bytes.toString('utf8', 0, first),
    time: parseInt(time, 16),
    signed: bytes.subarray(0, second),
    mac: bytes.subarray(second + 1),
  };
}

/** The first cookie of a name, without quotes; empty when there is none. */
export function cookieValue(header: string, name: string): string {
  for (const pair of header.split(';')) {
    const equals = pair.indexOf('=');
    if (equals < 0 || pair.slice(0, equals).trim() !== name) continue;
    const value = pair.slice(equals + 1).trim();
    return value.length > 1 && value.startsWith('"') && value.endsWith('"') ? value.slice(1, -1) : value;
  }
  return '';
}

/** @param expires in seconds since 1970 */
const lifetime = (expires: number, maxAge: number): string =>
  `Expires=${new Date(expires * 1000).toUTCString()}; Max-Age=${String(maxAge)}; `;

function now(): number {
  return Math.floor(Date.now() / 1000);
}

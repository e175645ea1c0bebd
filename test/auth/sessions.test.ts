import { createHmac } from 'node:crypto';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { readSession, Sessions, type SessionSettings } from '../../src/auth/sessions.js';
import { CouchError } from '../../src/errors.js';

const START = Date.UTC(2030, 0, 2, 3, 4, 5, 678);
const SECONDS = Math.floor(START / 1000);
const TIME = SECONDS.toString(16).toUpperCase();
const settings: SessionSettings = { timeout: 600, persistent: true };
const sessions = new Sessions('secret', () => settings);

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['Date'], now: START });
});
afterEach(() => {
  vi.useRealTimers();
});

const pass = (seconds: number): void => {
  vi.setSystemTime(START + seconds * 1000);
};
const header = (setCookie: string): string => setCookie.slice(0, setCookie.indexOf(';'));

function verify(cookie: string, salt = 'salt', by = sessions): number | undefined {
  const claim = readSession(cookie);
  return claim && by.verify(claim, salt);
}

function error(cookie: string): unknown {
  try {
    return readSession(cookie);
  } catch (thrown) {
    return thrown;
  }
}

describe('a cookie', () => {
  test('is the one CouchDB would make', () => {
    const mac = createHmac('sha256', 'secretsalt').update(`jan:${TIME}`).digest();
    const value = Buffer.concat([Buffer.from(`jan:${TIME}:`), mac]).toString('base64url');
    expect(sessions.issue('jan', 'salt', false)).toBe(
      `AuthSession=${value}; Version=1; Expires=Wed, 02 Jan 2030 03:14:05 GMT; Max-Age=600; Path=/; HttpOnly`,
    );
  });

  test('stays on TLS when it was given over TLS', () => {
    expect(sessions.issue('jan', 'salt', true)).toContain('; Secure; ');
    expect(sessions.clear(true)).toContain('; Secure; ');
  });

  test('that ends a session is empty and expired', () => {
    expect(sessions.clear(false)).toBe(
      'AuthSession=; Version=1; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=0; Path=/; HttpOnly',
    );
  });

  test('keeps a name of any characters', () => {
    const cookie = header(sessions.issue('jän ☃', 'salt', false));
    expect(readSession(cookie)?.name).toBe('jän ☃');
    expect(verify(cookie)).toBe(600);
  });

  test('is found among others, with quotes and padding, by its exact name', () => {
    const cookie = header(sessions.issue('jan', 'salt', false));
    const value = cookie.slice('AuthSession='.length);
    expect(verify(`other=1; ${cookie}; third=x`)).toBe(600);
    expect(verify(`other=1;${cookie}`)).toBe(600);
    expect(verify(`AuthSession="${value}=="`)).toBe(600);
    expect(verify(`authsession=${value}`)).toBeUndefined();
    expect(verify(`xAuthSession=${value}`)).toBeUndefined();
    expect(verify(`AuthSession=; ${cookie}`)).toBeUndefined();
  });
});

describe('a session', () => {
  test('lasts for the timeout, and is prolonged after a tenth of it', () => {
    const cookie = header(sessions.issue('jan', 'salt', false));
    const left = (after: number): number | undefined => {
      pass(after);
      return verify(cookie);
    };
    expect(left(60)).toBe(540);
    expect(sessions.isDue(540)).toBe(false);
    expect(left(61)).toBe(539);
    expect(sessions.isDue(539)).toBe(true);
    expect(left(599)).toBe(1);
    expect(left(600)).toBeUndefined();
    expect(left(1_000_000)).toBeUndefined();
  });

  test('ends with another salt or secret', () => {
    const cookie = header(sessions.issue('jan', 'salt', false));
    expect(verify(cookie, 'other')).toBeUndefined();
    expect(verify(cookie, 'salt', new Sessions('other', () => settings))).toBeUndefined();
    expect(verify(cookie, 'salt', new Sessions(Buffer.from('secret'), () => settings))).toBe(600);
  });

  test('needs a secret', () => {
    expect(() => new Sessions('', () => settings)).toThrow('secret');
  });
});

test.each(['garbage', 'anVzdGFuYW1l', 'a', '!!!', 'YTpi', 'YTpiOmM*', 'YTpiOmNkx'])(
  'AuthSession=%s is malformed',
  (value) => {
    expect(error(`AuthSession=${value}`)).toMatchObject({
      status: 400,
      error: 'bad_request',
      reason: 'Malformed AuthSession cookie. Please clear your cookies.',
    });
  },
);

test.each(['', 'AuthSession', 'AuthSession=', 'AuthSession=""', 'a=b', `AuthSession=${btoa('jan:xyz:mac')}`])(
  '%j is no session',
  (cookie) => {
    expect(readSession(cookie)).toBeUndefined();
  },
);

describe('fuzzed cookies', () => {
  test('are no session, malformed or not genuine', () => {
    const forged = fc
      .tuple(fc.string(), fc.string(), fc.uint8Array({ maxLength: 40 }))
      .map(([name, time, mac]) =>
        Buffer.concat([Buffer.from(`${name}:${time}:`), mac]).toString('base64url'),
      );
    const known = fc
      .uint8Array({ minLength: 32, maxLength: 32 })
      .map((mac) => Buffer.concat([Buffer.from(`jan:${TIME}:`), mac]).toString('base64url'));
    const value = fc.oneof(forged, known, fc.string(), fc.base64String());
    const cookie = fc.oneof(
      fc.string({ unit: 'binary' }),
      value.map((v) => `AuthSession=${v}`),
    );
    let claims = 0;
    fc.assert(
      fc.property(cookie, (text) => {
        const claim = error(text);
        if (claim === undefined) return;
        if (claim instanceof Error) {
          expect(claim).toBeInstanceOf(CouchError);
          expect(claim).toMatchObject({ status: 400 });
          return;
        }
        claims++;
        expect(verify(text)).toBeUndefined();
      }),
      { numRuns: 2000, seed: 7 },
    );
    expect(claims).toBeGreaterThan(100);
  });

  test('no changed bit passes', () => {
    const genuine = Buffer.from(header(sessions.issue('jan', 'salt', false)).slice(12), 'base64url');
    for (let bit = 0; bit < genuine.length * 8; bit++) {
      const changed = Buffer.from(genuine);
      changed[bit >> 3] = (changed[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      const claim = error(`AuthSession=${changed.toString('base64url')}`);
      if (claim === undefined || claim instanceof CouchError) continue;
      expect(verify(`AuthSession=${changed.toString('base64url')}`)).toBeUndefined();
    }
    expect(verify(`AuthSession=${genuine.toString('base64url')}`)).toBe(600);
    expect(verify(`AuthSession=${genuine.toString('base64url')}AAAA`)).toBeUndefined();
  });
});

import fc from 'fast-check';
import { afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import { Auth, type AuthHeaders, type AuthOptions, type Client } from '../../src/auth/auth.js';
import { hashPassword } from '../../src/auth/password.js';
import { configSchema } from '../../src/config/schema.js';
import { CouchError } from '../../src/errors.js';

const warn = vi.fn<AuthOptions['log']['warn']>();
const log = { warn };
const config = configSchema.parse({ passwords: { iterations: 1 }, lockout: { mode: 'off' } });
const client: Client = { secure: false, address: '192.0.2.1' };
const overTls: Client = { ...client, secure: true };
const WRONG = { status: 401, error: 'unauthorized', reason: 'Name or password is incorrect.' };
const ADMIN = { name: 'admin', roles: ['_admin'] };
const NOBODY = { user: { name: null, roles: [] }, method: undefined };

let hashed = '';
let auth: Auth;

beforeAll(async () => {
  hashed = await hashPassword('apple', 1);
  auth = Auth.open({ admins: { admin: hashed }, secret: 'secret', config, log });
});
afterEach(() => {
  vi.useRealTimers();
  warn.mockClear();
});

const basic = (text: string): AuthHeaders => ({
  authorization: `Basic ${Buffer.from(text).toString('base64')}`,
});

async function login(): Promise<string> {
  const { ok, cookie } = await auth.login({ name: 'admin', password: 'apple' }, client);
  expect(ok).toBe(true);
  return cookie.slice(0, cookie.indexOf(';'));
}

describe('opening', () => {
  const open = (admins: AuthOptions['admins']): Auth => Auth.open({ admins, secret: 's', config, log });

  test('takes admins as a map or a record, whatever they are called', async () => {
    for (const name of ['__proto__', 'constructor', 'toString']) {
      for (const admins of [new Map([[name, hashed]]), Object.fromEntries([[name, hashed]])]) {
        const opened = open(admins);
        expect(await opened.authenticate(basic(`${name}:apple`), client)).toMatchObject({
          method: 'default',
        });
        await expect(opened.authenticate(basic('valueOf:apple'), client)).rejects.toMatchObject(WRONG);
      }
    }
  });

  test('refuses a password in clear without showing it', () => {
    expect(() => open({ admin: 'apple' })).toThrow(/^the password of admin "admin" is not a valid hash$/);
    expect(() => open({ admin: '-pbkdf2:sha256-12' })).toThrow(
      /^the password of admin "admin" is not a valid hash$/,
    );
  });

  test.each(['', 'a:b'])('refuses the name %j, with which nobody could log in', (name) => {
    expect(() => open({ [name]: hashed })).toThrow('cannot be the name');
  });
});

describe('Basic', () => {
  test('the right password', async () => {
    expect(await auth.authenticate(basic('admin:apple'), client)).toEqual({ user: ADMIN, method: 'default' });
    expect(warn).not.toHaveBeenCalled();
  });

  test.each([
    'admin:pear',
    'admin:',
    'nobody:apple',
    ':',
    ':apple',
    'admin:apple:',
    'Admin:apple',
    'admin :apple',
  ])('%j is refused alike', async (text) => {
    await expect(auth.authenticate(basic(text), client)).rejects.toMatchObject(WRONG);
    expect(warn).toHaveBeenCalledTimes(1);
    expect(JSON.stringify(warn.mock.calls)).not.toContain('apple');
  });

  test.each([
    'Basic',
    'Basic bm9jb2xvbg==',
    'Basic Xzpf',
    'Bearer abc.def.ghi',
    'basic eDp5',
    'Digest username="x"',
    '',
  ])('%j says nobody', async (authorization) => {
    expect(await auth.authenticate({ authorization }, client)).toEqual(NOBODY);
  });

  test.each(['Basic !!!', 'Basic x', 'Basic XX=', 'Basic YWRtaW46YXBwbGU', 'Basic YWRt=W46'])(
    '%j is malformed',
    async (authorization) => {
      await expect(auth.authenticate({ authorization }, client)).rejects.toMatchObject({
        status: 400,
        error: 'bad_request',
        reason: 'Authorization header has invalid base64 value',
      });
    },
  );

  test('a flood of wrong passwords is answered 503 instead of filling the thread pool and the memory', async () => {
    await auth.authenticate(basic('admin:apple'), client);
    const flood = Array.from({ length: 300 }, (_, i) =>
      auth.authenticate(basic(`nobody${String(i)}:x`), client).catch((thrown: unknown) => thrown),
    );
    const remembered = auth.authenticate(basic('admin:apple'), client);
    const statuses = (await Promise.all(flood)).map((thrown) =>
      thrown instanceof CouchError ? thrown.status : 0,
    );
    // Two are hashed at once and 256 wait.
    expect(statuses.filter((status) => status === 401)).toHaveLength(258);
    expect(statuses.filter((status) => status === 503)).toHaveLength(42);
    expect(await remembered).toMatchObject({ method: 'default' });
  });

  test('a password of bytes that are not UTF-8 is not mistaken for another', async () => {
    const admins = { admin: await hashPassword('\ufffd', 1) };
    const other = Auth.open({ admins, secret: 's', config, log });
    const authorization = `Basic ${Buffer.from([...Buffer.from('admin:'), 0xff]).toString('base64')}`;
    await expect(other.authenticate({ authorization }, client)).rejects.toMatchObject(WRONG);
    expect(await other.authenticate(basic('admin:\ufffd'), client)).toMatchObject({ method: 'default' });
  });
});

describe('a session', () => {
  test('begins with the password and goes before Basic', async () => {
    const cookie = await login();
    expect(await auth.authenticate({ cookie }, client)).toEqual({ user: ADMIN, method: 'cookie' });
    expect(await auth.authenticate({ cookie, ...basic('admin:pear') }, client)).toMatchObject({
      method: 'cookie',
    });
  });

  test('that is not genuine counts as none', async () => {
    const cookie = `${await login()}AAAA`;
    expect(await auth.authenticate({ cookie }, client)).toEqual(NOBODY);
    expect(await auth.authenticate({ cookie, ...basic('admin:apple') }, client)).toMatchObject({
      method: 'default',
    });
    const stranger = 'AuthSession=bm9ib2R5OjdGNUUxMDAwOnh4eHh4eHh4eHh4eHh4eHh4eHh4';
    expect(await auth.authenticate({ cookie: stranger }, client)).toEqual(NOBODY);
  });

  test('of somebody who does not exist counts as none, though it was signed here', async () => {
    const admins = { gone: hashed };
    const other = await Auth.open({ admins, secret: 'secret', config, log }).login(
      { name: 'gone', password: 'apple' },
      client,
    );
    expect(await auth.authenticate({ cookie: other.cookie }, client)).toEqual(NOBODY);
  });

  test('is refused when malformed, even beside a right password', async () => {
    const cookie = 'AuthSession=garbage';
    await expect(auth.authenticate({ cookie, ...basic('admin:apple') }, client)).rejects.toMatchObject({
      status: 400,
    });
  });

  test('is prolonged while it is used, and ends when it is not', async () => {
    vi.useFakeTimers({ toFake: ['Date'] });
    let cookie = await login();
    const first = cookie;
    for (let i = 0; i < 5; i++) {
      vi.setSystemTime(Date.now() + 400_000);
      const { renewedCookie, user } = await auth.authenticate({ cookie }, client);
      expect(user).toEqual(ADMIN);
      cookie = String(renewedCookie).split(';')[0] ?? '';
    }
    expect(await auth.authenticate({ cookie: first }, client)).toEqual(NOBODY);
    vi.setSystemTime(Date.now() + 600_000);
    expect(await auth.authenticate({ cookie }, client)).toEqual(NOBODY);
  });

  test('is kept to TLS when prolonged over TLS', async () => {
    vi.useFakeTimers({ toFake: ['Date'] });
    const cookie = await login();
    vi.setSystemTime(Date.now() + 400_000);
    expect((await auth.authenticate({ cookie }, overTls)).renewedCookie).toContain('; Secure;');
    expect((await auth.authenticate({ cookie }, client)).renewedCookie).not.toContain('Secure');
  });

  test('does not begin with a wrong password or name', async () => {
    for (const [name, password] of [
      ['admin', 'pear'],
      ['admin', ''],
      ['nobody', 'apple'],
    ] as const) {
      const result = await auth.login({ name, password }, client);
      expect(result).toMatchObject({ ok: false, error: WRONG });
      expect(result.cookie).toBe(auth.logout(client));
      expect(result.cookie).toMatch(/^AuthSession=; /);
    }
  });

  test('is described as CouchDB does', async () => {
    expect(auth.sessionInfo(await auth.authenticate(basic('admin:apple'), client))).toEqual({
      ok: true,
      userCtx: ADMIN,
      info: { authentication_handlers: ['cookie', 'default'], authenticated: 'default' },
    });
    expect(auth.sessionInfo(await auth.authenticate({}, client))).toEqual({
      ok: true,
      userCtx: { name: null, roles: [] },
      info: { authentication_handlers: ['cookie', 'default'] },
    });
  });
});

test('I12: fuzzed headers give a CouchError or nobody, never a right', async () => {
  const credentials = fc
    .tuple(fc.constantFrom('admin', 'nobody', '__proto__', ''), fc.string({ unit: 'binary' }))
    .filter(([, password]) => password !== 'apple')
    .map(([name, password]) => `Basic ${Buffer.from(`${name}:${password}`).toString('base64')}`);
  const authorization = fc.oneof(
    fc.string({ unit: 'binary' }),
    credentials,
    fc.base64String().map((text) => `Basic ${text}`),
    fc.string().map((text) => `Basic ${text}`),
  );
  const session = fc
    .string({ unit: 'binary' })
    .map((text) => `AuthSession=${Buffer.from(text).toString('base64url')}`);
  const cookie = fc.oneof(fc.string({ unit: 'binary' }), session);
  const headers = fc.record({ authorization, cookie }, { requiredKeys: [] });
  const outcomes = { nobody: 0, 400: 0, 401: 0 };
  await fc.assert(
    fc.asyncProperty(headers, async (given) => {
      const result: unknown = await auth.authenticate(given, client).catch((thrown: unknown) => thrown);
      if (!(result instanceof Error)) {
        expect(result).toEqual(NOBODY);
        outcomes.nobody++;
        return;
      }
      expect(result).toBeInstanceOf(CouchError);
      const status = result instanceof CouchError ? result.status : 500;
      if (status !== 400 && status !== 401) expect.fail(`status ${String(status)}`);
      outcomes[status]++;
    }),
    { numRuns: 2000, seed: 11 },
  );
  expect(Math.min(...Object.values(outcomes))).toBeGreaterThan(50);
});

import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import { Jwt } from '../../src/auth/jwt.js';
import { loadConfig } from '../../src/config/load.js';
import { configSchema } from '../../src/config/schema.js';
import { createGateway } from '../../src/gateway.js';
import { encode, hmac, inSeconds, KEYS, pemOf, SIGNERS, tokenBy, tokenOf } from './tokens.js';
import { type Answer, startUsers, type Users } from './users/gateway.js';

const CONFIG = '/_node/_local/_config';
const HANDLERS = ['cookie', 'jwt', 'default'] as const;

let it: Users;
beforeAll(async () => {
  it = await startUsers({ auth: { handlers: [...HANDLERS] }, jwt: { keys: KEYS } });
});
afterAll(() => it.stop());
afterEach(() => vi.useRealTimers());

const present = (token: string, headers: Record<string, string> = {}, url = '/_session'): Promise<Answer> =>
  it.ask('GET', url, { as: null, headers: { authorization: `Bearer ${token}`, ...headers } });

/** The user, or the status and the reason. */
async function judged(token: string): Promise<unknown> {
  const { status, body } = await present(token);
  const { userCtx, reason } = body as { userCtx?: unknown; reason?: string };
  return status === 200 ? userCtx : [status, reason];
}

const setting = async (name: string, text: string): Promise<void> => {
  const { status } = await it.ask('PUT', `${CONFIG}/jwt_auth/${name}`, { json: text });
  expect(status).toBe(200);
};
const unset = (name: string): Promise<Answer> => it.ask('DELETE', `${CONFIG}/jwt_auth/${name}`);

const HS = { alg: 'HS256', typ: 'JWT' };
const exp = inSeconds(600);
const ANN = { name: 'ann', roles: [] };

describe('a token', () => {
  test.each(Object.keys(SIGNERS))('signed with %s says who asks', async (algorithm) => {
    expect(await judged(tokenBy(algorithm, { '_couchdb.roles': ['a', 'b'] }))).toEqual({
      name: 'ann',
      roles: ['a', 'b'],
    });
  });

  test('is told as the way to log in, and brings no cookie', async () => {
    const { body, headers } = await present(tokenBy('RS256'));
    expect(body).toMatchObject({
      info: { authentication_handlers: HANDLERS, authenticated: 'jwt' },
    });
    expect(headers['set-cookie']).toBeUndefined();
  });

  test('has the rights that its roles have, and no others', async () => {
    await it.ask('PUT', '/shared');
    await it.ask('PUT', '/shared/_security', { json: { members: { roles: ['team'] }, admins: {} } });
    const asks = async (roles: string[], url: string) =>
      (await present(tokenBy('ES256', { '_couchdb.roles': roles }), {}, url)).status;
    expect(await asks(['team'], '/shared')).toBe(200);
    expect(await asks(['other'], '/shared')).toBe(403);
    expect(await asks(['team'], CONFIG)).toBe(401);
    expect(await asks(['_admin'], CONFIG)).toBe(200);
  });

  test('of a user who has a document brings the roles of the token alone', async () => {
    await it.put('ann', { password: 'pear', roles: ['editor'] });
    expect(await judged(tokenBy('HS256'))).toEqual(ANN);
  });
});

/** Tokens that CouchDB 3.5.0 was asked about, and what it answered where it is no crash. */
const rsaAsSecret = hmac(256, KEYS['rsa:r']);
const good = tokenOf(HS, { sub: 'ann', exp });
const REFUSED: [string, string, unknown][] = [
  ['without a key of that name', tokenBy('HS256', {}, { kid: 'nope' }), [400, 'Unknown kid']],
  ['with a kid that is no text', tokenBy('HS256', {}, { kid: 5 }), [400, 'Unknown kid']],
  [
    'that takes a public key for a secret',
    tokenOf({ ...HS, kid: 'r' }, { sub: 'ann', exp }, rsaAsSecret),
    [400, 'Unknown kid'],
  ],
  ['with a kid that names another kind', tokenBy('HS256', {}, { kid: 'rsa:r' }), [400, 'Unknown kid']],
  ['with a kid as objects have members', tokenBy('HS256', {}, { kid: '__proto__' }), [400, 'Unknown kid']],
  [
    'without an algorithm',
    tokenOf({ typ: 'JWT' }, { sub: 'ann', exp }),
    [400, 'Missing alg header parameter'],
  ],
  [
    'that needs no signature',
    `${encode({ alg: 'none' })}.${encode({ sub: 'ann', exp })}.`,
    [400, 'Invalid alg header parameter'],
  ],
  [
    'with an algorithm that is not taken',
    tokenBy('PS256', {}, { kid: 'r' }),
    [400, 'Invalid alg header parameter'],
  ],
  [
    'with the same in other letters',
    tokenOf({ alg: 'hs256' }, { sub: 'ann', exp }),
    [400, 'Invalid alg header parameter'],
  ],
  [
    'with a list of algorithms',
    tokenOf({ alg: ['HS256'] }, { sub: 'ann', exp }),
    [400, 'Invalid alg header parameter'],
  ],
  ['of another type', tokenBy('HS256', {}, { typ: 'dpop+jwt' }), [400, 'Invalid typ header parameter']],
  ['that demands what nobody knows', tokenBy('HS256', {}, { crit: ['x'], x: 1 }), [400, 'Bad HMAC']],
  ['signed with another secret', tokenOf(HS, { sub: 'ann', exp }, hmac(256, 'wrong')), [400, 'Bad HMAC']],
  ['signed with an empty secret', tokenOf(HS, { sub: 'ann', exp }, hmac(256, '')), [400, 'Bad HMAC']],
  ['signed with another hash', tokenOf(HS, { sub: 'ann', exp }, hmac(512)), [400, 'Bad HMAC']],
  ['without its signature', good.replace(/[^.]*$/, ''), [400, 'Bad HMAC']],
  ['with another public key', tokenBy('ES256', {}, { kid: 'p384' }), [400, 'Bad signature']],
  [
    'with an algorithm that its key is not for',
    tokenBy('ES384', {}, { kid: 'p256' }),
    [400, 'Bad signature'],
  ],
  [
    'with a signature that is too short',
    `${encode({ alg: 'ES256', kid: 'p256' })}.${encode({ sub: 'ann', exp })}.AAAA`,
    [400, 'Bad signature'],
  ],
  ['without an end', tokenOf(HS, { sub: 'ann' }), [400, 'Missing exp claim']],
  ['that has ended', tokenOf(HS, { sub: 'ann', exp: inSeconds(-5) }), [401, 'exp not in future']],
  [
    'that has ended, and was not signed here',
    tokenOf(HS, { sub: 'ann', exp: 5 }, hmac(256, '')),
    [401, 'exp not in future'],
  ],
  ['that ends at no time', tokenOf(HS, { sub: 'ann', exp: 'never' }), [400, 'Invalid exp claim']],
  ['that ends at null', tokenOf(HS, { sub: 'ann', exp: null }), [400, 'Invalid exp claim']],
  ['without a name', tokenOf(HS, { exp }), [401, 'Token missing sub claim.']],
  ['with an empty name', tokenOf(HS, { exp, sub: '' }), [401, 'Token missing sub claim.']],
  ['with a number for a name', tokenOf(HS, { exp, sub: 5 }), [400, 'Malformed token']],
  [
    'with null for a name',
    tokenOf(HS, { exp, sub: null, '_couchdb.roles': ['_admin'] }),
    [400, 'Malformed token'],
  ],
  [
    'with roles that are no texts',
    tokenBy('HS256', { '_couchdb.roles': ['a', 1] }),
    [400, 'Malformed token'],
  ],
  ['with an object for roles', tokenBy('HS256', { '_couchdb.roles': {} }), [400, 'Malformed token']],
  ['with null for roles', tokenBy('HS256', { '_couchdb.roles': null }), [400, 'Malformed token']],
  ['of two parts', 'a.b', [400, 'Malformed token']],
  ['of four parts', `${good}.x`, [400, 'Malformed token']],
  ['of dots', '.'.repeat(20_000), [400, 'Malformed token']],
  ['that is none', 'x', [400, 'Malformed token']],
  ['that is not Base64url', '!!.!!.!!', [400, 'Malformed token']],
  ['with padding', `${good}=`, [400, 'Malformed token']],
  ['that is not JSON', `${encode('x').slice(2)}.${encode({})}.x`, [400, 'Malformed token']],
  ['with a list for a header', `${encode([])}.${encode({})}.AAAA`, [400, 'Not an object']],
  ['with a list of claims', `${encode(HS)}.${encode([])}.AAAA`, [400, 'Not an object']],
];

describe('a token is refused', () => {
  test.each(REFUSED)('%s', async (_how, token, answer) => {
    expect(await judged(token)).toEqual(answer);
  });

  test('whatever else would let in, but not where that comes first', async () => {
    const { headers } = await it.ask('POST', '/_session', {
      as: null,
      json: { name: 'admin', password: 'secret' },
    });
    const cookie = headers['set-cookie']?.[0]?.split(';')[0] ?? '';
    expect((await present('x', { cookie })).body).toMatchObject({ info: { authenticated: 'cookie' } });
    expect((await present('x', { cookie: 'AuthSession=' })).status).toBe(400);
    expect((await it.ask('PUT', '/other', { as: null, headers: { authorization: 'Bearer x' } })).status).toBe(
      400,
    );
  });

  test.each(['bearer', 'Bearer', 'Token', 'JWT'])('no more than ignored after %j', async (scheme) => {
    const separator = scheme === 'Bearer' ? '' : ' ';
    const headers = { authorization: `${scheme}${separator}${good}` };
    const { body } = await it.ask('GET', '/_session', { as: null, headers });
    expect(body).toMatchObject({ userCtx: { name: null, roles: [] } });
  });
});

describe('what tokens must have', () => {
  afterEach(() => unset('required_claims'));
  const full = { sub: 'ann', exp, nbf: inSeconds(-5), iat: inSeconds(0), iss: 'me' };
  const without = (name: string): string =>
    tokenOf(
      { ...HS, kid: '_default' },
      Object.fromEntries(Object.entries(full).filter(([key]) => key !== name)),
    );
  const having = (claims: object): string => tokenOf({ ...HS, kid: '_default' }, { ...full, ...claims });

  test.each<[string, string, unknown]>([
    ['exp,nbf,iat', having({}), ANN],
    ['exp,nbf,iat', without('iat'), [400, 'Missing iat claim']],
    ['exp,nbf,iat', without('nbf'), [400, 'Missing nbf claim']],
    ['exp,nbf,iat', having({ nbf: inSeconds(50) }), [401, 'nbf not in past']],
    ['exp,nbf,iat', having({ nbf: '1' }), [400, 'Invalid nbf claim']],
    ['exp,nbf,iat', having({ iat: 'x' }), [400, 'Invalid iat claim']],
    ['exp,nbf,iat', having({ iat: 1.5 }), [400, 'Invalid iat claim']],
    ['exp', having({ nbf: inSeconds(50), iat: 'x' }), ANN],
    ['iat', without('exp'), ANN],
    ['iat', having({ exp: inSeconds(-5) }), [401, 'exp not in future']],
    ['{iss, "me"}', having({}), ANN],
    ['{iss,"me"} , exp', without('iss'), [400, 'Missing iss claim']],
    ['{iss, "me"}', having({ iss: 'you' }), [400, 'Invalid iss claim']],
    ['{iss, "me"}', having({ iss: ['me'] }), [400, 'Invalid iss claim']],
    ['exp, kid, {iss,"me"}', tokenOf(HS, full), [400, 'Missing kid claim']],
    ['typ', tokenOf({ alg: 'HS256' }, full), [400, 'Missing typ header parameter']],
    ['exp', tokenOf({ alg: 'HS256' }, full), ANN],
  ])('where that is %s, case %#', async (required, token, answer) => {
    await setting('required_claims', required);
    expect(await judged(token)).toEqual(answer);
  });

  test.each(['aud', 'iss', 'alg', '{exp, "x"}', '{iss, ""}', '{iss,"a"},{iss,"b"}', 'exp nbf'])(
    'is not %j',
    async (required) => {
      const { status } = await it.ask('PUT', `${CONFIG}/jwt_auth/required_claims`, { json: required });
      expect(status).toBe(400);
    },
  );
});

describe('roles', () => {
  afterEach(async () => {
    await unset('roles_claim_name');
    await unset('roles_claim_path');
  });
  const rolesOf = async (claims: object): Promise<unknown> => {
    const user = await judged(tokenBy('HS256', claims));
    return Array.isArray(user) ? user : (user as { roles: unknown }).roles;
  };

  test('may be a text with commas', async () => {
    expect(await rolesOf({ '_couchdb.roles': 'a , b,, c,' })).toEqual(['a', 'b', 'c']);
    expect(await rolesOf({ '_couchdb.roles': '' })).toEqual([]);
  });

  test('are where the configuration says', async () => {
    await setting('roles_claim_name', 'my.roles');
    expect(await rolesOf({ 'my.roles': ['a'], '_couchdb.roles': ['b'], my: { roles: ['c'] } })).toEqual([
      'a',
    ]);
    await setting('roles_claim_name', 'constructor');
    expect(await rolesOf({})).toEqual([]);
  });

  test('may lie within other members', async () => {
    await setting('roles_claim_name', 'unused');
    await setting('roles_claim_path', 'foo.bar\\.zonk.baz\\.buu.roles');
    const at = (roles: unknown): object => ({ foo: { 'bar.zonk': { 'baz.buu': { roles } } } });
    expect(await rolesOf(at(['a', 'b']))).toEqual(['a', 'b']);
    expect(await rolesOf(at('a, b'))).toEqual(['a', 'b']);
    expect(await rolesOf(at(null))).toEqual([400, 'Malformed token']);
    expect(await rolesOf({})).toEqual([404, 'missing json key: foo']);
    expect(await rolesOf({ foo: { bar: { zonk: {} } } })).toEqual([404, 'missing json key: bar.zonk']);
    expect(await rolesOf({ foo: 5 })).toEqual([404, 'json_mismatch']);
    expect(await rolesOf({ foo: null })).toEqual([404, 'json_mismatch']);
    await setting('roles_claim_path', 'constructor.name');
    expect(await rolesOf({})).toEqual([404, 'missing json key: constructor']);
  });
});

describe('what was verified', () => {
  const { jwt: settings } = configSchema.parse({ jwt: { keys: KEYS } });
  const bearer = (token: string): string => `Bearer ${token}`;
  /** Whether it is known without a look at its signature. */
  const isKnown = (jwt: Jwt, token: string): boolean => {
    const answer = jwt.authenticate(bearer(token));
    if (answer instanceof Promise) answer.catch(() => undefined);
    return !(answer instanceof Promise);
  };

  test('is known until the token ends', async () => {
    vi.useFakeTimers({ toFake: ['Date'] });
    const jwt = new Jwt(settings);
    const token = tokenBy('RS256', { exp: inSeconds(60) });
    expect(await jwt.authenticate(bearer(token))).toEqual(ANN);
    vi.setSystemTime(Date.now() + 59_000);
    expect(jwt.authenticate(bearer(token))).toEqual(ANN);
    vi.setSystemTime(Date.now() + 1000);
    await expect(jwt.authenticate(bearer(token))).rejects.toMatchObject({ reason: 'exp not in future' });
  });

  test('is known while the configuration stays as it is', async () => {
    const jwt = new Jwt(settings);
    const token = tokenBy('RS256');
    const pending = jwt.authenticate(bearer(token));
    jwt.replace({ ...settings, keys: { ...KEYS, 'rsa:r': pemOf(otherKey()) } });
    await pending;
    await expect(jwt.authenticate(bearer(token))).rejects.toMatchObject({ reason: 'Bad signature' });
    jwt.replace(settings);
    await jwt.authenticate(bearer(token));
    expect(isKnown(jwt, token)).toBe(true);
    jwt.replace({ ...settings, requiredClaims: 'exp, nbf' });
    await expect(jwt.authenticate(bearer(token))).rejects.toMatchObject({ reason: 'Missing nbf claim' });
  });

  test('is known of so many tokens only, those that were used last', async () => {
    const jwt = new Jwt(settings, 2);
    const [a, b, c] = ['a', 'b', 'c'].map((sub) => tokenBy('HS256', { sub })) as [string, string, string];
    await jwt.authenticate(bearer(a));
    await jwt.authenticate(bearer(b));
    expect(isKnown(jwt, a)).toBe(true);
    await jwt.authenticate(bearer(c));
    expect([a, b, c].map((token) => isKnown(jwt, token))).toEqual([true, false, true]);
  });

  test('is not what was refused', async () => {
    const jwt = new Jwt(settings);
    const bad = tokenOf(HS, { sub: 'ann', exp }, hmac(256, 'wrong'));
    for (let again = 0; again < 2; again++)
      await expect(jwt.authenticate(bearer(bad))).rejects.toMatchObject({ reason: 'Bad HMAC' });
  });
});

const otherKey = (): KeyObject => generateKeyPairSync('rsa', { modulusLength: 2048 }).publicKey;

test('keys that are taken away count no more after a reload', async () => {
  const folder = await mkdtemp(path.join(tmpdir(), 'causeway-test-'));
  const file = path.join(folder, 'causeway.yaml');
  const write = (keys: object) => writeFile(file, JSON.stringify({ jwt: { keys } }));
  await write(KEYS);
  const values = {
    port: 0,
    data: path.join(folder, 'data'),
    admins: { admin: 'secret' },
    auth: { handlers: ['jwt'] },
    log: { level: 'silent' },
    passwords: { iterations: 1 },
  } as const;
  const gateway = await createGateway(
    loadConfig({ file, values: { ...values, auth: { handlers: ['jwt'] } } }),
  );
  const ask = async (method: string, url: string): Promise<number> => {
    const authorization = `Bearer ${tokenBy('EdDSA', { '_couchdb.roles': ['_admin'] })}`;
    return (await fetch(`${gateway.url}${url}`, { method, headers: { authorization } })).status;
  };
  try {
    expect(await ask('GET', CONFIG)).toBe(200);
    await write({ 'rsa:r': KEYS['rsa:r'] });
    expect(await ask('POST', `${CONFIG}/_reload`)).toBe(200);
    expect(await ask('GET', CONFIG)).toBe(400);
  } finally {
    await gateway.close();
    await rm(folder, { recursive: true });
  }
});

test('no token lets in where that is not switched on', async () => {
  const closed = await startUsers({ jwt: { keys: KEYS } });
  try {
    const headers = { authorization: `Bearer ${tokenBy('HS256', { '_couchdb.roles': ['_admin'] })}` };
    const { status, body } = await closed.ask('GET', '/_session', { as: null, headers });
    expect([status, body]).toEqual([
      200,
      {
        ok: true,
        userCtx: { name: null, roles: [] },
        info: { authentication_handlers: ['cookie', 'default'] },
      },
    ]);
    expect((await closed.ask('GET', CONFIG, { as: null, headers })).status).toBe(401);
  } finally {
    await closed.stop();
  }
});

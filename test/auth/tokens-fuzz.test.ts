import { Agent, request } from 'undici';
import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { encode, hmac, KEYS, SIGNERS, tokenBy, tokenOf } from './tokens.js';
import { startUsers, type Users } from './users/gateway.js';

/** The soak asks for more. */
const RUNS = Number(process.env.FUZZ_RUNS ?? 2000);

let it: Users;
const agent = new Agent({ connections: 1 });
beforeAll(async () => {
  it = await startUsers({
    auth: { handlers: ['jwt', 'proxy', 'cookie', 'default'] },
    jwt: { keys: KEYS },
    proxy: { secret: 'a secret of the proxy' },
    limits: { maxHeaderSize: 65_536 },
  });
});
afterAll(async () => {
  await agent.close();
  await it.stop();
});

async function ask(headers: Record<string, string>, url: string): Promise<{ status: number; body: unknown }> {
  const { statusCode, body } = await request(`http://127.0.0.1:${it.port}${url}`, {
    dispatcher: agent,
    headers,
  });
  return { status: statusCode, body: await body.json() };
}

/** Nobody gets anything by it, and the server does not fail. */
async function expectNoRight(headers: Record<string, string>): Promise<void> {
  const { status, body } = await ask(headers, '/_session');
  if (status === 200) expect(body).toMatchObject({ userCtx: { name: null, roles: [] } });
  else expect([400, 401, 404]).toContain(status);
}

const algorithms = Object.keys(SIGNERS);
const algorithm = fc.constantFrom(...algorithms);
const ADMIN = { sub: 'admin', '_couchdb.roles': ['_admin'] };
const good = new Map(algorithms.map((name) => [name, tokenBy(name, ADMIN)]));
const printable = fc.stringMatching(/^[\w.=+/ ~"{}-]{0,40}$/);

/** A good token in which a stretch of characters is another one. */
const mutated = fc
  .record({ algorithm, at: fc.double({ min: 0, max: 1, noNaN: true }), length: fc.nat(3), text: printable })
  .map(({ algorithm: name, at, length, text }) => {
    const token = good.get(name) ?? '';
    const from = Math.floor(at * token.length);
    return { token, changed: token.slice(0, from) + text + token.slice(from + length) };
  })
  .filter(({ token, changed }) => changed.trimEnd() !== token)
  .map(({ changed }) => changed);

/** A good token with the parts of others. */
const swapped = fc
  .tuple(algorithm, algorithm, fc.nat(2))
  .filter(([one, other]) => one !== other)
  .map(([one, other, at]) => {
    const parts = (good.get(one) ?? '').split('.');
    const others = (good.get(other) ?? '').split('.');
    return parts.map((part, index) => (index === at ? (others[index] ?? '') : part)).join('.');
  })
  .filter((token) => ![...good.values()].includes(token));

const anything = fc.oneof(
  fc.jsonValue({ maxDepth: 2 }),
  fc.constantFrom(
    'none',
    'HS256',
    'RS256',
    'EdDSA',
    '_default',
    'r',
    'ed',
    'hmac:_default',
    '__proto__',
    null,
  ),
);

/** A header and claims of any kind, signed by whoever has none of the keys, but the public ones. */
const forged = fc
  .record({
    header: fc.oneof(
      anything,
      fc.record(
        {
          alg: fc.oneof(algorithm, anything),
          kid: fc.oneof(fc.constantFrom('_default', 'r', 'p256', 'p384', 'p521', 'ed'), anything),
          typ: fc.oneof(fc.constant('JWT'), anything),
          crit: anything,
          b64: fc.boolean(),
          jwk: fc.constant({ kty: 'oct', k: 'AAAA' }),
        },
        { requiredKeys: [] },
      ),
    ),
    claims: fc.oneof(
      anything,
      fc.record(
        { sub: fc.oneof(fc.constant('admin'), anything), exp: anything, '_couchdb.roles': anything },
        { requiredKeys: [] },
      ),
      fc.constant({ ...ADMIN, exp: 9_999_999_999 }),
    ),
    key: fc.constantFrom('', 'null', 'undefined', ...Object.values(KEYS)),
    bits: fc.constantFrom(256, 384, 512),
  })
  .map(({ header, claims, key, bits }) => tokenOf(header, claims, hmac(bits, key)));

test('whatever stands in a token, it is no right without a signature', { timeout: 120_000 }, async () => {
  const token = fc.oneof(mutated, swapped, forged, printable);
  await fc.assert(
    fc.asyncProperty(token, (text) => expectNoRight({ authorization: `Bearer ${text}` })),
    { numRuns: RUNS / 2 },
  );
});

test('a genuine token of any content never ends in a failure', { timeout: 120_000 }, async () => {
  const claims = fc.oneof(
    anything,
    fc.record(
      {
        sub: anything,
        exp: fc.oneof(fc.constant(9_999_999_999), anything),
        '_couchdb.roles': anything,
        nbf: anything,
      },
      { requiredKeys: [] },
    ),
  );
  await fc.assert(
    fc.asyncProperty(algorithm, claims, async (name, content) => {
      const { kid, sign } = SIGNERS[name] ?? { sign: hmac(256) };
      const authorization = `Bearer ${tokenOf({ alg: name, kid }, content, sign)}`;
      expect((await ask({ authorization }, '/_session')).status).toBeLessThan(500);
    }),
    { numRuns: RUNS / 4 },
  );
});

test(
  'whatever stands in the headers of a proxy, it is no right without the token',
  { timeout: 120_000 },
  async () => {
    const value = fc.oneof(
      printable,
      fc.string({ unit: 'binary', maxLength: 20 }).map((text) => encode(text)),
      fc.string({
        unit: fc.integer({ min: 0x80, max: 0xff }).map((code) => String.fromCharCode(code)),
        maxLength: 20,
      }),
      fc.constantFrom('admin', '_admin', ''),
    );
    const headers = fc.record(
      { 'x-auth-couchdb-username': value, 'x-auth-couchdb-roles': value, 'x-auth-couchdb-token': value },
      { requiredKeys: [] },
    );
    await fc.assert(fc.asyncProperty(headers, expectNoRight), { numRuns: RUNS / 4 });
  },
);

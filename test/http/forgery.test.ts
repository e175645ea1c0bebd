import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startUsers, type Asking, type Users } from '../auth/users/gateway.js';

const APP = 'https://app.example';
const EVIL = 'https://evil.example';

let it: Users;
let cookie = '';
afterAll(() => it.stop());
beforeAll(async () => {
  it = await startUsers({ cors: { origins: [APP, 'app://obsidian.md'] } });
  const json = { name: 'admin', password: 'secret' };
  const { headers } = await it.ask('POST', '/_session', { as: null, json });
  cookie = headers['set-cookie']?.[0]?.split(';')[0] ?? '';
  await it.ask('PUT', '/db');
});

let count = 0;
const write = async (headers: Asking['headers'], as: string | null = null): Promise<number> => {
  const asking = { as, headers: { ...(as === null && { cookie }), ...headers }, json: {} };
  return (await it.ask('PUT', `/db/doc${String(count++)}`, asking)).status;
};
const here = (): string => `127.0.0.1:${String(it.port)}`;

describe('with a cookie', () => {
  test.each<[string, () => Asking['headers']]>([
    ['programs that are no browsers', () => ({})],
    ['pages of this server', () => ({ origin: `http://${here()}`, referer: `http://${here()}/_utils/` })],
    ['pages of this server that say it by a Referer', () => ({ referer: `http://${here()}/app?x#y` })],
    ['pages behind a proxy', () => ({ origin: 'https://db.example', 'x-forwarded-host': 'db.example' })],
    [
      'pages of which the browser says so',
      () => ({ origin: 'https://db.example', 'sec-fetch-site': 'same-origin' }),
    ],
    ['pages that CORS names', () => ({ origin: APP, 'sec-fetch-site': 'cross-site' })],
    ['apps that CORS names', () => ({ origin: 'app://obsidian.md' })],
  ])('%s may write', async (_who, headers) => {
    expect(await write(headers())).toBe(201);
  });

  test.each<[string, () => Asking['headers']]>([
    ['of another origin', () => ({ origin: EVIL })],
    ['of another origin, by a Referer', () => ({ referer: `${EVIL}/${here()}` })],
    ['of another port', () => ({ origin: 'http://127.0.0.1:1' })],
    ['of no origin', () => ({ origin: 'null' })],
    ['of a name that begins alike', () => ({ origin: `${APP}.evil.example` })],
    ['of which the browser says so', () => ({ 'sec-fetch-site': 'cross-site' })],
    ['beside this server', () => ({ origin: EVIL, 'sec-fetch-site': 'same-site' })],
  ])('pages %s may not, and write nothing', async (_who, headers) => {
    expect(await write(headers())).toBe(403);
    expect((await it.ask('GET', `/db/doc${String(count - 1)}`)).status).toBe(404);
    for (const [method, url] of [
      ['POST', '/db'],
      ['DELETE', '/db'],
      ['PUT', '/other'],
      ['COPY', '/db/doc0'],
      ['DELETE', '/_session'],
    ] as const) {
      const { status } = await it.ask(method, url, { as: null, headers: { cookie, ...headers() }, json: {} });
      expect({ method, url, status }).toEqual({ method, url, status: 403 });
    }
  });

  test('they may read what a browser does not show them', async () => {
    const headers = { cookie, origin: EVIL };
    expect((await it.ask('GET', '/db', { as: null, headers })).status).toBe(200);
  });
});

test('with a password they may write, for they know it', async () => {
  expect(await write({ origin: EVIL }, 'admin:secret')).toBe(201);
});

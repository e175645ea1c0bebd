import { randomBytes } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm, stat } from 'node:fs/promises';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import { hashPassword } from '../../src/auth/password.js';
import { startUsers, type Users } from '../auth/users/gateway.js';
import { type FaultyProxy, startFaultyProxy } from '../support/faulty-proxy.js';
import { until } from '../system/support/wait.js';
import { linkOf } from './pair.js';

/** Never while a test runs. */
const LATE = 2_000_000_000;

let back: Users;
let line: FaultyProxy;
/** Paths that reached the upstream's line, but for those of probes. */
const asked: string[] = [];
const folders: string[] = [];

beforeAll(async () => {
  back = await startUsers({
    admins: { admin: await hashPassword('secret', 1), root: await hashPassword('deep', 1) },
    lockout: { mode: 'off' },
  });
  await back.put('gate', { password: 'way' });
  line = await startFaultyProxy(back.port);
});
afterAll(async () => {
  await line.close();
  await back.stop();
  for (const folder of folders) await rm(folder, { recursive: true, force: true });
});

const here = (): void => {
  line.faults = (_method, where) => {
    asked.push(where);
    return undefined;
  };
};
const away = (): void => {
  line.faults = () => ({ kind: 'answer', status: 503 });
};
beforeEach(here);

const folder = async (): Promise<string> => {
  const made = await mkdtemp(path.join(tmpdir(), 'causeway-test-'));
  folders.push(made);
  return made;
};

interface Fronting {
  readonly recheck?: number;
  readonly remember?: number;
  readonly account?: string;
  readonly data?: string;
  readonly url?: string;
  readonly enabled?: boolean;
}

/** A gateway whose people are the upstream's; its account there is a server admin's where nothing else is said. */
async function startFront({
  recheck = LATE,
  remember = LATE,
  account = 'admin:secret',
  ...more
}: Fronting = {}) {
  const [username, password] = account.split(':');
  const { data = await folder(), enabled = true, url = `http://127.0.0.1:${line.port}` } = more;
  const front = await startUsers(
    {
      upstream: {
        url,
        username,
        password,
        firstRetry: 20,
        probeInterval: 200,
        accounts: { enabled, recheck, remember },
      },
      databases: [{ match: '*', mode: 'local' }],
    },
    data,
  );
  onTestFinished(() => front.stop());
  return front;
}

async function startSeen(fronting?: Fronting): Promise<Users> {
  const front = await startFront(fronting);
  await until('the upstream to be seen', async () => (await linkOf(front)).state === 'online');
  asked.length = 0;
  return front;
}

const sessions = (): number => asked.filter((where) => where === '/_session').length;

async function logIn(front: Users, name: string, password: string): Promise<string> {
  const { headers } = await front.ask('POST', '/_session', { as: null, json: { name, password } });
  return headers['set-cookie']?.[0]?.split(';')[0] ?? '';
}

const whoHas = async (front: Users, cookie: string): Promise<string | null | number> => {
  const { status, body } = await front.ask('GET', '/_session', { as: null, headers: { cookie } });
  return status === 200 ? (body as { userCtx: { name: string | null } }).userCtx.name : status;
};

const from = (address: string): { headers: Record<string, string> } => ({
  headers: { 'x-forwarded-for': address },
});

describe('people of the upstream', () => {
  test('log in here with name and password, with their roles there', async () => {
    await back.put('mia', { password: 'pear', roles: ['crew'] });
    const front = await startSeen();
    expect(await front.whoIs('mia:pear')).toEqual(['crew']);
    expect(await whoHas(front, await logIn(front, 'mia', 'pear'))).toBe('mia');
    await front.ask('PUT', '/notes');
    expect((await front.ask('GET', '/notes', { as: 'mia:pear' })).status).toBe(403);
    await front.ask('PUT', '/notes/_security', { json: { members: { roles: ['crew'] } } });
    expect((await front.ask('GET', '/notes', { as: 'mia:pear' })).status).toBe(200);
    for (const wrong of ['mia:plum', 'mia:', 'nobody:pear']) expect(await front.whoIs(wrong)).toBe(401);
    expect(await logIn(front, 'mia', 'plum')).toBe('AuthSession=');
  });

  test('are asked for there once, however many requests come at once and later', async () => {
    await back.put('tom', { password: 'fig' });
    const front = await startSeen();
    await Promise.all(Array.from({ length: 20 }, () => front.whoIs('tom:fig')));
    await front.whoIs('tom:fig');
    expect(sessions()).toBe(1);
  });

  test('count for nobody where the configuration does not say so', async () => {
    await back.put('ada', { password: 'lime' });
    const front = await startSeen({ enabled: false });
    expect(await front.whoIs('ada:lime')).toBe(401);
    expect(sessions()).toBe(0);
  });

  test('I9: are no admins here, though they are there', async () => {
    const front = await startSeen();
    await front.ask('PUT', '/private');
    expect(await front.whoIs('root:deep')).toEqual([]);
    const cookie = await logIn(front, 'root', 'deep');
    for (const [method, where] of [
      ['PUT', '/other'],
      ['GET', '/private'],
      ['PUT', '/private/_security'],
      ['GET', '/_node/_local/_config'],
      ['GET', '/_gateway/status'],
      ['GET', '/_users/_all_docs'],
      ['GET', '/_users/org.couchdb.user:mia'],
    ] as const)
      for (const asking of [{ as: 'root:deep' }, { as: null, headers: { cookie } }])
        expect([401, 403, 404], `${method} ${where}`).toContain(
          (await front.ask(method, where, { json: {}, ...asking })).status,
        );
  });

  test('I9: are nobody where an account here has their name, whose password is not shown to the upstream', async () => {
    await back.put('sam', { password: 'there', roles: ['crew'] });
    const front = await startSeen();
    await front.put('sam', { password: 'here' });
    expect(await front.whoIs('sam:here')).toEqual([]);
    expect(await front.whoIs('sam:there')).toBe(401);
    expect(await front.whoIs('admin:other')).toBe(401);
    expect(sessions()).toBe(0);
  });

  test('I9: are who the upstream says they are, and nobody with a name that is no person’s', async () => {
    const server = http.createServer((request, response) => {
      const name = Buffer.from((request.headers.authorization ?? '').slice(6), 'base64')
        .toString()
        .split(':')[0];
      if (request.url === '/') response.end('{"couchdb":"Welcome"}');
      else if (name === 'nothing') response.end('{}');
      else {
        const roles = ['_admin', '_metrics', 'crew', 7];
        // It takes names for the same that differ in case.
        response.end(JSON.stringify({ userCtx: { name: name?.toLowerCase() ?? null, roles } }));
      }
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    onTestFinished(() => {
      server.closeAllConnections();
      server.close();
    });
    const { port } = server.address() as AddressInfo;
    const front = await startSeen({ url: `http://127.0.0.1:${port}`, account: 'gate:way' });
    expect(await front.whoIs('eva:x')).toEqual(['crew']);
    for (const name of ['Eva', '_eva', '_admin', '']) expect(await front.whoIs(`${name}:x`)).toBe(401);
    for (const name of ['eva:b', '_eva']) {
      const json = { name, password: 'x' };
      expect((await front.ask('POST', '/_session', { as: null, json })).status).toBe(401);
    }
    // What says nothing of anybody does not say no.
    expect(await front.whoIs('nothing:x')).toBe(503);
  });
});

describe('while the upstream is away', () => {
  test('those who were seen work on, also after a restart, and nobody is told that a password is wrong', async () => {
    await back.put('kim', { password: 'kiwi', roles: ['crew'] });
    const data = await folder();
    const before = await startSeen({ data, recheck: 1 });
    expect(await before.whoIs('kim:kiwi')).toEqual(['crew']);
    const cookie = await logIn(before, 'kim', 'kiwi');
    away();
    const check = async (front: Users): Promise<void> => {
      expect(await front.whoIs('kim:kiwi')).toEqual(['crew']);
      expect(await whoHas(front, cookie)).toBe('kim');
      expect(await logIn(front, 'kim', 'kiwi')).toMatch(/^AuthSession=./);
      for (const as of ['kim:plum', 'nobody:kiwi']) {
        const { status, headers } = await front.ask('GET', '/_session', { as });
        expect([status, Number(headers['retry-after']) > 0]).toEqual([503, true]);
      }
    };
    await check(before);
    await before.gateway.close();
    const text = await contents(path.join(data, 'upstream-accounts'));
    expect(text).toContain('pbkdf2');
    expect(text).not.toContain('kiwi');
    await check(await startFront({ data, recheck: 1 }));
  });

  test('I9: passwords cannot be guessed: after some wrong ones the right one is not told either', async () => {
    await back.put('lea', { password: 'plum' });
    const front = await startSeen({ recheck: 1 });
    await front.whoIs('lea:plum');
    const data = front.folder;
    await front.gateway.close();
    away();
    const anew = await startFront({ data, recheck: 1 });
    const guess = async (password: string, address: string): Promise<number> =>
      (await anew.ask('GET', '/_session', { as: `lea:${password}`, ...from(address) })).status;
    for (let at = 0; at < 6; at++) expect(await guess(`x${at}`, '192.0.2.1')).toBe(503);
    expect(await guess('plum', '192.0.2.1')).toBe(503);
    expect(await guess('plum', '192.0.2.2')).toBe(200);
  });

  test('what was said counts for the stated time', async () => {
    await back.put('pia', { password: 'date' });
    const front = await startSeen({ recheck: 1, remember: 1 });
    expect(await front.whoIs('pia:date')).toEqual([]);
    away();
    expect(await front.whoIs('pia:date')).toBe(503);
  });
});

describe.each([
  ['a server admin', 'admin:secret'],
  ['a user like others', 'gate:way'],
])('a change there, where the account of the gateway is %s,', (level, account) => {
  const isAdmin = level === 'a server admin';
  const name = isAdmin ? 'ben' : 'bob';

  test('of the password ends access with the old one, and its sessions', async () => {
    await back.put(name, { password: 'old', roles: ['crew'] });
    const front = await startSeen({ account, recheck: 1 });
    expect(await front.whoIs(`${name}:old`)).toEqual(['crew']);
    const cookie = await logIn(front, name, 'old');
    // Who may not read the document of the user knows nothing more of a session.
    expect(await whoHas(front, cookie)).toBe(isAdmin ? name : null);
    away();
    expect(await whoHas(front, cookie)).toBe(name);
    await back.put(name, { password: 'new', roles: [] });
    expect(await front.whoIs(`${name}:old`)).toEqual(['crew']);
    here();
    await until('the upstream to be back', async () => (await linkOf(front)).state === 'online');
    expect(await whoHas(front, cookie)).toBeNull();
    expect(await front.whoIs(`${name}:old`)).toBe(401);
    expect(await front.whoIs(`${name}:new`)).toEqual([]);
    expect(await whoHas(front, cookie)).toBeNull();
    away();
    expect(await front.whoIs(`${name}:old`)).toBe(503);
  });

  test('of the roles counts for the next request, and a user who is removed is gone', async () => {
    await back.put(name, { password: 'old', roles: ['crew'] });
    const front = await startSeen({ account, recheck: 1 });
    expect(await front.whoIs(`${name}:old`)).toEqual(['crew']);
    await back.put(name, { password: 'old', roles: ['other'] });
    expect(await front.whoIs(`${name}:old`)).toEqual(['other']);
    const cookie = await logIn(front, name, 'old');
    const { _rev } = await back.read(name);
    await back.ask('DELETE', `${back.documentOf(name)}?rev=${String(_rev)}`);
    expect(await whoHas(front, cookie)).toBeNull();
    expect(await front.whoIs(`${name}:old`)).toBe(401);
    away();
    expect(await front.whoIs(`${name}:old`)).toBe(503);
  });
});

test.each([
  [401, 'unauthorized', 'Name or password is incorrect.'],
  [403, 'forbidden', 'Not now.'],
  [404, 'http', 'Not found'],
])(
  'nobody is sent away because the upstream does not show their document for a moment (%i)',
  async (status, error, reason) => {
    const name = `dan${status}`;
    await back.put(name, { password: 'fig' });
    const front = await startSeen({ recheck: 1 });
    expect(await front.whoIs(`${name}:fig`)).toEqual([]);
    const cookie = await logIn(front, name, 'fig');
    const body = JSON.stringify({ error, reason });
    line.faults = (_, where) => (where.startsWith('/_users/') ? { kind: 'answer', status, body } : undefined);
    expect(await whoHas(front, cookie)).toBe(name);
    expect(await front.whoIs(`${name}:fig`)).toEqual([]);
    here();
    expect(await whoHas(front, cookie)).toBe(name);
  },
);

test('I9: a flood of wrong passwords shows the upstream few of a name, and does not keep out its owner', async () => {
  await back.put('zoe', { password: 'nut' });
  const front = await startSeen({ account: 'gate:way' });
  expect(await front.whoIs('zoe:nut')).toEqual([]);
  await front.gateway.close();
  // Nothing is in memory any more.
  const anew = await startSeen({ account: 'gate:way', data: front.folder });
  const guess = async (name: string, at: number): Promise<number> =>
    (await anew.ask('GET', '/_session', { as: `${name}:x${at}`, ...from(`192.0.2.${at}`) })).status;
  const statuses = await Promise.all(Array.from({ length: 30 }, (_, at) => guess('zoe', at)));
  expect(new Set(statuses)).toEqual(new Set([401, 503]));
  // CouchDB locks an account at five.
  expect(sessions()).toBe(4);
  // A name that nobody has is not told from it.
  expect(await Promise.all(Array.from({ length: 8 }, (_, at) => guess('none', at)))).toEqual(
    statuses.toSorted().slice(0, 4).concat([503, 503, 503, 503]),
  );
  expect(await anew.whoIs('zoe:nut')).toEqual([]);
  // From one address it ends as for accounts here.
  const own = [];
  for (let at = 0; at < 6; at++) own.push(await guess('other', 77));
  expect(own.slice(0, 4)).toEqual([401, 401, 401, 401]);
});

test('what another upstream said counts for nothing', async () => {
  await back.put('jon', { password: 'oat' });
  const front = await startSeen({ recheck: 1 });
  expect(await front.whoIs('jon:oat')).toEqual([]);
  await front.gateway.close();
  away();
  const url = `http://127.0.0.1:${line.port}/other/`;
  expect(await (await startFront({ data: front.folder, url })).whoIs('jon:oat')).toBe(503);
});

/** Everything in a folder that only its owner may read. */
async function contents(folder: string): Promise<string> {
  expect((await stat(folder)).mode & 0o077).toBe(0);
  const names = await readdir(folder);
  return (await Promise.all(names.map((name) => readFile(path.join(folder, name), 'latin1')))).join('');
}

/** A CouchDB with the name and password of an admin, `http://admin:secret@127.0.0.1:5984`. */
const { COUCHDB_URL } = process.env;

test.skipIf(COUCHDB_URL === undefined)(
  'people of a CouchDB log in and are locked out of nothing (needs COUCHDB_URL)',
  async () => {
    const { origin: url, username, password } = new URL(COUCHDB_URL ?? 'http://nobody:nothing@127.0.0.1');
    const name = `causeway-${randomBytes(4).toString('hex')}`;
    const document = `${url}/_users/org.couchdb.user:${name}`;
    const authorization = `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`;
    const put = async (members: object): Promise<void> => {
      const { _rev } = (await (await fetch(document, { headers: { authorization } })).json()) as {
        _rev?: string;
      };
      const body = JSON.stringify({
        name,
        type: 'user',
        roles: ['crew'],
        ...(_rev !== undefined && { _rev }),
        ...members,
      });
      expect((await fetch(document, { method: 'PUT', body, headers: { authorization } })).ok).toBe(true);
    };
    await put({ password: 'pear' });
    const front = await startSeen({ url, account: `${username}:${password}`, recheck: 1 });
    expect(await front.whoIs(`${name}:pear`)).toEqual(['crew']);
    const cookie = await logIn(front, name, 'pear');
    for (let at = 0; at < 20; at++)
      await front.ask('GET', '/_session', { as: `${name}:x${at}`, ...from(`192.0.2.${at}`) });
    expect(await front.whoIs(`${name}:pear`)).toEqual(['crew']);
    expect(await whoHas(front, cookie)).toBe(name);
    await put({ password: 'plum' });
    expect(await whoHas(front, cookie)).toBeNull();
    // It has had enough wrong ones.
    expect(await front.whoIs(`${name}:pear`)).toBe(503);
    await put({ _deleted: true });
  },
);

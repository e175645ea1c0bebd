import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { Auth } from '../../../src/auth/auth.js';
import * as password from '../../../src/auth/password.js';
import { Users } from '../../../src/auth/users/users.js';
import { configSchema, type Config } from '../../../src/config/schema.js';
import { createLogger } from '../../../src/observe/log.js';
import { Tasks } from '../../../src/observe/tasks.js';
import { Databases } from '../../../src/store/databases.js';
import { until } from '../../system/support/wait.js';

vi.mock(import('../../../src/auth/password.js'), { spy: true });
const verify = vi.mocked(password.verifyPassword);

const COUNT = 1000;
const client = { secure: false, address: '192.0.2.1' };
const guesser = { secure: false, address: '192.0.2.2' };
const log = createLogger({ level: 'silent' });

let folder = '';
let databases: Databases;
let auth: Auth;
let users: Users;
let config: Config;

const nameOf = (n: number): string => `user${String(n)}`;
const headersOf = (n: number) => ({
  authorization: `Basic ${Buffer.from(`${nameOf(n)}:password`).toString('base64')}`,
});
const newUser = (n: number) => ({
  id: `org.couchdb.user:${nameOf(n)}`,
  revisions: { start: 0, ids: [] },
  deleted: false,
  body: `"name":"${nameOf(n)}","type":"user","roles":["r${String(n)}"],"password":"password"`,
});
const inTurn = async (work: (n: number) => Promise<unknown>): Promise<void> => {
  for (let n = 0; n < COUNT; n++) await work(n);
};

beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'causeway-test-'));
  config = configSchema.parse({ data: folder, passwords: { iterations: 1 } });
  const { store, limits, compaction } = config;
  const options = { ...store, maxOpen: limits.maxDbsOpen };
  databases = await Databases.open(folder, options, { compaction, tasks: new Tasks(), log });
  users = new Users(databases, config);
  await users.prepare();
  auth = Auth.open({ admins: {}, secret: 'secret', config, users, log });
  await databases.use('_users', async (db) => {
    const view = users.view(db, { name: null, roles: ['_admin'] }, () => false);
    const edits = Array.from({ length: COUNT }, (_, n) => newUser(n));
    const results = await view.write(edits, { newEdits: true });
    expect(results.every(({ ok }) => ok)).toBe(true);
  });
});
afterAll(async () => {
  await databases.close();
  await rm(folder, { recursive: true, force: true });
});
beforeEach(() => {
  verify.mockClear();
});
afterEach(() => {
  vi.restoreAllMocks();
});

test('a thousand users pay for one hash each, whatever they do afterwards', async () => {
  for (let round = 0; round < 5; round++) {
    await inTurn(async (n) => {
      const { user } = await auth.authenticate(headersOf(n), client);
      expect(user.roles).toEqual([`r${String(n)}`]);
    });
  }
  expect(verify).toHaveBeenCalledTimes(COUNT);
});

test('whoever is not among them is looked up once, until there is a document', async () => {
  await databases.use('_users', async (db) => {
    const gets = vi.spyOn(db, 'get');
    const ask = () => auth.authenticate(headersOf(COUNT), client);
    for (let n = 0; n < 3; n++) await expect(ask()).rejects.toMatchObject({ status: 401 });
    expect(gets).toHaveBeenCalledTimes(1);
    // Strangers could fill the memory with names as long as this, if they were remembered.
    const authorization = `Basic ${btoa(`${'x'.repeat(5000)}:password`)}`;
    await expect(auth.authenticate({ authorization }, guesser)).rejects.toMatchObject({ status: 401 });
    expect(gets).toHaveBeenCalledTimes(1);
    const view = users.view(db, { name: null, roles: ['_admin'] }, () => false);
    expect(await view.write([newUser(COUNT)], { newEdits: true })).toMatchObject([{ ok: true }]);
    expect((await ask()).user.name).toBe(nameOf(COUNT));
  });
});

test('of their requests, 95 in 100 and more pay for none, though some of them change and others guess', async () => {
  const REQUESTS = 20 * COUNT;
  await inTurn((n) => auth.authenticate(headersOf(n), client));
  verify.mockClear();
  let guesses = 0;
  await databases.use('_users', async (db) => {
    const view = users.view(db, { name: null, roles: ['_admin'] }, () => false);
    for (let at = 0; at < REQUESTS; at++) {
      if (at % 400 === 0) {
        const user = newUser((at / 400) * 13);
        const [start = '', ...ids] = (db.get(user.id)?.winner ?? '').split('-');
        const edit = { ...user, revisions: { start: Number(start), ids } };
        expect(await view.write([edit], { newEdits: true })).toMatchObject([{ ok: true }]);
      }
      if (at % 50 === 0) {
        const wrong = { authorization: `Basic ${btoa(`user${String(at)}:guess`)}` };
        await expect(auth.authenticate(wrong, guesser)).rejects.toMatchObject({ status: 401 });
        guesses++;
      }
      await auth.authenticate(headersOf((at * 7) % COUNT), client);
    }
  });
  // Nor is more paid for a guess than what checks it.
  const hashes = verify.mock.calls.length - guesses;
  expect(1 - hashes / REQUESTS).toBeGreaterThan(0.95);
});

test('when one of them changes, none of the others is read again', async () => {
  await databases.use('_users', async (db) => {
    await inTurn((n) => auth.authenticate(headersOf(n), client));
    const reads = vi.spyOn(db, 'read');
    const view = users.view(db, { name: null, roles: ['_admin'] }, () => false);
    const rev = db.get('org.couchdb.user:user7')?.winner ?? '';
    const edit = {
      id: 'org.couchdb.user:user7',
      revisions: { start: Number(rev.split('-')[0]), ids: rev.split('-').slice(1) },
      deleted: false,
      body: '"name":"user7","type":"user","roles":["new"],"password":"password"',
    };
    expect(await view.write([edit], { newEdits: true })).toMatchObject([{ ok: true }]);
    reads.mockClear();
    verify.mockClear();
    await inTurn((n) => auth.authenticate(headersOf(n), client));
    expect(reads).toHaveBeenCalledTimes(1);
    // Its password is hashed with another salt.
    expect(verify).toHaveBeenCalledTimes(1);
    expect((await auth.authenticate(headersOf(7), client)).user.roles).toEqual(['new']);
  });
});

/** How many times something is called in one round of the event loop, at most, while work is done. */
async function mostAtOnce(calls: { calls: unknown[][] }, work: () => Promise<unknown>): Promise<number> {
  let going = true;
  let isOver = false;
  let before = calls.calls.length;
  let most = 0;
  const goRound = (): void => {
    most = Math.max(most, calls.calls.length - before);
    before = calls.calls.length;
    if (going) setImmediate(goRound);
    else isOver = true;
  };
  goRound();
  await work();
  going = false;
  await until('the last round is over', () => isOver);
  return most;
}

describe('others get their turns', () => {
  const MANY = 20_000;
  const nobody = { name: null, roles: [] };

  test('while many documents are judged', async () => {
    await databases.use('_users', async (db) => {
      const edits = Array.from({ length: MANY }, (_, n) => newUser(2 * COUNT + n));
      const view = users.view(db, nobody, () => false);
      const most = await mostAtOnce(vi.spyOn(db, 'get').mock, () => view.write(edits, { newEdits: true }));
      expect(most).toBeLessThan(MANY / 2);
    });
  });

  test('while it is looked what is public of many', async () => {
    await databases.use('_users', async (db) => {
      const open = { ...config, users: { ...config.users, publicFields: ['name'] } };
      const view = new Users(databases, open).view(db, nobody, () => false);
      const ids = Array.from({ length: MANY }, (_, n) => newUser(n % COUNT).id);
      const most = await mostAtOnce(vi.spyOn(db, 'read').mock, () => view.getMany(ids));
      expect(most).toBeLessThan(MANY / 2);
    });
  });
});

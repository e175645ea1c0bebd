import type * as fs from 'node:fs/promises';
import { cp, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import path from 'node:path';
import {
  afterAll,
  afterEach,
  beforeAll,
  beforeEach,
  describe,
  expect,
  onTestFinished,
  test,
  vi,
} from 'vitest';
import { verifyPassword } from '../../src/auth/password.js';
import { loadConfig } from '../../src/config/load.js';
import type { Config } from '../../src/config/schema.js';
import { createLogger } from '../../src/observe/log.js';
import { takeOver } from '../../src/takeover.js';
import {
  FORMER_ADMIN,
  FORMER_DATABASES,
  makeFormerDirectory,
  SECURITY,
  VIEW_INDEX,
} from '../support/former-server.js';
import { PouchProcess } from '../support/pouch.js';
import { temporaryFolder } from '../support/server.js';
import { body, openDatabases } from '../support/store.js';

/** What a crash at a step leaves behind is what a failure there does. */
const crash = vi.hoisted(() => ({ renames: 0, at: 0, when: 'before' }));
vi.mock('node:fs/promises', async (original) => {
  const real = await original<typeof fs>();
  return {
    ...real,
    rename: async (from: string, to: string) => {
      const isDue = ++crash.renames === crash.at;
      if (isDue && crash.when === 'before') throw new Error('crash');
      await real.rename(from, to);
      if (isDue) throw new Error('crash');
    },
  };
});

const MOVED = ['_replicator', '_users', 'a_b%24(c)%2B-d', 'closed', 'odd', 'public', 'simple'];
const CLOSED = { members: { roles: ['_admin'] }, admins: { roles: ['_admin'] } };

let template: string;
let root: string;
let lines: Record<string, unknown>[];

beforeAll(async () => {
  template = await temporaryFolder();
  await makeFormerDirectory(template);
});
afterAll(() => rm(template, { recursive: true, force: true }));
beforeEach(async () => {
  root = await temporaryFolder();
  await renew();
  lines = [];
});
afterEach(async () => {
  crash.at = 0;
  await rm(root, { recursive: true, force: true });
});

async function renew(): Promise<void> {
  await rm(root, { recursive: true, force: true });
  await cp(template, root, { recursive: true });
}

const log = createLogger(
  { level: 'info' },
  { write: (line: string) => void lines.push(JSON.parse(line) as Record<string, unknown>) },
);
/** @returns the configuration of a server that starts then */
const run = async (values: object = {}): Promise<Config> => {
  const load = () => loadConfig({ values: { data: root, ...values } }).config;
  await takeOver(root, load(), log);
  return load();
};

const at = (...parts: string[]): string => path.join(root, ...parts);
const said = (pattern: RegExp): Record<string, unknown>[] =>
  lines.filter(({ msg }) => pattern.test(String(msg)));
const left = (): unknown[] => said(/stays where it is/).map(({ folder }) => folder);

/** Everything is where it belongs. */
async function expectPlaces(): Promise<void> {
  expect(await readdir(at('databases'))).toEqual(MOVED);
  expect((await readdir(at('pouchdb-server'))).sort()).toEqual(['pouch__all_dbs__', VIEW_INDEX]);
  const rest = [
    'Capital',
    'config.json',
    'databases',
    'log.txt',
    'pouchdb-server',
    'runtime.json',
    'unlisted',
  ];
  expect((await readdir(root)).filter((name) => name !== 'copies')).toEqual(rest);
}

/** And everything is there. */
async function expectTakenOver(): Promise<void> {
  await expectPlaces();
  const databases = await openDatabases(root);
  for (const name of databases.list())
    await databases.use(name, (db) => expect(body(db, 'from')).toMatchObject({ name }));
  expect(databases.list()).toHaveLength(MOVED.length);
  await databases.close();
}

describe('a data directory of pouchdb-server', () => {
  test('is taken over with all databases that can be', async () => {
    await run();
    await expectTakenOver();
    expect(left().sort()).toEqual(['Capital', 'unlisted', 'vanished']);
    lines = [];
    await run();
    expect(lines).toEqual([]);
  });

  test('keeps documents, attachments and views', async () => {
    await run();
    const databases = await openDatabases(root);
    await databases.use('simple', async (db) => {
      expect(body(db, '_design/v')).toHaveProperty('views.all.map');
      const { digest } = (body(db, 'attached')?._attachments as Record<string, { digest: string }>)[
        'x.txt'
      ] ?? {
        digest: '',
      };
      const chunks: Buffer[] = [];
      const reader = db.openAttachments();
      for await (const chunk of reader.read(digest, { start: 0, end: 5 })) chunks.push(chunk);
      await reader.close();
      expect(Buffer.concat(chunks).toString()).toBe('hello');
    });
  });

  test('keeps its security objects; what nobody had opened is closed', async () => {
    await run();
    const databases = await openDatabases(root);
    const security: Record<string, unknown> = {};
    for (const name of databases.list())
      security[name] = await databases.use(name, (db) => JSON.parse(db.security) as unknown);
    expect(security).toEqual({
      _users: CLOSED,
      _replicator: CLOSED,
      simple: CLOSED,
      'a_b$(c)+-d': SECURITY,
      closed: SECURITY,
      public: {},
      odd: FORMER_DATABASES.odd,
    });
    expect(said(/were open to everybody/)).toMatchObject([{ databases: ['simple'] }]);
    expect(said(/cannot be read/)).toMatchObject([{ database: 'odd' }]);
    await databases.use('closed', (db) => db.setSecurity('{"n":1}'));
    await databases.close();
    // What the local document says counts once.
    await (await openDatabases(root)).use('closed', (db) => expect(db.security).toBe('{"n":1}'));
  });

  test('keeps its admins and the origins for CORS, from then on', async () => {
    const { admins, cors } = await run();
    expect(admins).toEqual({ admin: FORMER_ADMIN.hashed });
    expect(await verifyPassword(FORMER_ADMIN.password, admins.admin ?? '')).toBe(true);
    expect(cors.origins).toEqual(['http://a.example', 'http://b.example']);
    expect(said(/hashed weakly/)).toMatchObject([{ name: 'admin' }]);
    expect(said(/settings/)).toMatchObject([{ settings: ['httpd.port'] }]);
    const later = loadConfig({ flags: new Map([['data', root]]) }).config;
    expect([later.admins, later.cors.origins]).toEqual([admins, cors.origins]);
    expect((await stat(at('runtime.json'))).mode & 0o777).toBe(0o600);
    expect(JSON.stringify(lines)).not.toContain(FORMER_ADMIN.hashed.slice(8, 20));
  });

  test('gives way to the admins and origins of the configuration', async () => {
    await writeFile(at('runtime.json'), '{"config":{"log":{"level":"warn"}}}');
    const given = { admins: { admin: 'mine', bo: 'x' }, cors: { origins: ['http://c.example'] } };
    expect(await run(given)).toMatchObject(given);
    expect(JSON.parse(await readFile(at('runtime.json'), 'utf8'))).toEqual({
      config: { log: { level: 'warn' } },
    });
  });

  test.each([
    [undefined, /there is no config\.json/],
    ['{', /config\.json cannot be read/],
    ['null', /^$/],
    [JSON.stringify({ admins: { _x: FORMER_ADMIN.hashed, y: '-pbkdf2-bad', z: 1 } }), /is not taken over/],
  ])('is taken over where its configuration is %j', async (text, warning) => {
    if (text === undefined) await rm(at('config.json'));
    else await writeFile(at('config.json'), text);
    const { admins, cors } = await run();
    expect([admins, cors.origins]).toEqual([{}, []]);
    if (!warning.test('')) expect(said(warning).length).toBeGreaterThan(0);
    expect(await readdir(at('databases'))).toEqual(MOVED);
  });

  test('has passwords in clear text hashed, and CORS off where it was', async () => {
    await writeFile(
      at('config.json'),
      JSON.stringify({ admins: { jo: 'clear' }, httpd: { enable_cors: 'false' }, cors: { origins: '*' } }),
    );
    const { admins, cors } = await run();
    expect(admins.jo).toMatch(/^-pbkdf2:sha256-/);
    expect(await verifyPassword('clear', admins.jo ?? '')).toBe(true);
    expect(cors.origins).toEqual([]);
    expect(await readFile(at('runtime.json'), 'utf8')).not.toContain('clear');
  });

  test('writes over nothing, and follows no links', async () => {
    await cp(at('public'), at('databases', 'closed'), { recursive: true });
    await cp(at('public'), at('elsewhere'), { recursive: true });
    await rm(at('odd'), { recursive: true });
    await symlink('elsewhere', at('odd'));
    await run();
    expect(left()).toEqual(expect.arrayContaining(['closed', 'odd']));
    const databases = await openDatabases(root);
    expect(await databases.use('closed', (db) => body(db, 'from'))).toMatchObject({ name: 'public' });
    expect(await readdir(at('closed'))).toContain('CURRENT');
    expect(await readdir(at('elsewhere'))).toContain('CURRENT');
  });

  test('has a database that is damaged told of, and kept', async () => {
    await writeFile(at('closed', 'CURRENT'), 'nonsense');
    await run();
    expect(said(/cannot be opened/)).toMatchObject([{ database: 'closed' }]);
    expect(await readdir(at('databases'))).toEqual(MOVED);
  });

  test.each(['pouch__all_dbs__', 'closed'])('is left alone while another process uses %s', async (folder) => {
    const pouch = new PouchProcess();
    onTestFinished(() => pouch.stop());
    await pouch.open(at(folder));
    const before = (await readdir(root)).sort();
    await expect(run()).rejects.toMatchObject({ exitCode: 75 });
    expect((await readdir(root)).sort()).toEqual(before);
    await pouch.close(at(folder));
    await run();
    await expectTakenOver();
  });

  test.each(['lock', 'databases'])(
    'with a database called %s, as a folder of ours, is refused',
    async (name) => {
      const pouch = new PouchProcess();
      onTestFinished(() => pouch.stop());
      await pouch.put(at('pouch__all_dbs__'), { _id: `db_${name}` });
      await pouch.close(at('pouch__all_dbs__'));
      await cp(at('public'), at(name), { recursive: true });
      const before = await readdir(root);
      await expect(run()).rejects.toMatchObject({ exitCode: 65 });
      expect(await readdir(root)).toEqual(before);
      expect(await readdir(at(name))).toEqual(await readdir(at('public')));
    },
  );

  test('of SQLite is refused', async () => {
    await rm(at('pouch__all_dbs__'), { recursive: true });
    await writeFile(at('pouch__all_dbs__'), 'SQLite format 3');
    await expect(run()).rejects.toMatchObject({ exitCode: 65 });
    expect(await readdir(root)).not.toContain('databases');
  });

  test('is taken over at the next start, whatever the step at which it was interrupted', async () => {
    let steps = 0;
    for (const when of ['before', 'after'] as const) {
      for (let step = 1; ; step++) {
        await renew();
        Object.assign(crash, { renames: 0, at: step, when });
        const outcome = await run().then(
          () => 'done',
          (error: unknown) => (error as Error).message,
        );
        crash.at = 0;
        if (outcome === 'done') break;
        expect(outcome).toBe('crash');
        steps++;
        const { admins } = await run();
        expect(admins).toEqual({ admin: FORMER_ADMIN.hashed });
        await expectPlaces();
      }
      await expectTakenOver();
    }
    // The configuration, the databases, the index of the view, and the list: before and after.
    expect(steps).toBe(2 * (MOVED.length + 3));
  });
});

test('a directory that is none of pouchdb-server’s is left as it is', async () => {
  await rm(at('pouch__all_dbs__'), { recursive: true });
  const before = await readdir(root);
  await run();
  expect(await readdir(root)).toEqual(before);
  expect(lines).toEqual([]);
});

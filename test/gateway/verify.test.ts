import { chmod, cp, mkdir, readdir, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { ClassicLevel } from 'classic-level';
import { afterAll, beforeAll, expect, test } from 'vitest';
import * as layout from '../../src/store/layout.js';
import { PouchProcess } from '../support/pouch.js';
import { runProgram, startGateway, temporaryFolder } from '../support/server.js';
import { canMount, SmallDisk } from '../system/support/small-disk.js';

let folder: string;
let whole: string;

/** A data directory with two databases beside that of the users, as a server leaves it. */
beforeAll(async () => {
  folder = await temporaryFolder();
  whole = path.join(folder, 'whole');
  const gateway = await startGateway({ data: whole });
  const send = (place: string, body?: string | Buffer): Promise<Response> => {
    const type = typeof body === 'string' ? 'application/json' : 'image/png';
    const headers = { authorization: gateway.authorization, 'content-type': type };
    return fetch(`${gateway.url}/${place}`, { method: 'PUT', headers, ...(body && { body }) });
  };
  await send('orders');
  await send('notes%2F2026');
  for (let n = 0; n < 30; n++) await send(`orders/${String(n)}`, `{"n":${String(n)}}`);
  await send('notes%2F2026/a/large', Buffer.alloc(5 << 20, 'abc'));
  const busy = await runProgram(['verify', '--data', whole]);
  expect(busy).toMatchObject({
    code: 75,
    stdout: '',
    stderr: `causeway: the data directory ${whole} is in use by another process\n`,
  });
  expect(await gateway.stop()).toBe(0);
});
afterAll(() => rm(folder, { recursive: true, force: true }));

/** A copy of it: a database in it is one that was put back. */
async function copyOf(name: string): Promise<string> {
  const data = path.join(folder, name);
  await cp(whole, data, { recursive: true });
  return data;
}

async function tamper(
  data: string,
  database: string,
  work: (level: ClassicLevel) => Promise<unknown>,
): Promise<void> {
  const level = new ClassicLevel(path.join(data, 'databases', database), { createIfMissing: false });
  await level.open();
  await work(level);
  await level.close();
}

interface Line {
  readonly type: string;
  readonly database?: string;
  readonly code?: string;
  readonly [name: string]: unknown;
}

const linesOf = (stdout: string): Line[] =>
  stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Line);

test('a whole data directory is clean, and stays as it was', async () => {
  const { code, stdout, stderr } = await runProgram(['verify', '--data', whole]);
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  const [replicator, users, notes, orders, all] = stdout.split('\n');
  expect(replicator).toMatch(/^_replicator: clean; 0 documents, /);
  expect(users).toMatch(/^_users: clean; 1 document, /);
  expect(notes).toMatch(
    /^notes\/2026: clean; 1 document, 0 deleted; 1 body, [0-9]+ bytes; 1 attachment, 5.2 MB$/,
  );
  expect(orders).toMatch(
    /^orders: clean; 30 documents, 0 deleted; 30 bodies, [0-9.]+ kB; 0 attachments, 0 bytes$/,
  );
  expect(all).toBe('4 databases: 0 problems, 0 notes');
  expect((await readdir(path.join(whole, 'databases'))).sort()).toEqual([
    '_replicator',
    '_users',
    'notes%2F2026',
    'orders',
  ]);
});

test('problems end it with 1, and say how to mend them; repairing does', async () => {
  const data = await copyOf('broken');
  await tamper(data, 'orders', (level) => level.clear({ gte: layout.changes.start, lt: layout.changes.end }));
  const broken = await runProgram(['verify', '--data', data, '--database', 'orders']);
  expect(broken.code).toBe(1);
  expect(broken.stdout).toMatch(
    /^ {2}problem changes_missing: document "0": the changes index has no row at sequence 1$/m,
  );
  expect(broken.stdout.match(/problem changes_missing/g)).toHaveLength(20);
  expect(broken.stdout).toMatch(/^ {2}… and 10 more of changes_missing$/m);
  expect(broken.stdout).toMatch(/^ {2}to mend changes_missing: run `causeway verify --repair`/m);
  const json = await runProgram(['verify', '--data', data, '--json']);
  expect(json.code).toBe(1);
  const lines = linesOf(json.stdout);
  expect(lines.filter(({ code }) => code === 'changes_missing')).toHaveLength(30);
  expect(lines).toContainEqual({
    type: 'finding',
    database: 'orders',
    level: 'problem',
    code: 'changes_missing',
    problem: 'the changes index has no row at sequence 1',
    document: '0',
    mend: expect.any(String) as string,
  });
  expect(lines.at(-1)).toEqual({ type: 'summary', databases: 4, problems: 30, notes: 4 });
  const repaired = await runProgram(['verify', '--data', data, '--repair', '--json']);
  expect(repaired.code).toBe(0);
  expect(linesOf(repaired.stdout).filter(({ type }) => type === 'repaired')).toHaveLength(1);
  // What was put back counts as restored once, then as the server's own.
  const gateway = await startGateway({ data });
  const headers = { authorization: gateway.authorization };
  const feed = await (await fetch(`${gateway.url}/orders/_changes`, { headers })).json();
  expect((feed as { results: unknown[] }).results).toHaveLength(30);
  await gateway.stop();
});

test('what stands beside the databases is looked at, too', async () => {
  const data = await copyOf('beside');
  await writeFile(path.join(data, 'server.json'), '{}');
  await writeFile(path.join(data, 'runtime.json'), '{"what":1}');
  await writeFile(path.join(data, 'notes.txt'), '');
  await writeFile(path.join(data, 'copies', 'gone'), '');
  await mkdir(path.join(data, 'databases', 'Not A Database'));
  await mkdir(path.join(data, 'rejections'), { mode: 0o700 });
  await writeFile(path.join(data, 'rejections', 'CURRENT'), 'nothing\n');
  await writeFile(path.join(data, 'mirrors', 'CURRENT'), 'nothing\n');
  await chmod(path.join(data, 'secret'), 0o644);
  const { code, stdout } = await runProgram(['verify', '--data', data, '--json']);
  expect(code).toBe(1);
  const codes = linesOf(stdout).filter(({ type, database }) => type === 'finding' && database === undefined);
  expect(codes.map(({ code: found }) => found).sort()).toEqual([
    'directory_marker',
    'directory_open',
    'directory_runtime',
    'directory_server',
    'directory_stray',
    'directory_stray',
    'mirrors_damaged',
    'rejections_damaged',
  ]);
});

test('plain copies are PouchDB’s, and only of what is whole', async () => {
  const data = await copyOf('copied');
  await tamper(data, 'orders', (level) => level.del(layout.bodies.key(layout.seqKey(3))));
  const target = path.join(folder, 'plain');
  const { code, stdout } = await runProgram(['verify', '--data', data, '--to-pouchdb', target]);
  expect(code).toBe(1);
  expect(stdout).toMatch(/^ {2}not copied: mend it first/m);
  expect((await readdir(target)).sort()).toEqual(['_replicator', '_users', 'notes%2F2026']);
  const pouch = new PouchProcess();
  const copy = path.join(target, 'notes%2F2026');
  await pouch.open(copy);
  const [all] = Object.values(await pouch.attachments(copy, ['a']));
  await pouch.close(copy);
  await pouch.stop();
  expect(Buffer.from(all?.full.large?.data ?? '', 'base64').equals(Buffer.alloc(5 << 20, 'abc'))).toBe(true);
  expect(await runProgram(['verify', '--data', data, '--to-pouchdb', target])).toMatchObject({
    code: 73,
    stdout: '',
    stderr: `causeway: ${target} is not empty\n`,
  });
  const inside = path.join(data, 'plain');
  expect(await runProgram(['verify', '--data', data, '--to-pouchdb', inside])).toMatchObject({ code: 73 });
});

test('what is not there to be read ends it with 66', async () => {
  const none = path.join(folder, 'none');
  expect(await runProgram(['verify', '--data', none])).toMatchObject({
    code: 66,
    stderr: `causeway: there is no data directory at ${none}\n`,
  });
  expect(await readdir(folder)).not.toContain('none');
  const foreign = path.join(folder, 'foreign');
  await mkdir(foreign);
  await writeFile(path.join(foreign, 'notes.txt'), '');
  expect(await runProgram(['verify', '--data', foreign])).toMatchObject({
    code: 66,
    stderr: `causeway: there is no data directory at ${foreign}\n`,
  });
  expect(await readdir(foreign)).toEqual(['notes.txt']);
  expect(await runProgram(['verify', '--data', whole, '--database', 'x'])).toMatchObject({
    code: 66,
    stderr: `causeway: there is no database x in ${whole}\n`,
  });
});

test.runIf(canMount())(
  'a disk that nothing can be written to ends it with 73, and says what is missing',
  async () => {
    const disk = SmallDisk.mount(64);
    try {
      const data = path.join(disk.folder, 'data');
      await cp(whole, data, { recursive: true });
      const refused = async (args: readonly string[], reason: string): Promise<void> => {
        expect(await runProgram(args)).toEqual({
          code: 73,
          stdout: '',
          stderr: `causeway: the data directory ${data} cannot be used: its lock, which has to be written even for reading, cannot be taken: ${reason}\n`,
        });
      };
      disk.protect();
      for (const args of [
        ['verify', '--data', data],
        ['replicate', `${data}#orders`, path.join(folder, 'dump')],
      ])
        await refused(args, `IO error: ${data}/lock/LOCK: Read-only file system`);
      disk.protect(false);
      await rm(path.join(data, 'lock'), { recursive: true });
      disk.protect();
      await refused(['verify', '--data', data], `EROFS: read-only file system, mkdir '${data}/lock'`);
    } finally {
      disk.remove();
    }
  },
);

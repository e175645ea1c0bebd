import { rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { ConflictsCommand } from '../../../src/commands/conflicts/command.js';
import { conflicts } from '../../../src/commands/conflicts/conflicts.js';
import { drawTree, type ShownRevision } from '../../../src/commands/conflicts/tree.js';
import { exitCodes } from '../../../src/config/exit.js';
import { startUsers, type Users } from '../../auth/users/gateway.js';
import { runProgram, temporaryFolder } from '../../support/server.js';
import { until } from '../../system/support/wait.js';
import { clashDocuments, nodeOf } from './support.js';

const [base, a, b] = [nodeOf('base', 1), nodeOf('a'), nodeOf('b')];

let it: Users;
let folder: string;
beforeAll(async () => {
  folder = await temporaryFolder();
  it = await startUsers({
    databases: [
      { match: 'merged', mode: 'local', merge: 'three-way' },
      { match: '*', mode: 'local' },
    ],
  });
  for (const db of ['merged', 'kept']) await it.ask('PUT', `/${db}`);
});
afterAll(async () => {
  await it.stop();
  await rm(folder, { recursive: true, force: true });
});

const run = (...args: string[]): ReturnType<typeof runProgram> =>
  runProgram(['conflicts', ...args, '--url', it.gateway.url], { env: { CAUSEWAY_PASSWORD: 'secret' } });

async function clash(db: string, id: string): Promise<void> {
  const json = { docs: clashDocuments(id), new_edits: false };
  expect((await it.ask('POST', `/${db}/_bulk_docs`, { json })).status).toBe(201);
}

describe('causeway conflicts', () => {
  test('shows what a rule defers, lets it be resolved, and undoes that', async () => {
    await clash('merged', 'order');
    await until('it to be deferred', async () => {
      const { body } = await it.ask('GET', '/_gateway/databases/merged/conflicts?state=deferred');
      return (body as { conflicts: object[] }).conflicts.length === 1;
    });
    const listed = await run('list', 'merged', '--state', 'deferred');
    expect(listed.stdout).toMatch(
      /^document +leaves +winner +state +reason\norder +2 +2-62\w+ +deferred +.*\/n\n$/,
    );
    const shown = await run('show', 'merged', 'order');
    expect(shown.stdout).toContain([`○ ${base}  base`, `├─● ${b}  winner`, `└─● ${a}  leaf`, ''].join('\n'));
    expect(shown.stdout).toContain(`${a} against its base ${base}\n  ~ /n  0 → 1\n`);
    const file = path.join(folder, 'order.json');
    await writeFile(file, '{"n":12345678901234567890}');
    const resolved = await run('resolve', 'merged', 'order', '--body', file, '--if-leaf', a, '--if-leaf', b);
    expect(resolved).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(/^order is 3-\w+ now \(entry 1 of/) as string,
    });
    expect((await run('journal', 'merged', '1')).stdout).toMatch(
      /^entry 1: order, merged: 3-\w+ by admin, .*\nin .*"n":1\}\nin .*"n":2\}\nout .*"n":12345678901234567890\}\n$/,
    );
    expect((await run('undo', 'merged', '1')).stdout).toMatch(/^\S+ and \S+ are back \(entry 2 of/);
  }, 60_000);

  test('prints what the server answers, and what the status says', async () => {
    for (const id of ['left', 'right']) await clash('kept', id);
    const lines = (await run('list', 'kept', '--json')).stdout.trimEnd().split('\n');
    expect(lines.map((line) => JSON.parse(line) as object)).toMatchObject([{ id: 'left' }, { id: 'right' }]);
    const env = { CAUSEWAY_PASSWORD: 'secret' };
    const { stdout } = await runProgram(['status', '--url', it.gateway.url], { env });
    expect(stdout).toMatch(/database +conflicts +deferred +journal\n(.*\n)*kept +2 +0 +0 bytes\n/);
  }, 60_000);

  test.each<[string, Partial<ConflictsCommand>, number]>([
    ['no document', { about: undefined }, exitCodes.usage],
    ['nothing to resolve it with', {}, exitCodes.usage],
    ['two ways to resolve it', { leaf: a, delete: true }, exitCodes.usage],
    ['a file that is not there', { body: '/nowhere/at/all' }, exitCodes.noInput],
    ['a file without JSON', { body: import.meta.filename }, exitCodes.dataFormat],
    ['a document that is not there', { about: 'nowhere', delete: true }, exitCodes.noInput],
    ['other leaves', { delete: true, ifLeaves: [a] }, exitCodes.findings],
    ['no entry', { action: 'undo', about: '99' }, exitCodes.noInput],
    [
      'a module that is not there',
      { action: 'preview', about: undefined, functionName: './nowhere.mjs' },
      exitCodes.noInput,
    ],
    ['no number of one', { action: 'undo', about: undefined }, exitCodes.usage],
  ])('says what is wrong about %s', async (_, said, exitCode) => {
    await clash('kept', 'wrong');
    await expect(conflicts({ ...asked(), ...said })).rejects.toMatchObject({ exitCode });
  });
});

const asked = (): ConflictsCommand => ({
  url: it.gateway.url,
  user: undefined,
  passwordFile: undefined,
  data: folder,
  env: { CAUSEWAY_PASSWORD: 'secret' },
  action: 'resolve',
  database: 'kept',
  about: 'wrong',
  state: undefined,
  functionName: undefined,
  leaf: undefined,
  body: undefined,
  delete: false,
  ifLeaves: [],
  json: false,
});

describe('the drawing of a tree', () => {
  const revision = (
    rev: string,
    parent: string | null,
    more: Partial<ShownRevision> = {},
  ): ShownRevision => ({
    rev,
    state: 'available',
    kind: 'edit',
    parent,
    absorbed: [],
    equals: [],
    restores: null,
    ...more,
  });

  test('has branches below what they branch from, first that of the winner, and leaves out what is alike', () => {
    const tree = [
      revision('5-e', null, { state: 'missing' }),
      revision('6-f', '5-e'),
      revision('7-a', '6-f', { state: 'deleted', kind: 'tombstone' }),
      revision('7-b', '6-f'),
      revision('8-a', '7-b', { kind: 'merged', absorbed: ['6-f'], state: 'leaf' }),
      revision('8-b', '7-b'),
      revision('9-b', '8-b'),
      revision('10-b', '9-b'),
      revision('11-b', '10-b'),
      revision('12-b', '11-b', { state: 'leaf' }),
      revision('2-x', null, { state: 'deleted' }),
    ];
    expect(drawTree({ winner: '12-b', base: '7-b', tree })).toEqual([
      '· 5-e',
      '○ 6-f',
      '├─○ 7-b  base',
      '│ ├─○ 8-b',
      '│ │ ⋮ 2 revisions',
      '│ │ ○ 11-b',
      '│ │ ● 12-b  winner',
      '│ └─◆ 8-a  leaf, merged with 6-f',
      '└─✕ 7-a  deleted, it went into another',
      '✕ 2-x  deleted',
    ]);
  });

  test('takes as many branches one in the other as a document can have', () => {
    const tree = Array.from({ length: 1000 }, (_, at) => [
      revision(`${at + 1}-a`, at === 0 ? null : `${at}-a`),
      revision(`${at + 1}-b`, at === 0 ? null : `${at}-a`, { state: 'leaf' }),
    ]).flat();
    expect(drawTree({ winner: '1000-b', base: null, tree })).toHaveLength(2000);
  });
});

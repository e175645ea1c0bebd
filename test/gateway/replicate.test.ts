import { readFile, rm, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, onTestFinished, test, vi } from 'vitest';
import type { ReplicateCommand } from '../../src/commands/replicate/command.js';
import { replicate as run } from '../../src/commands/replicate/replicate.js';
import { StartError } from '../../src/config/exit.js';
import { completeLine, headerLine } from '../../src/replication/dump/format.js';
import { newAgent } from '../../src/replication/http/agent.js';
import { HttpPeer } from '../../src/replication/http/peer.js';
import type { Peer } from '../../src/replication/peer.js';
import { attachmentsMember, following, hash, revision } from '../replication/acceptance.js';
import { expectSame } from '../replication/replicas.js';
import { startDelayProxy } from '../support/delay-proxy.js';
import { type RunningGateway, startGateway, startProgram, temporaryFolder } from '../support/server.js';

const never = new AbortController().signal;
const PASSWORDS = { CAUSEWAY_SOURCE_PASSWORD: 'secret', CAUSEWAY_TARGET_PASSWORD: 'secret' };

let folder: string;
let gateway: RunningGateway;
/** The server's URL with the name of the admin, and no password. */
let server: string;

const agent = newAgent();

const peer = (database: string): Peer => {
  const headers = { authorization: gateway.authorization };
  return new HttpPeer({ url: `${gateway.url}/${database}/`, headers, dispatcher: agent });
};

/** A server with a database that has conflicts, deletions and attachments. */
beforeAll(async () => {
  folder = await temporaryFolder();
  gateway = await startGateway();
  server = gateway.url.replace('://', '://admin@');
  const source = peer('orders');
  await source.create({}, never);
  const of = (n: number): string => n.toString(16).padStart(32, '0');
  const documents = Array.from({ length: 550 }, (_, n) =>
    revision(`order ${String(n)}`, [of(n)], `"n":${String(n)},"text":"${'ä'.repeat(200)}"`),
  );
  await source.write(documents, never);
  await source.write(
    [
      revision('order 1', [hash('b'), of(1)], '"n":1'),
      revision('order 1', [hash('c'), of(1)], '"_deleted":true'),
      revision('order 1', [hash('d'), hash('e'), of(1)], '"n":3'),
      revision('order 2', [hash('b'), of(2)], '"_deleted":true,"why":"sold"'),
    ],
    never,
  );
  const attachments = [
    following('plan', Buffer.alloc(3_000_000, 'abcd')),
    following('empty', Buffer.alloc(0)),
  ];
  const drawn = revision('drawn', [hash('a')], attachmentsMember(attachments));
  await source.writeWithAttachments({ ...drawn, attachments }, never);
});
afterAll(async () => {
  await agent.destroy();
  await gateway.stop();
  await rm(folder, { recursive: true, force: true });
});

const PLAIN: Omit<ReplicateCommand, 'source' | 'target'> = {
  docIds: [],
  selector: undefined,
  filter: undefined,
  queryParams: undefined,
  since: undefined,
  winningRevsOnly: false,
  createTarget: false,
  continuous: false,
  checkpoints: true,
  json: false,
  caFile: undefined,
  sourcePasswordFile: undefined,
  targetPasswordFile: undefined,
  config: undefined,
  env: PASSWORDS,
};

interface Ended {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs the command here: of processes each costs a second. */
async function replicate(
  source: string,
  target: string,
  options: Partial<ReplicateCommand> = {},
): Promise<Ended> {
  const [out, err]: string[][] = [[], []];
  const listen = (stream: NodeJS.WriteStream, lines: string[] | undefined) =>
    vi.spyOn(stream, 'write').mockImplementation((text) => Boolean(lines?.push(String(text))));
  const spies = [listen(process.stdout, out), listen(process.stderr, err)];
  const ended = (code: number, more = ''): Ended => ({
    code,
    stdout: out?.join('') ?? '',
    stderr: (err?.join('') ?? '') + more,
  });
  try {
    return ended(await run({ ...PLAIN, ...options, source, target }));
  } catch (error) {
    if (!(error instanceof StartError)) throw error;
    return ended(error.exitCode, error.lines.join('\n'));
  } finally {
    for (const spy of spies) spy.mockRestore();
  }
}

const isComplete = async (file: string): Promise<boolean> =>
  (await readFile(file, 'utf8')).trimEnd().split('\n').at(-1)?.startsWith('{"complete":') === true;

test('a database goes from a server to a file, a data directory and a server, and is the same', async () => {
  const file = path.join(folder, 'orders.ndjson');
  const dumped = await replicate(`${server}/orders`, file);
  expect(dumped).toMatchObject({ code: 0 });
  expect(dumped.stdout).toMatch(/^553 documents copied, [0-9.]+ MB, in [0-9]+ s; 0 refused\n$/);
  expect(dumped.stderr).toMatch(/^100 %, 553 documents, [^\n]+\n$/);
  expect(await isComplete(file)).toBe(true);
  expect(await replicate(file, `${folder}/data#kept`, { createTarget: true })).toMatchObject({ code: 0 });
  const back = await replicate(`${folder}/data#kept`, `${server}/back`, {
    createTarget: true,
    json: true,
  });
  expect(back.code).toBe(0);
  expect(JSON.parse(back.stdout)).toMatchObject({ type: 'summary', documents: 553, refused: 0, failed: 0 });
  await expectSame(peer('orders'), peer('back'));
});

test('a copy to a file that is killed goes on where it was', async () => {
  const proxy = await startDelayProxy(gateway.port, 100);
  onTestFinished(() => proxy.close());
  const file = path.join(folder, 'killed.ndjson');
  const source = `http://admin@127.0.0.1:${String(proxy.port)}/orders`;
  const killed = startProgram(['replicate', source, file], { env: PASSWORDS });
  await hasSize(file, 100_000);
  killed.signal('SIGKILL');
  expect(await killed.ended).toBe('SIGKILL');
  // As a kill in the middle of a write would leave it.
  await writeFile(file, '{"_id":"order 7","_rev":"1-', { flag: 'a' });
  const rest = await replicate(source, file, { json: true });
  expect(rest.code).toBe(0);
  const { documents } = JSON.parse(rest.stdout) as { documents: number };
  expect(documents).toBeLessThan(553);
  expect(await isComplete(file)).toBe(true);
  expect(await replicate(file, `${server}/again`, { createTarget: true })).toMatchObject({ code: 0 });
  await expectSame(peer('orders'), peer('again'));
});

/** Resolves when a file has so many bytes. */
async function hasSize(file: string, bytes: number): Promise<void> {
  for (;;) {
    const found = await stat(file).catch(() => undefined);
    if (found !== undefined && found.size >= bytes) return;
    await sleep(5);
  }
}

test('what a target refuses is listed one by one, and ends it with 1', async () => {
  const target = peer('guarded');
  await target.create({}, never);
  const rule = `function (doc) { if (doc.n === 3 || doc.why) throw { forbidden: 'not\\n' + doc._id }; }`;
  const design = revision('_design/rule', [hash('a')], `"validate_doc_update":${JSON.stringify(rule)}`);
  await target.write([design], never);
  const { code, stdout } = await replicate(`${server}/orders`, `${server}/guarded`);
  expect(code).toBe(1);
  const lines = stdout.trimEnd().split('\n');
  expect(lines.pop()).toMatch(/^550 documents copied, [0-9.]+ MB, in [0-9]+ s; 3 refused$/);
  expect(lines.sort()).toEqual([
    `refused: "order 1" 3-${hash('d')}: forbidden: not order 1`,
    `refused: "order 2" 2-${hash('b')}: forbidden: not order 2`,
    `refused: "order 3" 1-${'3'.padStart(32, '0')}: forbidden: not order 3`,
  ]);
});

test('whatever keeps a copy from beginning has its own exit code, and leaves nothing', async () => {
  const file = path.join(folder, 'not-to-be.ndjson');
  const wrongFile = path.join(folder, 'password');
  await writeFile(wrongFile, 'wr0ng\n');
  const same = `${gateway.url.replace('://', '://ann@')}/orders/`;
  const cases: readonly (readonly [code: number, text: string, ...Parameters<typeof replicate>])[] = [
    [75, `the data directory ${gateway.data} is in use by another process`, `${gateway.data}#orders`, file],
    [77, 'unauthorized', `${server}/orders`, file, { sourcePasswordFile: wrongFile }],
    [64, 'the source and the target are the same', `${server}/orders`, same],
    [73, `${folder} is no file`, `${server}/orders`, folder],
    [66, `${folder} is no file`, folder, file],
    [64, 'the name of the user in the URL of the source makes no sense', 'http://a%zz@127.0.0.1/a', file],
    [64, '"B" in "a#c/data#B" cannot be the name of a database', 'a#c/data#B', file],
    [64, 'have to be named', '', file],
  ];
  for (const [code, text, ...args] of cases) {
    const ended = await replicate(...args);
    expect(ended).toMatchObject({ code, stderr: expect.stringContaining(text) as string });
    expect(ended.stdout + ended.stderr).not.toMatch(/secret|wr0ng/);
  }
  await expect(stat(file)).rejects.toMatchObject({ code: 'ENOENT' });
});

test('passwords of users are hashed in a data directory, too', async () => {
  const file = path.join(folder, 'users.ndjson');
  const header = { id: hash('d'), source: 'elsewhere', replication: hash('e') };
  const user = { _id: 'org.couchdb.user:ann', _rev: `1-${hash('a')}`, name: 'ann', type: 'user', roles: [] };
  const line = JSON.stringify({ ...user, password: 'cl3ar text' });
  await writeFile(file, `${headerLine(header)}${line}\n${completeLine()}`);
  const users = `${folder}/data-of-users#_users`;
  expect(await replicate(file, users, { createTarget: true })).toMatchObject({ code: 0 });
  const back = path.join(folder, 'users-back.ndjson');
  expect(await replicate(users, back)).toMatchObject({ code: 0 });
  const text = await readFile(back, 'utf8');
  expect(text).toContain('"derived_key":');
  expect(text).not.toContain('cl3ar text');
});

test('a continuous copy follows until it is stopped, and shows its passwords to nobody', async () => {
  const source = peer('live');
  await source.create({}, never);
  const target = `${gateway.url.replace('://', '://admin:secret@')}/followed`;
  const args = ['replicate', `${server}/live`, target, '--create-target', '--continuous'];
  const copy = startProgram(args, { env: PASSWORDS });
  const followed = peer('followed');
  for (const n of [1, 2]) {
    await source.write([revision(`doc ${String(n)}`, [hash('a')])], never);
    while ((await followed.get(`doc ${String(n)}`, never).catch(() => undefined)) === undefined)
      await sleep(20);
  }
  expect(await readFile(`/proc/${String(copy.pid)}/cmdline`, 'utf8')).not.toContain('secret');
  copy.signal('SIGINT');
  expect(await copy.ended).toBe(0);
  expect(copy.stdout).toMatch(/^2 documents copied, /);
  expect(copy.stdout + copy.stderr).not.toContain('secret');
});

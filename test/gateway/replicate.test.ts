import { readFile, rm, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import { newAgent } from '../../src/replication/http/agent.js';
import { HttpPeer } from '../../src/replication/http/peer.js';
import type { Peer } from '../../src/replication/peer.js';
import { attachmentsMember, following, hash, revision } from '../replication/acceptance.js';
import { expectSame } from '../replication/replicas.js';
import { startDelayProxy } from '../support/delay-proxy.js';
import {
  type RunningGateway,
  runProgram,
  startGateway,
  startProgram,
  temporaryFolder,
} from '../support/server.js';

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

const replicate = (...args: readonly string[]) =>
  runProgram(['replicate', ...args], { env: PASSWORDS, cwd: folder });

const isComplete = async (file: string): Promise<boolean> =>
  (await readFile(file, 'utf8')).trimEnd().split('\n').at(-1)?.startsWith('{"complete":') === true;

test('a database goes from a server to a file, a data directory and a server, and is the same', async () => {
  const file = path.join(folder, 'orders.ndjson');
  const dumped = await replicate(`${server}/orders`, file);
  expect(dumped).toMatchObject({ code: 0 });
  expect(dumped.stdout).toMatch(/^553 documents copied, [0-9.]+ MB, in [0-9]+ s; 0 refused\n$/);
  expect(dumped.stderr).toMatch(/^100 %, 553 documents, [^\n]+\n$/);
  expect(await isComplete(file)).toBe(true);
  expect(await replicate(file, './data#kept', '--create-target')).toMatchObject({ code: 0 });
  const back = await replicate('./data#kept', `${server}/back`, '--create-target', '--json');
  expect(back.code).toBe(0);
  expect(JSON.parse(back.stdout)).toMatchObject({ type: 'summary', documents: 553, refused: 0, failed: 0 });
  await expectSame(peer('orders'), peer('back'));
});

test('a copy to a file that is killed goes on where it was', async () => {
  const proxy = await startDelayProxy(gateway.port, 100);
  onTestFinished(() => proxy.close());
  const file = path.join(folder, 'killed.ndjson');
  const args = ['replicate', `http://admin@127.0.0.1:${String(proxy.port)}/orders`, file];
  const killed = startProgram(args, { env: PASSWORDS });
  await hasSize(file, 100_000);
  killed.signal('SIGKILL');
  expect(await killed.ended).toBe('SIGKILL');
  // As a kill in the middle of a write would leave it.
  await writeFile(file, '{"_id":"order 7","_rev":"1-', { flag: 'a' });
  const rest = await replicate(...args.slice(1), '--json');
  expect(rest.code).toBe(0);
  const { documents } = JSON.parse(rest.stdout) as { documents: number };
  expect(documents).toBeLessThan(553);
  expect(await isComplete(file)).toBe(true);
  expect(await replicate(file, `${server}/again`, '--create-target')).toMatchObject({ code: 0 });
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
  const cases: readonly (readonly [code: number, stderr: string, ...args: string[]])[] = [
    [75, `the data directory ${gateway.data} is in use by another process`, `${gateway.data}#orders`, file],
    [77, 'unauthorized', `${server}/orders`, file, '--source-password-file', wrongFile],
  ];
  const ended = await Promise.all(cases.map(([, , ...args]) => replicate(...args)));
  for (const [at, { code, stdout, stderr }] of ended.entries()) {
    const [expected, text] = cases[at] ?? [];
    expect({ code, stderr }).toEqual({
      code: expected,
      stderr: expect.stringContaining(text ?? '') as string,
    });
    expect(stdout + stderr).not.toMatch(/secret|wr0ng/);
  }
  await expect(stat(file)).rejects.toMatchObject({ code: 'ENOENT' });
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

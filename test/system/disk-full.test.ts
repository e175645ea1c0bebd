import { readdirSync } from 'node:fs';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { bytesOf } from '../support/attachments.js';
import { startProgram } from '../support/server.js';
import type { Answer, Changes, Info } from './support/couch.js';
import { Restartable } from './support/restartable.js';
import { canMount, SmallDisk } from './support/small-disk.js';
import { until } from './support/wait.js';

/** Small, as the disk is: its logs have to become tables when a database is opened again. */
const ARGS = ['--store-write-buffer', '1048576'];

describe.runIf(canMount())('on a disk of 32 MB', () => {
  let disk: SmallDisk;
  let gateway: Restartable;

  beforeEach(async () => {
    disk = SmallDisk.mount(32);
    gateway = await Restartable.start({ data: path.join(disk.folder, 'data'), args: ARGS });
    await gateway.couch.put('/db');
  });
  afterEach(async () => {
    await gateway.remove();
    disk.remove();
  });

  /** Id → revision of every document that was acknowledged. */
  let acknowledged: Map<string, string>;
  beforeEach(() => {
    acknowledged = new Map();
  });

  const ask = (method: string, url: string, text?: string, type = 'application/json'): Promise<Answer> =>
    gateway.couch.request(method, url, {
      ...(text === undefined ? {} : { text, headers: { 'content-type': type } }),
    });

  const note = (answer: Answer): Answer => {
    const { id, rev } = answer.body as { id?: string; rev?: string };
    if (answer.status < 300 && id !== undefined && rev !== undefined) acknowledged.set(id, rev);
    return answer;
  };

  /** Text that does not shrink on the disk. */
  const noise = (length: number, seed: number): string =>
    bytesOf(length, seed).toString('base64').slice(0, length);

  /** Each way to write, with sizes that fill the disk soon. */
  const ways: Readonly<Record<string, (n: number) => Promise<Answer>>> = {
    'a document': async (n) =>
      note(await ask('PUT', `/db/doc-${String(n)}`, JSON.stringify({ pad: noise(200_000, n) }))),
    _bulk_docs: async (n) => {
      const ids = Array.from({ length: 20 }, (_, at) => `bulk-${String(n)}-${String(at)}`);
      const docs = ids.map((_id, at) => ({ _id, pad: noise(20_000, n * 100 + at) }));
      const answer = await ask('POST', '/db/_bulk_docs', JSON.stringify({ docs }));
      if (answer.status === 201)
        for (const row of answer.body as { id: string; rev: string }[]) acknowledged.set(row.id, row.rev);
      return answer;
    },
    'a small attachment': async (n) =>
      note(await ask('PUT', `/db/small-${String(n)}/file`, noise(300_000, n), 'image/png')),
    'a large attachment': async (n) =>
      note(await ask('PUT', `/db/large-${String(n)}/file`, noise(4_500_000, n), 'image/png')),
    'a local document': (n) =>
      ask('PUT', `/db/_local/local-${String(n)}`, JSON.stringify({ pad: noise(200_000, n) })),
  };

  /** Writes until one is refused, which has to be said clearly. */
  async function writeUntilFull(way: (n: number) => Promise<Answer>): Promise<number> {
    for (let n = 0; n < 2000; n++) {
      const answer = await way(n);
      if (answer.status === 201) continue;
      expect(answer).toMatchObject({
        status: 507,
        body: {
          error: 'insufficient_storage',
          reason: expect.stringContaining('room on the disk') as string,
        },
      });
      return n;
    }
    throw new Error('the disk was never full');
  }

  /** Everything that was acknowledged can be read and is in the feed. */
  async function expectAll(): Promise<void> {
    const { results } = (await gateway.couch.get('/db/_changes')) as Changes;
    const leaves = new Map(results.map(({ id, changes }) => [id, changes[0]?.rev]));
    for (const [id, rev] of acknowledged) {
      expect([id, leaves.get(id)]).toEqual([id, rev]);
      const { status, body } = await gateway.couch.request('GET', `/db/${id}?attachments=true`, {
        headers: { accept: 'application/json' },
      });
      expect([id, status, (body as { _rev: string })._rev]).toEqual([id, 200, rev]);
    }
    const info = (await gateway.couch.get('/db')) as Info;
    expect(info.doc_count).toBe(results.filter(({ deleted }) => deleted !== true).length);
  }

  it('what does not fit is refused, reads go on, and so do writes once there is room, without a restart', async () => {
    for (const name of ['a document', 'a large attachment']) {
      const way = ways[name];
      if (way === undefined) throw new Error(name);
      disk.fill(name === 'a large attachment' ? 16_000_000 : 6_000_000);
      expect(await writeUntilFull(way)).toBeGreaterThan(0);
      disk.fill();
      for (const [at, other] of Object.values(ways).entries())
        expect((await other(5000 + at)).status).toBe(507);
      expect((await ask('POST', '/db/_compact', '{}')).status).toBeOneOf([202, 507]);
      expect((await ask('PUT', '/db/_security', '{}')).status).toBe(507);
      await expectAll();
      disk.relieve();
      await until('writes go on', async () => (await ask('PUT', '/db/_local/first', '{}')).status === 201);
      for (const [at, other] of Object.values(ways).entries())
        expect((await other(7000 + at)).status).toBe(201);
      await expectAll();
      await gateway.restart('SIGKILL');
      await expectAll();
      expect(gateway.program.stderr).not.toMatch(/unhandled|FATAL/i);
      await gateway.couch.delete('/db');
      await gateway.couch.put('/db');
      acknowledged.clear();
    }
  });

  it('a database cannot be made when it is full, and leaves nothing; one can be deleted, which makes room', async () => {
    await gateway.couch.put('/doomed');
    for (let n = 0; n < 50; n++)
      expect(
        (await ask('PUT', `/doomed/${String(n)}`, JSON.stringify({ pad: noise(200_000, n) }))).status,
      ).toBe(201);
    await writeUntilFull((n) => ask('PUT', `/db/${String(n)}`, JSON.stringify({ pad: noise(200_000, n) })));
    disk.fill();
    for (const name of ['one', 'two']) {
      expect(await ask('PUT', `/${name}`)).toMatchObject({
        status: 507,
        body: { error: 'insufficient_storage' },
      });
      expect((await ask('GET', `/${name}`)).status).toBe(404);
    }
    expect(await gateway.couch.get('/_all_dbs')).toEqual(['_replicator', '_users', 'db', 'doomed']);
    expect((await ask('DELETE', '/doomed')).status).toBe(200);
    await until('writes go on', async () => (await ask('PUT', '/db/later', '{}')).status === 201);
    await until('databases can be made', async () => (await ask('PUT', '/one')).status === 201);
    expect(readdirSync(path.join(gateway.data, 'databases')).sort()).toEqual([
      '_replicator',
      '_users',
      'db',
      'one',
    ]);
  });

  it('the server stops and starts on a full disk, or says in a line why it does not; then all is there', async () => {
    for (let n = 0; n < 10; n++) await ways['a document']?.(n);
    disk.fill();
    expect((await ways['a document']?.(5000))?.status).toBe(507);
    await gateway.stop();
    disk.fill();
    const args = ['serve', '--data', gateway.data, '--port', '0', ...ARGS];
    const program = startProgram(args, { env: { CAUSEWAY_ADMINS: 'other:password' } });
    expect(await program.ended).toBe(73);
    expect(program.stderr.trim().split('\n')).toEqual([
      expect.stringMatching(/the data directory .* cannot be used: .*no space left/i),
    ]);
    disk.relieve();
    await gateway.start();
    await expectAll();
    expect((await ways['a document']?.(6000))?.status).toBe(201);
  });
});

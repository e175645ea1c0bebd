import { cp, rm } from 'node:fs/promises';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { temporaryFolder } from '../support/server.js';
import type { Info } from './support/couch.js';
import { documents } from './support/documents.js';
import { live, PouchDB, pouchTrees, remotePouch, serverTrees, untilEqual } from './support/pouch.js';
import { replaceFolder, Restartable } from './support/restartable.js';
import { difference } from './support/trees.js';
import { until } from './support/wait.js';

const COUNT = 100;

let gateway: Restartable;
let folder: string;

beforeAll(async () => {
  folder = await temporaryFolder();
  gateway = await Restartable.start();
});
afterAll(async () => {
  await gateway.remove();
  await rm(folder, { recursive: true, force: true });
});

const remote = (database: string): PouchDB => remotePouch(`${gateway.url}/${database}`, gateway.auth);

const info = async (database: string): Promise<Info> => (await gateway.couch.get(`/${database}`)) as Info;

const untilCount = (database: string, count: number): Promise<boolean> =>
  until(`${database} has ${String(count)} documents`, async () => (await info(database)).doc_count === count);

/** A database in memory that a live replication fills, or empties into the server. */
class Replica {
  readonly db: PouchDB;
  /** How often the replication could not reach the database. */
  failures = 0;
  #replication: ReturnType<PouchDB['replicate']['to']> | undefined;

  constructor(
    readonly database: string,
    readonly direction: 'push' | 'pull',
    name: string,
  ) {
    this.db = new PouchDB(`${database}-${name}`, { adapter: 'memory' });
    this.start();
  }

  start(): void {
    const peer = remote(this.database);
    const { replicate } = this.db;
    const replication = this.direction === 'push' ? replicate.to(peer, live) : replicate.from(peer, live);
    void replication.on('requestError', () => (this.failures += 1));
    this.#replication = replication;
  }

  async write(count: number, prefix: string): Promise<void> {
    await this.db.bulkDocs([...documents(count, 200, prefix)] as never);
  }

  async stop(): Promise<void> {
    this.#replication?.cancel();
    await this.#replication;
  }

  /** The checkpoint of the push has reached the server: the source's number stands there. */
  async untilCheckpoint(): Promise<void> {
    const { update_seq: seq } = await this.db.info();
    await until('the checkpoint is on the server', async () => {
      const { rows } = (await gateway.couch.get(`/${this.database}/_local_docs?include_docs=true`)) as {
        rows: { doc: { last_seq: unknown } }[];
      };
      return rows.some(({ doc }) => doc.last_seq === seq);
    });
  }
}

async function expectEqual(database: string, replicas: readonly Replica[]): Promise<void> {
  const wanted = await serverTrees(gateway.couch, database);
  for (const { db } of replicas) expect(difference(await pouchTrees(db), wanted)).toBeUndefined();
}

describe('I5: a database that is not what it was, under live replications', () => {
  it(
    'deleted and made anew: it is filled again, and what is new there arrives',
    { timeout: 600_000 },
    async () => {
      const database = 'remade';
      const pusher = new Replica(database, 'push', 'pusher');
      await pusher.write(COUNT, 'first-');
      await untilCount(database, COUNT);
      await pusher.untilCheckpoint();
      const puller = new Replica(database, 'pull', 'puller');
      await untilEqual(gateway.couch, database, [pusher.db, puller.db]);
      const before = await info(database);

      await gateway.couch.delete(`/${database}`);
      await pusher.write(1, 'while-gone-');
      await until('the push has noticed', () => pusher.failures > 0);
      await gateway.couch.put(`/${database}`);
      await gateway.couch.put(`/${database}/made-here`, { new: true });

      await untilCount(database, COUNT + 2);
      await until('the puller has the new document', () => puller.db.get('made-here').then(() => true));
      await until('the puller has the late document', () =>
        puller.db.get('while-gone-0000000').then(() => true),
      );
      expect((await info(database)).instance_start_time).not.toBe(before.instance_start_time);
      await pusher.stop();
      await puller.stop();
      await expectEqual(database, [puller]);
    },
  );

  it.each(['its folder', 'the whole data directory'])(
    'restored by putting back %s: it is filled again, and what is new there arrives',
    { timeout: 600_000 },
    async (part) => {
      const database = `restored-${part.replaceAll(' ', '-')}`;
      const backup = path.join(folder, database);
      const [busy, idle] = [new Replica(database, 'push', 'busy'), new Replica(database, 'push', 'idle')];
      await busy.write(COUNT, 'busy-early-');
      await idle.write(COUNT, 'idle-early-');
      await untilCount(database, 2 * COUNT);
      const puller = new Replica(database, 'pull', 'puller');
      await until('the puller has it all', async () => (await puller.db.info()).doc_count === 2 * COUNT);
      await busy.untilCheckpoint();
      await idle.untilCheckpoint();
      const original = part === 'its folder' ? await gateway.folderOf(database) : gateway.data;
      await cp(original, backup, { recursive: true });

      // The same sessions go on, so the checkpoints here and in the copy have the same names.
      await busy.write(COUNT, 'busy-late-');
      await idle.write(COUNT, 'idle-late-');
      await untilCount(database, 4 * COUNT);
      await busy.untilCheckpoint();
      await idle.untilCheckpoint();
      await until('the puller has it all', async () => (await puller.db.info()).doc_count === 4 * COUNT);
      expect([busy.failures, idle.failures]).toEqual([0, 0]);
      const before = await info(database);

      await gateway.stop();
      await replaceFolder(original, backup);
      await busy.write(1, 'while-away-');
      await until('the push has noticed', () => busy.failures > 0);
      await idle.stop();
      await gateway.start();
      // Takes sequences that the puller has seen already, with other content.
      await gateway.couch.put(`/${database}/made-here`, { new: true });
      idle.start();

      await untilCount(database, 4 * COUNT + 2);
      await until('the puller has the new document', () => puller.db.get('made-here').then(() => true));
      await until('the puller has the late document', () =>
        puller.db.get('while-away-0000000').then(() => true),
      );
      expect((await info(database)).instance_start_time).not.toBe(before.instance_start_time);
      for (const replica of [busy, idle, puller]) await replica.stop();
      await expectEqual(database, [puller]);
    },
  );

  it('keeps its identity and its tokens through stops and kills', async () => {
    const database = 'same';
    await gateway.couch.put(`/${database}`);
    await gateway.couch.put(`/${database}/a`, {});
    for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
      const before = await info(database);
      await gateway.restart(signal);
      expect(await info(database)).toMatchObject({
        update_seq: before.update_seq,
        instance_start_time: before.instance_start_time,
      });
      await gateway.couch.put(`/${database}/after-${signal}`, {});
      const changes = await gateway.couch.get(`/${database}/_changes?since=${before.update_seq}`);
      expect(changes).toMatchObject({ results: [{ id: `after-${signal}` }] });
    }
  });
});

import { mkdir, rm } from 'node:fs/promises';
import path from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { temporaryFolder } from '../support/server.js';
import type { Info } from './support/couch.js';
import { documents } from './support/documents.js';
import { fill, ODD_IDS } from './support/fill.js';
import { live, PouchDB, pouchTrees, remotePouch, serverTrees, untilEqual } from './support/pouch.js';
import { Restartable } from './support/restartable.js';
import { difference } from './support/trees.js';
import { until } from './support/wait.js';

const MANY = 10_000;

let gateway: Restartable;
let folder: string;
let names = 0;
const opened: PouchDB[] = [];

beforeAll(async () => {
  folder = await temporaryFolder();
  gateway = await Restartable.start();
});
afterEach(async () => {
  for (const db of opened.splice(0)) await db.close();
});
afterAll(async () => {
  await gateway.remove();
  await rm(folder, { recursive: true, force: true });
});

async function local(adapter: string): Promise<PouchDB> {
  names += 1;
  await mkdir(folder, { recursive: true });
  const db = new PouchDB(path.join(folder, `replica-${String(names)}`), { adapter });
  opened.push(db);
  return db;
}

function remote(database: string): PouchDB {
  return remotePouch(`${gateway.url}/${database}`, gateway.auth);
}

/** The server and the replicas have the same documents, down to every revision's ancestors and every body. */
async function expectEqual(database: string, replicas: readonly PouchDB[]): Promise<void> {
  const wanted = await serverTrees(gateway.couch, database);
  for (const replica of replicas) expect(difference(await pouchTrees(replica), wanted)).toBeUndefined();
  const living = Object.values(wanted).filter((tree) => !/^winner \S+ deleted/.test(tree)).length;
  const info = (await gateway.couch.get(`/${database}`)) as Info;
  expect([info.doc_count, info.doc_del_count]).toEqual([living, Object.keys(wanted).length - living]);
}

describe.each(['memory', 'leveldb'])('PouchDB in Node with the %s adapter', (adapter) => {
  it('pushes, pulls and syncs conflicts, deletions and odd ids', async () => {
    const database = `plain-${adapter}`;
    const [one, two, three] = [await local(adapter), await local(adapter), await local(adapter)];
    await fill(one, 'one');
    await fill(two, 'two');

    const push = await one.replicate.to(remote(database));
    expect(push).toMatchObject({ ok: true, doc_write_failures: 0, errors: [] });
    expect(push.docs_read).toBeGreaterThan(ODD_IDS.length);
    await expectEqual(database, [one]);

    const pull = await three.replicate.from(remote(database));
    expect(pull).toMatchObject({ ok: true, docs_written: push.docs_written, errors: [] });
    await expectEqual(database, [one, three]);

    await two.sync(remote(database));
    await one.sync(remote(database));
    await three.sync(remote(database));
    await expectEqual(database, [one, two, three]);

    // Nothing moves when nothing is new.
    const again = await two.sync(remote(database));
    expect([again.push.docs_written, again.pull.docs_written]).toEqual([0, 0]);
  });

  it('resolves a conflict on one side for all', async () => {
    const database = `resolved-${adapter}`;
    const [one, two] = [await local(adapter), await local(adapter)];
    await one.put({ _id: 'x', from: 'one' });
    await two.put({ _id: 'x', from: 'two' });
    await one.sync(remote(database));
    await two.sync(remote(database));
    const leaves = await two.get('x', { open_revs: 'all', revs: true });
    expect(leaves).toHaveLength(2);
    const winner = await two.get('x');
    for (const leaf of leaves)
      if ('ok' in leaf && leaf.ok._rev !== winner._rev) await two.remove('x', leaf.ok._rev ?? '');
    await two.put({ ...winner, from: 'both' });
    await two.sync(remote(database));
    await one.sync(remote(database));
    await expectEqual(database, [one, two]);
    expect(await one.get('x')).toMatchObject({ from: 'both' });
  });
});

describe('live sync', () => {
  it(
    `carries ${String(MANY)} documents through a stop and a kill of the server`,
    { timeout: 600_000 },
    async () => {
      const database = 'live';
      const [one, two, three] = [await local('memory'), await local('memory'), await local('leveldb')];
      const replicas = [one, two, three];
      await one.bulkDocs([...documents(MANY)] as never);
      const problems: unknown[] = [];
      const syncs = replicas.map((db) =>
        db
          .sync(remote(database), live)
          .on('error', (error) => problems.push(error))
          .on('denied', (error) => problems.push(error)),
      );

      const count = async (): Promise<number> =>
        ((await gateway.couch.get(`/${database}`)) as Info).doc_count;
      await until('a fifth has arrived', async () => (await count()) > MANY / 5);
      await gateway.restart('SIGTERM');
      await until('half has arrived', async () => (await count()) > MANY / 2);
      await gateway.kill();
      // While it is away all of them go on, and disagree.
      for (const [n, db] of replicas.entries()) {
        await db.put({ _id: 'disputed', by: n });
        await db.bulkDocs([...documents(100, 200, `away-${String(n)}-`)] as never);
        await db.put({ _id: 'counter', n });
      }
      await gateway.start();
      await untilEqual(gateway.couch, database, replicas, 100_000);

      // All see every edit and every deletion of the others.
      const written = await three.get('doc-0000001');
      await three.put({ ...written, edited: 'by three' });
      const doomed = await two.get('doc-0000002');
      await two.remove(doomed._id, doomed._rev ?? '');
      await until('one has both', async () => {
        const edited = await one.get('doc-0000001');
        const [gone] = await one.get('doc-0000002', { open_revs: 'all', revs: true });
        return (
          edited.edited === 'by three' && gone !== undefined && 'ok' in gone && gone.ok._deleted === true
        );
      });
      await untilEqual(gateway.couch, database, replicas);

      expect(problems).toEqual([]);
      for (const sync of syncs) sync.cancel();
      await Promise.all(syncs);
      await expectEqual(database, replicas);
      const leaves = await one.get('disputed', { open_revs: 'all', revs: true });
      expect(leaves).toHaveLength(3);
    },
  );
});

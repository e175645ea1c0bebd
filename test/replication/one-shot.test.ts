import { expect, it } from 'vitest';
import { startReplication } from '../../src/replication/run.js';
import { startApp } from '../http/app.js';
import { HASTY, httpPeer, localPeer } from '../support/peers.js';
import { feedOf, newFolder, openDatabases, put } from '../support/store.js';

it('copies a database to another of the same server', async () => {
  const databases = await openDatabases(await newFolder());
  await databases.create('a');
  await databases.use('a', (db) => put(db, ...Array.from({ length: 2000 }, (_, n) => ({ _id: `d${n}`, n }))));
  const run = () =>
    startReplication({
      id: 'x',
      source: localPeer(databases, 'a'),
      target: localPeer(databases, 'b'),
      options: { createTarget: true },
      tuning: HASTY,
    });
  const first = run();
  const result = await first.done;
  expect(result.noChanges).toBe(false);
  expect(result.checkpoint?.history[0]).toMatchObject({
    docs_read: 2000,
    docs_written: 2000,
    start_last_seq: 0,
  });
  expect(await databases.use('b', (db) => feedOf(db))).toHaveLength(2000);
  const again = await run().done;
  expect(again.noChanges).toBe(true);
  expect(again.checkpoint).toEqual(result.checkpoint);
});

it('copies to and from a server', async () => {
  const app = await startApp();
  const headers = { 'x-test-user': 'admin' };
  try {
    const databases = await openDatabases(await newFolder());
    await databases.create('a');
    await databases.create('c');
    await databases.use('a', (db) =>
      put(db, ...Array.from({ length: 2000 }, (_, n) => ({ _id: `d${n}`, n }))),
    );
    const remote = () => httpPeer(`http://127.0.0.1:${app.port}/b/`, { headers });
    const push = await startReplication({
      id: 'x',
      source: localPeer(databases, 'a'),
      target: remote(),
      options: { createTarget: true },
      tuning: HASTY,
    }).done;
    expect(push.checkpoint?.history[0]).toMatchObject({ docs_written: 2000 });
    const pull = await startReplication({
      id: 'x',
      source: remote(),
      target: localPeer(databases, 'c'),
      options: {},
      tuning: HASTY,
    }).done;
    expect(pull.checkpoint?.history[0]).toMatchObject({ docs_written: 2000 });
    expect(await databases.use('c', (db) => feedOf(db))).toHaveLength(2000);
  } finally {
    await app.stop();
  }
});

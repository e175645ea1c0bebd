import { afterAll, beforeAll, expect, it } from 'vitest';
import { fillWithAttachments } from './support/backup.js';
import type { PouchDB } from './support/pouch.js';
import { remotePouch, serverTrees } from './support/pouch.js';
import { fill } from './support/fill.js';
import { Restartable } from './support/restartable.js';
import { difference } from './support/trees.js';

const COUNT = 1000;

let one: Restartable;
let two: Restartable;

beforeAll(async () => {
  [one, two] = await Promise.all([Restartable.start(), Restartable.start()]);
});
afterAll(async () => {
  await Promise.all([one.remove(), two.remove()]);
});

const at = (gateway: Restartable): PouchDB => remotePouch(`${gateway.url}/db`, gateway.auth);

it(`PouchDB replicates ${String(COUNT)} documents with attachments, conflicts and deletions between two servers`, async () => {
  await fillWithAttachments(one, 'db', COUNT);
  await fill(at(one), 'one');
  await fill(at(two), 'two');
  const sync = await at(one).sync(at(two), { batch_size: 200 });
  for (const half of [sync.push, sync.pull])
    expect(half).toMatchObject({ ok: true, doc_write_failures: 0, errors: [] });
  expect(sync.push.docs_written).toBeGreaterThan(COUNT);
  const wanted = await serverTrees(one.couch, 'db', true);
  expect(difference(await serverTrees(two.couch, 'db', true), wanted)).toBeUndefined();
  expect(Object.values(wanted).filter((tree) => tree.includes('"data":"')).length).toBeGreaterThan(900);
  // The checkpoints stand on both sides: nothing is sent again.
  const again = await at(one).sync(at(two));
  expect([again.push.docs_read, again.pull.docs_read]).toEqual([0, 0]);
});

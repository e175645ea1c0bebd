import { cp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { LevelDatabase } from '../../src/store/level-database.js';
import { compareIds } from '../../src/store/order.js';
import {
  partitionBounds,
  partitionOf,
  partitionRange,
  requireInPartition,
} from '../../src/store/partitions.js';
import { copyToPouch } from '../../src/store/plain-copy.js';
import { PouchProcess } from '../support/pouch.js';
import { listAll, newFolder, put } from '../support/store.js';
import { LEVEL, placeOf, verified, within } from '../support/verify.js';

let pouch: PouchProcess;
beforeAll(() => {
  pouch = new PouchProcess();
});
afterAll(() => pouch.stop());

async function prepare(): Promise<string> {
  const root = await newFolder();
  await within(root, async (db) => {
    await db.setPartitioned();
    await put(db, { _id: 'a:1' }, { _id: 'a:2' }, { _id: 'b:1' }, { _id: '_design/d' });
  });
  return root;
}

async function expectPartitioned(root: string, docCount: number): Promise<void> {
  expect((await verified(root)).filter(({ code }) => code !== 'copy_restored')).toEqual([]);
  await within(root, async (db) => {
    expect(db.isPartitioned).toBe(true);
    expect(await db.partitionInfo('a')).toMatchObject({ docCount, deletedCount: 0 });
    await expect(put(db, { _id: 'b:2' }, { _id: 'plain' })).rejects.toMatchObject({ error: 'illegal_docid' });
    expect(db.get('b:2')).toBeUndefined();
  });
}

test('a database stays partitioned where its folder is put back from a copy', async () => {
  const root = await prepare();
  const { folder } = placeOf(root);
  await cp(folder, join(root, 'backup'), { recursive: true });
  await within(root, (db) => put(db, { _id: 'a:3' }));
  await expectPartitioned(root, 3);
  await rm(folder, { recursive: true });
  await cp(join(root, 'backup'), folder, { recursive: true });
  await expectPartitioned(root, 2);
});

test('a database stays partitioned where PouchDB wrote to it, and counts what PouchDB wrote', async () => {
  const root = await prepare();
  const { folder } = placeOf(root);
  await pouch.open(folder);
  await pouch.call(folder, 'put', [{ _id: 'a:3' }]);
  await pouch.call(folder, 'put', [{ _id: 'plain' }]);
  await pouch.close(folder);
  const { name, marker } = placeOf(root);
  await (await LevelDatabase.open(name, folder, marker, LEVEL)).close();
  await expectPartitioned(root, 3);
});

test('a plain copy of a partitioned database is a PouchDB like others', async () => {
  const [root, target] = [await prepare(), await newFolder()];
  const copy = join(target, 'copy');
  await copyToPouch(placeOf(root).folder, copy, () => undefined);
  await pouch.open(copy);
  expect(await pouch.call(copy, 'put', [{ _id: 'plain' }])).toMatchObject({ ok: true });
  const { rows } = await pouch.dump(copy, [], []);
  await pouch.close(copy);
  expect(rows.map(({ id }) => id)).toEqual(['_design/d', 'a:1', 'a:2', 'b:1', 'plain']);
});

test('the range of a partition has its documents alone, whatever they are called', async () => {
  const piece = fc.string({
    unit: fc.constantFrom('a', ';', '9', '\u0000', '\u{1f600}', 'é'),
    minLength: 1,
    maxLength: 2,
  });
  const ids = fc.uniqueArray(fc.tuple(piece, piece), { selector: (pair) => pair.join(':'), maxLength: 30 });
  const root = await newFolder();
  await fc.assert(
    fc.asyncProperty(ids, piece, fc.boolean(), async (pairs, partition, descending) => {
      const all = pairs.map((pair) => pair.join(':'));
      const own = all.filter((id) => partitionOf(id) === partition).sort(compareIds);
      const { start, end } = partitionRange(partition, { descending });
      const [low, high] = partitionBounds(partition);
      expect(descending ? [end, start] : [start, end]).toEqual([low, high]);
      await rm(join(root, 'db'), { recursive: true, force: true });
      await within(root, async (db) => {
        await put(db, ...all.map((_id) => ({ _id })));
        const { ids: found } = await listAll(db, { start, end, descending });
        expect(found).toEqual(descending ? own.reverse() : own);
        expect((await db.partitionInfo(partition)).docCount).toBe(own.length);
      });
    }),
    {
      numRuns: 25,
      examples: [
        [
          [
            ['a', '9'],
            ['a', '\u{1f600}'],
            ['a;', 'a'],
            ['a9', 'a'],
          ],
          'a',
          false,
        ],
      ],
    },
  );
});

test('every id that is taken has a partition that may be asked for', () => {
  const id = fc.string({ unit: fc.constantFrom('a', ':', '_', 'é'), maxLength: 5 });
  fc.assert(
    fc.property(id, (text) => {
      const taken = ((): boolean => {
        try {
          requireInPartition({ isPartitioned: true }, text);
          return true;
        } catch {
          return false;
        }
      })();
      expect(taken).toBe(/^[^:_][^:]*:[^_]/.test(text));
    }),
  );
});

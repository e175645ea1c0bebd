import { existsSync } from 'node:fs';
import { cp, mkdir, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import PlainPouch from 'pouchdb-node';
import { describe, expect, it, onTestFinished } from 'vitest';
import { openDatabase, PouchDB } from '../../src/pouchdb/pouchdb.js';
import type { OpenOptions, PouchDatabase } from '../../src/pouchdb/types.js';
import { PouchProcess } from '../support/pouch.js';
import { newFolder, openDatabase as openLevel } from '../support/store.js';

/** Closed after the test at the latest. */
function open(dir: string, options: OpenOptions = {}): PouchDatabase {
  const db = openDatabase(dir, options);
  onTestFinished(async () => {
    await db.close().catch(() => undefined);
  });
  return db;
}

const folder = async (): Promise<string> => join(await newFolder(), 'db');

describe('a directory', () => {
  it('is made where there is none, and keeps what is written', async () => {
    const dir = join(await folder(), 'deep', 'er');
    const first = open(dir);
    const { rev } = await first.put({ _id: 'a', n: 1 });
    expect(await first.info()).toMatchObject({ doc_count: 1, update_seq: 1, adapter: 'causeway' });
    await first.close();
    expect(await open(dir).get('a')).toEqual({ _id: 'a', _rev: rev, n: 1 });
  });

  it('is shared by all PouchDB objects of its path, and free when the last one is closed', async () => {
    const dir = await folder();
    const [one, two] = [open(dir), new PouchDB(dir, { adapter: 'leveldb' })];
    const heard = new Promise<unknown>((resolve) => {
      const feed = two.changes({ live: true, since: 'now' }).on('change', (change) => {
        feed.cancel();
        resolve(change);
      });
    });
    await two.info();
    await one.put({ _id: 'a' });
    expect(await heard).toMatchObject({ id: 'a', seq: 1 });
    await one.close();
    await expect(one.get('a')).rejects.toThrow('database is closed');
    await two.put({ _id: 'b' });
    await two.close();

    const pouch = new PouchProcess();
    onTestFinished(() => pouch.stop());
    expect(await pouch.open(dir)).toBe(2);
  });

  it("never gets PouchDB's own LevelDB in this process, whatever the adapter is called", async () => {
    const dir = await folder();
    for (const adapter of ['leveldb', 'causeway']) {
      const db = new PouchDB(dir, { adapter });
      expect(await db.info()).toMatchObject({ backend_adapter: 'classic-level', adapter });
      await db.close();
    }
    expect(await new PouchDB(dir).info()).toMatchObject({ adapter: 'causeway' });
  });

  it('is refused while another process has it open', async () => {
    const dir = await folder();
    await mkdir(dir);
    const pouch = new PouchProcess();
    onTestFinished(() => pouch.stop());
    await pouch.open(dir);
    const refused = open(dir);
    await expect(refused.info()).rejects.toMatchObject({
      status: 412,
      message: `${dir} is in use by another process`,
    });
    await pouch.close(dir);
    expect(await open(dir).info()).toMatchObject({ doc_count: 0 });
  });

  // Only Linux tells which files are open.
  it.runIf(existsSync('/proc/self/fd'))(
    'is refused while something else in this process has it open',
    async () => {
      const root = await newFolder();
      const level = await openLevel(root);
      const message = /is open in this process already/;
      await expect(open(join(root, 'db')).info()).rejects.toThrow(message);
      await level.close();
      expect(await open(join(root, 'db')).info()).toMatchObject({ doc_count: 0 });

      const dir = await folder();
      const plain = new PlainPouch(dir);
      await plain.put({ _id: 'theirs' });
      await expect(open(dir).info()).rejects.toThrow(message);
      await plain.close();
      expect(await open(dir).get('theirs')).toMatchObject({ _id: 'theirs' });
    },
  );

  it('is not opened with the LevelDB of somebody else', async () => {
    const db = open(await folder(), { db: {} } as OpenOptions);
    await expect(db.info()).rejects.toThrow('the option db is not supported');
  });

  it('that was put back loses the checkpoints that replications trust; one that is moved does not', async () => {
    const dir = await folder();
    const checkpoint = { _id: '_local/checkpoint', session_id: 's', history: [], last_seq: 1 };
    const first = open(dir);
    await first.put(checkpoint);
    await first.put({ _id: 'a' });
    await first.close();
    await rename(dir, `${dir}-moved`);
    const moved = open(`${dir}-moved`);
    expect(await moved.get(checkpoint._id)).toMatchObject({ session_id: 's' });
    await moved.close();

    await cp(`${dir}-moved`, `${dir}-copy`, { recursive: true });
    const later = open(`${dir}-moved`);
    await later.put({ _id: 'b' });
    await later.close();
    await rm(`${dir}-moved`, { recursive: true });
    await rename(`${dir}-copy`, `${dir}-moved`);
    const restored = open(`${dir}-moved`);
    await expect(restored.get(checkpoint._id)).rejects.toMatchObject({ status: 404 });
    expect(await restored.info()).toMatchObject({ doc_count: 1 });
  });
});

describe('destroy', () => {
  it('removes the directory, with the indexes of its views, for all objects of its path', async () => {
    const dir = await folder();
    const [db, other] = [open(dir), open(dir)];
    const destroyed = new Promise((resolve) => other.on('destroyed', resolve));
    await db.put({ _id: '_design/d', views: { v: { map: 'function (doc) { emit(doc.n, 1); }' } } });
    await db.put({ _id: 'a', n: 1 });
    expect((await db.query('d/v')).rows).toMatchObject([{ id: 'a', key: 1 }]);
    expect(await readdir(join(dir, '..'))).toHaveLength(2);
    await db.destroy();
    await destroyed;
    expect(await readdir(join(dir, '..'))).toEqual([]);
    await expect(db.get('a')).rejects.toThrow('database is destroyed');

    // The name can be used again at once.
    expect(await open(dir).info()).toMatchObject({ doc_count: 0, update_seq: 0 });
  });

  it('leaves what is not the database of the directory', async () => {
    const dir = await folder();
    const [db, nested] = [open(dir), open(join(dir, 'nested'))];
    await nested.put({ _id: 'a' });
    await db.put({ _id: 'b' });
    await writeFile(join(dir, 'notes.txt'), 'mine');
    await db.destroy();
    expect((await readdir(dir)).sort()).toEqual(['nested', 'notes.txt']);
    expect(await nested.get('a')).toMatchObject({ _id: 'a' });
    expect(await open(dir).info()).toMatchObject({ doc_count: 0 });
  });
});

it('puts a prefix before its path, and the indexes of views beside it', async () => {
  const root = await newFolder();
  const db = open('notes', { prefix: `${root}/` });
  await db.put({ _id: 'a', n: 1 });
  await db.query((doc, emit) => emit(doc.n));
  await db.put({ _id: '_design/d', views: { v: { map: 'function (doc) { emit(doc.n); }' } } });
  await db.query('d/v');
  const names = await readdir(root);
  expect(names.filter((name) => name === 'notes')).toHaveLength(1);
  expect(names.filter((name) => name.startsWith('notes-mrview-'))).toHaveLength(1);
  await db.close();

  // Whoever opens the index next must not find it open.
  const pouch = new PouchProcess();
  onTestFinished(() => pouch.stop());
  for (const name of names) await pouch.open(join(root, name));
  expect(existsSync(join(root, 'notes', 'CURRENT'))).toBe(true);
});

it.each([[''], [undefined], ['http://127.0.0.1:5984/notes'], ['HTTPS://example.org/notes']])(
  'refuses %j, which is no directory',
  (dir) => {
    expect((): unknown => Reflect.apply(openDatabase, undefined, [dir])).toThrow(TypeError);
  },
);

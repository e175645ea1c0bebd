import { copyFile, cp, mkdir, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, test } from 'vitest';
import { LevelDatabase } from '../../src/store/level-database.js';
import { body, feedOf, listAll, newFolder, openDatabase, put, QUICK } from '../support/store.js';

const run = promisify(execFile);

const CHECKPOINT = '"session_id":"s1","history":[{"session_id":"s1","last_seq":3}],"version":1';

/** Opens, does something, closes: one run of the server. */
async function during<T>(folder: string, work: (db: LevelDatabase) => Promise<T>): Promise<T> {
  const db = await LevelDatabase.open('db', join(folder, 'db'), join(folder, 'db.copy'), QUICK);
  try {
    return await work(db);
  } finally {
    await db.close();
  }
}

interface Seen {
  readonly start: string;
  readonly token: string;
}

const look = async (db: LevelDatabase): Promise<Seen> => ({
  start: (await db.info()).instanceStartTime,
  token: db.token(db.updateSeq),
});

/** A database with one document, a checkpoint and another local document. */
const prepare = (folder: string): Promise<Seen> =>
  during(folder, async (db) => {
    await put(db, { _id: 'a', v: 1 });
    await db.putLocal('_local/checkpoint', undefined, CHECKPOINT);
    await db.putLocal('_local/pouch', undefined, '"session_id":"s2","last_seq":5');
    await db.putLocal('_local/other', undefined, '"session_id":"mine"');
    return look(db);
  });

const write = (folder: string, id: string): Promise<Seen> =>
  during(folder, async (db) => {
    await put(db, { _id: id });
    return look(db);
  });

async function expectRecognised(folder: string, before: Seen): Promise<void> {
  const after = await during(folder, async (db) => {
    expect(db.getLocal('_local/checkpoint')).toBeUndefined();
    expect(db.getLocal('_local/pouch')).toBeUndefined();
    expect(db.getLocal('_local/other')).toBeDefined();
    expect(body(db, 'a')).toMatchObject({ v: 1 });
    return look(db);
  });
  expect(Number(after.start)).toBeGreaterThan(Number(before.start));
  await expectOwn(folder, after, false);
}

async function expectOwn(folder: string, before: Seen, checkpoints = true): Promise<void> {
  await during(folder, async (db) => {
    expect(await look(db)).toEqual(before);
    expect(db.parseToken(before.token)).toBe(db.updateSeq);
    expect(db.getLocal('_local/checkpoint') !== undefined).toBe(checkpoints);
    expect(db.getLocal('_local/other')).toBeDefined();
  });
}

const replaceFolder = async (from: string, to: string): Promise<void> => {
  await rm(to, { recursive: true, force: true });
  await run('cp', ['-a', from, to]);
};

/** Changes a byte in the middle of what was written last. */
async function damageLog(folder: string): Promise<void> {
  for (const name of (await readdir(folder)).filter((file) => file.endsWith('.log'))) {
    const log = join(folder, name);
    const bytes = await readFile(log);
    const at = bytes.length >> 1;
    bytes.writeUInt8(bytes.readUInt8(at) ^ 1, at);
    await writeFile(log, bytes);
  }
}

describe('a database that was put back is recognised', () => {
  test('when only its folder was', async () => {
    const [folder, backup] = [await newFolder(), join(await newFolder(), 'backup')];
    const before = await prepare(folder);
    await replaceFolder(join(folder, 'db'), backup);
    const later = await write(folder, 'b');
    await replaceFolder(backup, join(folder, 'db'));
    await expectRecognised(folder, before);
    await during(folder, (db) => {
      expect(db.parseToken(later.token)).toBe(0);
      expect(db.parseToken(before.token)).toBe(1);
      return Promise.resolve();
    });
  });

  test('when several runs wrote since', async () => {
    const [folder, backup] = [await newFolder(), join(await newFolder(), 'backup')];
    const before = await prepare(folder);
    await replaceFolder(join(folder, 'db'), backup);
    for (const id of ['b', 'c', 'd']) await write(folder, id);
    await replaceFolder(backup, join(folder, 'db'));
    await expectRecognised(folder, before);
  });

  test('as it was in the middle of the run that wrote last', async () => {
    const [folder, backup] = [await newFolder(), join(await newFolder(), 'backup')];
    await prepare(folder);
    const db = await openDatabase(folder);
    await put(db, { _id: 'b' });
    const before = await look(db);
    await replaceFolder(join(folder, 'db'), backup);
    await put(db, { _id: 'c' });
    await db.close();
    await replaceFolder(backup, join(folder, 'db'));
    await expectRecognised(folder, before);
  });

  test('when a part of its log is damaged: what was lost may come again', async () => {
    const folder = await newFolder();
    await prepare(folder);
    await during(folder, async ({ indexes }) => {
      const batch = await indexes.batch();
      batch.put('view/state', '{}');
      await batch.write();
      await batch.close();
      expect(await indexes.list()).toEqual(['view']);
    });
    // What the run before wrote is in a table from here on.
    const before = await during(folder, async (db) => {
      for (let n = 0; n < 40; n++) await put(db, { _id: `n${String(n)}`, text: 'x'.repeat(2000) });
      return look(db);
    });
    await damageLog(join(folder, 'db'));
    await expectRecognised(folder, before);
    await during(folder, async (db) => {
      const { ids } = await listAll(db);
      expect(ids.length).toBeLessThan(41);
      expect(await db.info()).toMatchObject({ docCount: ids.length });
      // It may have rows of what is lost, or lack some.
      expect(await db.indexes.list()).toEqual([]);
    });
  });

  test('when a part of its log is damaged, though something came between before it was counted anew', async () => {
    const folder = await newFolder();
    await prepare(folder);
    const before = await during(folder, async (db) => {
      for (let n = 0; n < 40; n++) await put(db, { _id: `n${String(n)}`, text: 'x'.repeat(2000) });
      return look(db);
    });
    await damageLog(join(folder, 'db'));
    // Here the marker is written before it takes its place.
    const obstacle = join(folder, 'db.copy.new');
    await mkdir(obstacle);
    await expect(during(folder, look)).rejects.toThrow('EISDIR');
    await rm(obstacle, { recursive: true });
    await expectRecognised(folder, before);
    await during(folder, async (db) => {
      const { ids } = await listAll(db);
      expect(await db.info()).toMatchObject({ docCount: ids.length });
    });
  });

  test('with its marker', async () => {
    const [folder, backup] = [await newFolder(), join(await newFolder(), 'backup')];
    const before = await prepare(folder);
    await replaceFolder(join(folder, 'db'), backup);
    await run('cp', ['-a', join(folder, 'db.copy'), `${backup}.copy`]);
    await write(folder, 'b');
    await replaceFolder(backup, join(folder, 'db'));
    await rm(join(folder, 'db.copy'));
    await run('cp', ['-a', `${backup}.copy`, join(folder, 'db.copy')]);
    await expectRecognised(folder, before);
  });

  test('with its marker, even where the file gets the number that the old one had', async () => {
    const folder = await newFolder();
    const before = await prepare(folder);
    const marker = join(folder, 'db.copy');
    const text = await readFile(marker, 'utf8');
    await writeFile(`${marker}.copied`, text);
    const { ino: old } = await stat(marker);
    const { ino } = await stat(`${marker}.copied`);
    await rename(`${marker}.copied`, marker);
    await writeFile(marker, text.replace(`"${String(old)}-`, `"${String(ino)}-`));
    expect(await readFile(marker, 'utf8')).not.toBe(text);
    await expectRecognised(folder, before);
  });

  test('with the whole data directory', async () => {
    const [folder, backup] = [await newFolder(), join(await newFolder(), 'backup')];
    const before = await prepare(folder);
    await replaceFolder(folder, backup);
    await write(folder, 'b');
    await replaceFolder(backup, folder);
    await expectRecognised(folder, before);
  });

  test('when the copy is used at another place', async () => {
    const [folder, copy] = [await newFolder(), join(await newFolder(), 'copy')];
    const before = await prepare(folder);
    await cp(folder, copy, { recursive: true, preserveTimestamps: true });
    await expectRecognised(copy, before);
    await expectOwn(folder, before);
  });

  test('when the old files were written over the new ones in place', async () => {
    const [folder, backup] = [await newFolder(), join(await newFolder(), 'backup')];
    const before = await prepare(folder);
    await replaceFolder(folder, backup);
    await write(folder, 'b');
    for (const file of await readdir(join(folder, 'db'))) await rm(join(folder, 'db', file));
    for (const file of await readdir(join(backup, 'db')))
      await copyFile(join(backup, 'db', file), join(folder, 'db', file));
    const { ino } = await stat(join(folder, 'db.copy'));
    await copyFile(join(backup, 'db.copy'), join(folder, 'db.copy'));
    expect((await stat(join(folder, 'db.copy'))).ino).toBe(ino);
    await expectRecognised(folder, before);
  });

  test('when all files were written over in place as they were in the middle of the run that wrote last', async () => {
    const [folder, backup] = [await newFolder(), join(await newFolder(), 'backup')];
    const before = await prepare(folder);
    const db = await openDatabase(folder);
    await put(db, { _id: 'b' });
    await run('cp', ['-a', folder, backup]);
    await put(db, { _id: 'c' });
    await db.close();
    await run('cp', ['-a', `${backup}/.`, folder]);
    await expectRecognised(folder, before);
  });

  test.each(['', '{', '[]', 'null', '{"runs":[]}', '{"runs":"x","file":"1-1"}'])(
    'when its marker says %j',
    async (text) => {
      const folder = await newFolder();
      const before = await prepare(folder);
      await writeFile(join(folder, 'db.copy'), text);
      await expectRecognised(folder, before);
    },
  );

  test('when its marker is gone', async () => {
    const folder = await newFolder();
    const before = await prepare(folder);
    await rm(join(folder, 'db.copy'));
    await expectRecognised(folder, before);
  });
});

describe('not taken for a copy is', () => {
  test('an ordinary restart, with writes and without', async () => {
    const folder = await newFolder();
    const before = await prepare(folder);
    await expectOwn(folder, before);
    const later = await write(folder, 'b');
    expect(later.start).toBe(before.start);
    await expectOwn(folder, later);
    await expectOwn(folder, later);
  });

  test('a restart after a crash in a run that wrote', async () => {
    const folder = await newFolder();
    const before = await prepare(folder);
    const db = await openDatabase(folder);
    await put(db, { _id: 'b' });
    // What a killed process leaves behind: the files as they are, the marker with them.
    const crashed = join(await newFolder(), 'crashed');
    await cp(join(folder, 'db'), crashed, { recursive: true });
    const seen = await look(db);
    await db.close();
    // Back into the same folder, which a crash leaves as it is; another one would be a copy that was put back.
    for (const file of await readdir(join(folder, 'db'))) await rm(join(folder, 'db', file));
    for (const file of await readdir(crashed)) await copyFile(join(crashed, file), join(folder, 'db', file));
    expect(seen.start).toBe(before.start);
    await expectOwn(folder, seen);
  });

  test('a restart after a crash between the marker and the first batch of a run', async () => {
    const folder = await newFolder();
    const before = await prepare(folder);
    const marker = join(folder, 'db.copy');
    const named = JSON.parse(await readFile(marker, 'utf8')) as { runs: string[] };
    await writeFile(marker, JSON.stringify({ ...named, runs: [...named.runs, 'the run that crashed'] }));
    await expectOwn(folder, before);
  });

  test('a restart after a crash between the first batch of a run and its marker, from when on that run alone counts', async () => {
    const [folder, backup] = [await newFolder(), join(await newFolder(), 'backup')];
    const before = await prepare(folder);
    await replaceFolder(join(folder, 'db'), backup);
    const marker = join(folder, 'db.copy');
    const [old] = (JSON.parse(await readFile(marker, 'utf8')) as { runs: string[] }).runs;
    const later = await write(folder, 'b');
    const named = JSON.parse(await readFile(marker, 'utf8')) as { runs: string[]; file: string };
    expect(named.runs).toHaveLength(1);
    await writeFile(marker, JSON.stringify({ ...named, runs: [old, ...named.runs] }));
    await expectOwn(folder, later);
    await replaceFolder(backup, join(folder, 'db'));
    await expectRecognised(folder, before);
  });

  test('a data directory that was renamed', async () => {
    const [folder, other] = [await newFolder(), join(await newFolder(), 'renamed')];
    const before = await prepare(folder);
    await rename(folder, other);
    await expectOwn(other, before);
    await rename(other, folder);
  });
});

test('a copy that is taken for one goes on counting, in an epoch of its own', async () => {
  const [folder, backup] = [await newFolder(), join(await newFolder(), 'backup')];
  const first = await prepare(folder);
  await replaceFolder(join(folder, 'db'), backup);
  const lost = await write(folder, 'lost');
  await replaceFolder(backup, join(folder, 'db'));
  const db = await openDatabase(folder);
  await put(db, { _id: 'new' });
  expect((await feedOf(db)).map(({ id, seq }) => [id, seq])).toEqual([
    ['a', 1],
    ['new', 2],
  ]);
  expect([first.token, lost.token, db.token(2)].map((token) => db.parseToken(token))).toEqual([1, 0, 2]);
});

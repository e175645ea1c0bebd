import { cp, mkdtemp, readdir, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { BaseLimits } from '../../../src/store/conflicts/types.js';
import type { LevelDatabase } from '../../../src/store/level-database.js';
import { repairDatabase } from '../../../src/store/verify/repair.js';
import { attach, attachmentsOf, bytesOf, data, STUB, take, write } from '../../support/attachments.js';
import * as layout from '../../../src/store/layout.js';
import { body, kept, newFolder, parsed, put, replicate, revOf } from '../../support/store.js';
import { codesOf, LEVEL, placeOf, share, SHARERS, tamper, verified, within } from '../../support/verify.js';
import { DAMAGES } from './damages.js';

const TEXT = Buffer.from('0123456789'.repeat(600));

/** A database that has everything. */
async function makeWhole(root: string): Promise<void> {
  let limits: BaseLimits | undefined;
  const fill = async (db: LevelDatabase): Promise<void> => {
    await db.setRevsLimit(100);
    await db.trackUnsent(true);
    await db.setSecurity('{"admins":{},"members":{}}');
    const [first] = await put(db, { _id: 'a', n: 1 });
    const [second] = await put(db, { _id: 'a', _rev: revOf(first), n: 2 });
    await put(db, { _id: 'a', _rev: revOf(second), n: 3 });
    await replicate(db, { _id: 'c', _rev: '1-a', side: 'left' }, { _id: 'c', _rev: '1-b', side: 'right' });
    const [gone] = await put(db, { _id: 'd' });
    await put(db, { _id: 'd', _rev: revOf(gone), _deleted: true }, { _id: 'big', text: 'x'.repeat(200_000) });
    await put(db, { _id: 'big2', text: 'x'.repeat(150_000) }, { _id: '語/@"' }, { _id: 'p' }, { _id: 'q' });
    const attachments = {
      empty: data(await take(db, Buffer.alloc(0))),
      small: data(await take(db, bytesOf(300))),
      text: data(await take(db, TEXT, { gzip: { level: 8 } })),
      large: data(await take(db, bytesOf(150_000, 3))),
    };
    const [one] = await write(db, [{ id: 'f@1', attachments }]);
    await write(db, [
      { id: 'f@1', revs: [revOf(one)], attachments: { small: STUB, text: STUB, large: STUB } },
    ]);
    // So many that they stand one by one, and some of them only for the next compaction.
    await share(db);
    const [sharer = ''] = SHARERS;
    await write(db, [{ id: sharer, revs: [db.get(sharer)?.winner ?? ''], deleted: true }]);
    await db.unsent.sentThrough(db.updateSeq);
    await put(db, { _id: 'z1' }, { _id: 'z2' });
    const file = data(await take(db, bytesOf(500, 7)), 1);
    for (const rev of ['1-a', '1-b'])
      await write(db, [{ id: 'm', revs: [rev], attachments: rev === '1-a' ? { file } : {} }], false);
    await db.resolve(
      { id: 'm', ifLeaves: ['1-a', '1-b'], edits: [parsed({ _id: 'm', _rev: '1-x' }, false)] },
      { journal: { text: '{"by":"hand"}', keeps: await kept(db, 'm', '1-a', '1-b') } },
    );
    const text = `"text":"${'x'.repeat(500)}"`;
    for (const rev of ['1-a', '1-b']) await write(db, [{ id: 'like', revs: [rev], body: text }], false);
    await db.resolve(
      { id: 'like', ifLeaves: ['1-a', '1-b'], edits: [parsed({ _id: 'like', _rev: '1-x' }, false)] },
      { journal: { text: '{"by":"hand"}', keeps: await kept(db, 'like', '1-a', '1-b') } },
    );
    const [was] = await put(db, { _id: 'was' });
    limits = { maxAge: 1e12, maxBytes: 1e9 };
    await put(db, { _id: 'was', _rev: revOf(was) });
    limits = undefined;
    await db.putLocal('_local/x', undefined, '"n":1');
    await db.purge(new Map(['p', 'q', 'none'].map((id) => [id, [db.get(id)?.winner ?? '1-x']])));
  };
  await within(root, fill, { ...LEVEL, basesOf: () => limits });
}

let whole: string;

beforeAll(async () => {
  whole = await mkdtemp(join(tmpdir(), 'causeway-verify-'));
  await makeWhole(whole);
  expect(await verified(whole)).toEqual([]);
}, 60_000);
afterAll(() => rm(whole, { recursive: true }));

/** A copy of the whole database, which the marker of that does not know. */
async function copyOfWhole(): Promise<string> {
  const root = await newFolder();
  await cp(placeOf(whole).folder, placeOf(root).folder, { recursive: true });
  return root;
}

const found = async (root: string): Promise<string[]> =>
  codesOf(await verified(root)).filter((code) => code !== 'copy_restored');

const repair = (root: string, parts: ('files' | 'entries')[] = ['entries']): Promise<void> =>
  repairDatabase({ ...placeOf(root), level: LEVEL }, new Set(parts));

describe('one thing that is broken is found, nothing else is, and what can be mended is', () => {
  test.each(Object.entries(DAMAGES))('%s', async (_, { by, finds, start = false, left = [] }) => {
    const root = await copyOfWhole();
    await tamper(root, by);
    expect(await found(root)).toEqual([...finds].sort());
    if (left.includes('record_damaged')) return;
    if (start) await within(root, () => Promise.resolve());
    else await repair(root);
    expect(await found(root)).toEqual(left);
  });
});

/** Changes one byte of a file. */
async function flipByte(file: string, at: (length: number) => number): Promise<void> {
  const bytes = await readFile(file);
  bytes.writeUInt8(bytes.readUInt8(at(bytes.length)) ^ 1, at(bytes.length));
  await writeFile(file, bytes);
}

/** Where a file of LevelDB is; what was written last stands in the log until it is opened again. */
async function fileOf(root: string, pattern: RegExp): Promise<string> {
  const { folder } = placeOf(root);
  const name = (await readdir(folder)).sort().find((file) => pattern.test(file));
  if (name === undefined) throw new Error(`no file ${String(pattern)}`);
  return join(folder, name);
}

/** A copy whose entries stand in a table. */
async function inTable(): Promise<string> {
  const root = await copyOfWhole();
  await tamper(root, (level) => level.compactRange('', '\u{10ffff}'));
  return root;
}

describe('damaged files of LevelDB', () => {
  test.each([100, 5_000, 100_000])('are found by their checksums: a table, at %i', async (at) => {
    const root = await inTable();
    await flipByte(await fileOf(root, /\.ldb$/), () => at);
    expect(await found(root)).toContain('files_damaged');
  });

  test('a table without its end', async () => {
    const root = await inTable();
    await truncate(await fileOf(root, /\.ldb$/), 1000);
    expect(await found(root)).toEqual(['files_damaged']);
  });

  test('no table that LevelDB did not finish when it was closed: it is not used', async () => {
    const root = await inTable();
    const whole = await readFile(await fileOf(root, /\.ldb$/));
    await writeFile(join(placeOf(root).folder, '900000.ldb'), whole.subarray(0, whole.length >> 1));
    expect(await found(root)).toEqual([]);
    await within(root, () => Promise.resolve());
    expect(await readdir(placeOf(root).folder)).not.toContain('900000.ldb');
  });

  test('a table that is gone: what the others hold is saved', async () => {
    const root = await inTable();
    await within(root, (db) => put(db, { _id: 'later' }));
    await rm(await fileOf(root, /\.ldb$/));
    const folder = await readdir(placeOf(root).folder);
    expect(await found(root)).toEqual(['files_missing']);
    expect((await readdir(placeOf(root).folder)).sort()).toEqual(folder.sort());
    await repair(root, ['files', 'entries']);
    expect(await found(root)).not.toContain('files_missing');
    await within(root, (db) => {
      expect(body(db, 'later')).toMatchObject({ _id: 'later' });
      return Promise.resolve();
    });
  });

  test('no CURRENT: the database is not taken for a new one, and is saved', async () => {
    const root = await inTable();
    await rm(join(placeOf(root).folder, 'CURRENT'));
    expect(await found(root)).toEqual(['files_missing']);
    await expect(within(root, () => Promise.resolve())).rejects.toThrow('Database failed to open');
    expect(await found(root)).toEqual(['files_missing']);
    await repair(root, ['files', 'entries']);
    expect(await found(root)).toEqual([]);
  });

  test('a manifest that is gone, or says nothing', async () => {
    const root = await inTable();
    const manifest = await fileOf(root, /^MANIFEST/);
    await flipByte(manifest, () => 20);
    expect(await found(root)).toEqual(['files_damaged']);
    await rm(manifest);
    expect(await found(root)).toEqual(['files_missing']);
    await repair(root, ['files', 'entries']);
    expect(await found(root)).toEqual([]);
  });

  test('a log that is damaged: what it lost comes again by replication once the database is repaired', async () => {
    const root = await inTable();
    const before = await within(root, async (db) => {
      await db.putLocal('_local/checkpoint', undefined, '"session_id":"s1","last_seq":5');
      for (let n = 0; n < 40; n++) await put(db, { _id: `n${String(n)}`, text: 'x'.repeat(2000) });
      return db.info();
    });
    await flipByte(await fileOf(root, /\.log$/), (length) => length >> 1);
    await repair(root, ['files', 'entries']);
    await within(root, async (db) => {
      expect(db.getLocal('_local/checkpoint')).toBeUndefined();
      expect((await db.info()).instanceStartTime).not.toBe(before.instanceStartTime);
    });
  });

  test('a log: damaged in the middle it lost writes, cut off at its end it need not', async () => {
    const root = await inTable();
    await within(root, async (db) => {
      for (let n = 0; n < 40; n++) await put(db, { _id: `n${String(n)}`, text: 'x'.repeat(2000) });
    });
    const log = await fileOf(root, /\.log$/);
    const before = await readFile(log);
    await truncate(log, before.length - 100);
    expect(await found(root)).toEqual(['files_cut']);
    await writeFile(log, before);
    await flipByte(log, (length) => length >> 1);
    expect(await found(root)).toContain('files_damaged');
    // LevelDB, which was shown a copy, would have dropped what it could not read.
    await writeFile(log, before);
    expect(await found(root)).toEqual([]);
  });
});

describe('a revision that was lost', () => {
  test('is there again once it was purged and replicated anew', async () => {
    const root = await copyOfWhole();
    const lost = await within(root, async (db) => {
      const [result] = await put(db, { _id: 'lost', n: 1 });
      return revOf(result);
    });
    await tamper(root, async (level) => {
      await level.del(layout.bodies.key(layout.seqKey(await layout.lastNumber(level, layout.bodies))));
    });
    expect(await found(root)).toEqual(['body_missing']);
    await within(root, async (db) => {
      await db.purge(new Map([['lost', [lost]]]));
      await replicate(db, { _id: 'lost', _rev: lost, n: 1 });
      expect(body(db, 'lost')).toMatchObject({ n: 1 });
    });
    // How long the lost body was is not known.
    expect(await found(root)).toEqual(['counters_wrong']);
    await repair(root);
    expect(await found(root)).toEqual([]);
  });

  test('or damaged goes with its attachments', async () => {
    const root = await copyOfWhole();
    const [damaged, attachments] = await within(root, async (db) => {
      const result = await attach(db, 'lost', { f: bytesOf(700, 9) });
      return [revOf(result), attachmentsOf(db, 'lost')] as const;
    });
    const digest = attachments.get('f')?.digest ?? '';
    await tamper(root, async (level) => {
      const key = layout.bodies.key(layout.seqKey(await layout.lastNumber(level, layout.bodies)));
      await level.put(key, ((await level.get(key)) ?? '').replace('"_id"', '"_id'));
    });
    expect(await found(root)).toContain('body_damaged');
    await within(root, (db) => db.purge(new Map([['lost', [damaged]]])));
    await repair(root);
    expect(await found(root)).toEqual([]);
    await tamper(root, async (level) => {
      expect(await level.has(layout.binaries.key(digest))).toBe(false);
    });
  });
});

test('a copy that was put back is noted', async () => {
  expect(codesOf(await verified(await copyOfWhole()))).toEqual(['copy_restored']);
});

test('verifying leaves every file as it was', async () => {
  const root = await copyOfWhole();
  const files = async (): Promise<unknown[]> => {
    const { folder } = placeOf(root);
    const names = (await readdir(folder)).sort();
    return Promise.all(names.map(async (name) => [name, (await stat(join(folder, name))).mtimeMs]));
  };
  const before = await files();
  await verified(root);
  expect(await files()).toEqual(before);
  expect((await readdir(root)).sort()).toEqual(['db']);
});

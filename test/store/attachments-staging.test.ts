import { cp } from 'node:fs/promises';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import type { StagedAttachment } from '../../src/store/attachments/stage.js';
import type { StoreOptions } from '../../src/store/databases.js';
import type { LevelDatabase } from '../../src/store/level-database.js';
import type { AttachmentStaging } from '../../src/store/types/attachments.js';
import type { Database } from '../../src/store/types/database.js';
import {
  attach,
  bytesOf,
  data,
  digestOf,
  LIMITS,
  onDisk,
  pieces,
  problemsOf,
  readAll,
  write,
} from '../support/attachments.js';
import { newFolder, openDatabase, OPTIONS, put, QUICK, revOf } from '../support/store.js';

/** So many bytes of a request are in memory, and two of these are more. */
const FEW: StoreOptions = { ...QUICK, chunkAbove: 1024 };
const SIZE = 900;
const A = bytesOf(SIZE, 1);
const B = bytesOf(SIZE, 2);

/** A request that brings these, and one more: before that one all others but the last are moved to the disk. */
async function bring(
  db: Database,
  ...contents: readonly Buffer[]
): Promise<{ staging: AttachmentStaging; staged: readonly StagedAttachment[] }> {
  const staging = db.stageAttachments();
  const staged: StagedAttachment[] = [];
  for (const bytes of [...contents, bytesOf(SIZE, 98), bytesOf(1, 99)]) {
    staged.push(await staging.take(pieces(bytes), LIMITS));
  }
  return { staging, staged };
}

/** Gives the first of those to a document. */
async function give(db: Database, id: string, [first]: readonly StagedAttachment[]): Promise<void> {
  if (first === undefined) throw new Error('nothing was brought');
  const [result] = await write(db, [{ id, attachments: { f: data(first) } }]);
  expect(result).toMatchObject({ ok: true });
}

async function closed(db: LevelDatabase, folder: string): ReturnType<typeof onDisk> {
  await db.close();
  return onDisk(join(folder, 'db'));
}

describe('a request that brings many attachments', () => {
  test('has few of them in memory', async () => {
    const folder = await newFolder();
    const db = await openDatabase(folder, { ...OPTIONS, chunkAbove: 4 << 20 });
    const staging = db.stageAttachments();
    const contents = Array.from({ length: 40 }, (_, at) => bytesOf(200_000, at));
    const staged: StagedAttachment[] = [];
    for (const bytes of contents) {
      staged.push(await staging.take(pieces(bytes), LIMITS));
      const held = staged.filter(({ plain }) => Buffer.isBuffer(plain.content)).length;
      expect(held).toBeLessThanOrEqual(6);
    }
    const named = Object.fromEntries(staged.map((one, at) => [`f${String(at)}`, data(one)]));
    await write(db, [{ id: 'a', attachments: named }]);
    await staging.release();
    const found = await readAll(db, 'a');
    for (const [at, bytes] of contents.entries()) expect(found[`f${String(at)}`]?.equals(bytes)).toBe(true);
    const disk = await closed(db, folder);
    expect(problemsOf(disk)).toEqual([]);
    expect(disk.state.attachmentBytes).toBe(40 * 200_000);
  });

  test('leaves nothing where nothing is written, in whatever form it came', async () => {
    const folder = await newFolder();
    const db = await openDatabase(folder, FEW);
    const { staging } = await bring(db, A, A, Buffer.alloc(0), bytesOf(5000), B);
    await staging.take(pieces(gzipSync(A)), { ...LIMITS, gzip: 'given' });
    await staging.take(pieces(B), { ...LIMITS, gzip: { level: 8 } });
    await staging.release();
    await staging.release();
    expect(await closed(db, folder)).toMatchObject({ binaries: [], chunks: 0, uploads: 0 });
  });

  test('leaves nothing after a crash but what documents have', async () => {
    const folder = await newFolder();
    const db = await openDatabase(folder, FEW);
    const { staging, staged } = await bring(db, A, B, bytesOf(5000));
    await give(db, 'a', staged);
    const crashed = join(folder, 'crashed');
    await cp(join(folder, 'db'), join(crashed, 'db'), { recursive: true });
    await staging.release();
    expect(await onDisk(join(crashed, 'db'))).toMatchObject({
      binaries: { length: 2 },
      chunks: 1,
      state: { attachmentBytes: SIZE },
    });
    const again = await openDatabase(crashed, FEW);
    expect(await readAll(again, 'a')).toEqual({ f: A });
    const disk = await closed(again, crashed);
    expect(problemsOf(disk)).toEqual([]);
    expect(disk).toMatchObject({ binaries: [digestOf(A)], chunks: 0, uploads: 0 });
  });

  test('cannot give away what it brought before the database was opened again', async () => {
    const folder = await newFolder();
    const db = await openDatabase(folder, FEW);
    const { staging, staged } = await bring(db, A);
    await db.close();
    await expect(staging.take(pieces(bytesOf(5000)), LIMITS)).rejects.toMatchObject({ status: 503 });
    const again = await openDatabase(folder, FEW);
    const results = await write(
      again,
      staged.map((one, at) => ({ id: String(at), attachments: { f: data(one) } })),
    );
    // Only the last is in memory.
    expect(results.map((result) => result.ok || result.error.status)).toEqual([503, 503, true]);
    await staging.release();
    expect(problemsOf(await closed(again, folder))).toEqual([]);
  });
});

describe('of two requests that bring the same bytes', () => {
  test.each([
    ['one gives them to a document, then the other leaves', ['give', 'leave']],
    ['one leaves, then the other gives them to a document', ['leave', 'give']],
    ['one leaves while the other gives them to a document', ['both']],
  ])('%s', async (_, order) => {
    const folder = await newFolder();
    const db = await openDatabase(folder, FEW);
    const [one, other] = [await bring(db, A), await bring(db, A)];
    for (const step of order) {
      await Promise.all([
        step !== 'leave' && give(db, 'a', one.staged),
        step !== 'give' && other.staging.release(),
      ]);
    }
    await one.staging.release();
    expect(await readAll(db, 'a')).toEqual({ f: A });
    const disk = await closed(db, folder);
    expect(problemsOf(disk)).toEqual([]);
    expect(disk.binaries).toEqual([digestOf(A)]);
  });

  test('and a document that had them before is purged, they stay for the one that gives them away', async () => {
    const folder = await newFolder();
    const db = await openDatabase(folder, FEW);
    const before = revOf(await attach(db, 'before', { f: A }));
    const [one, other] = [await bring(db, A), await bring(db, A)];
    // All in one commit.
    await Promise.all([db.purge(new Map([['before', [before]]])), other.staging.release()]);
    await give(db, 'a', one.staged);
    await one.staging.release();
    expect(await readAll(db, 'a')).toEqual({ f: A });
    expect(problemsOf(await closed(db, folder))).toEqual([]);
  });

  test('and one has them in memory, in whatever order', async () => {
    const folder = await newFolder();
    const db = await openDatabase(folder, FEW);
    const stored = await bring(db, A);
    const inMemory = db.stageAttachments();
    const held = await inMemory.take(pieces(A), LIMITS);
    await Promise.all([stored.staging.release(), give(db, 'a', [held])]);
    await inMemory.release();
    expect(await readAll(db, 'a')).toEqual({ f: A });
    expect(problemsOf(await closed(db, folder))).toEqual([]);
  });

  test('and one has them in chunks, because it came when the limit was another', async () => {
    const folder = await newFolder();
    const db = await openDatabase(folder, { ...FEW, chunkAbove: 500 });
    await attach(db, 'chunked', { f: A });
    await db.close();
    const again = await openDatabase(folder, FEW);
    const { staging, staged } = await bring(again, A, B);
    await give(again, 'a', staged);
    await staging.release();
    const rev = again.get('chunked')?.winner ?? '';
    await again.purge(new Map([['chunked', [rev]]]));
    expect(await readAll(again, 'a')).toEqual({ f: A });
    await again.purge(new Map([['a', [again.get('a')?.winner ?? '']]]));
    expect(await closed(again, folder)).toMatchObject({ binaries: [], chunks: 0, uploads: 0 });
  });
});

test('a database with large leftovers of a crash is open at once, and tidies up behind', async () => {
  const folder = await newFolder();
  const db = await openDatabase(folder, FEW);
  const staging = db.stageAttachments();
  await staging.take(pieces(bytesOf(70 << 20), 1 << 20), LIMITS);
  await db.close();
  const again = await openDatabase(folder, FEW);
  await put(again, { _id: 'a' });
  expect((await closed(again, folder)).chunks).toBeLessThanOrEqual(120);
  expect(await closed(await openDatabase(folder, FEW), folder)).toMatchObject({ chunks: 0, uploads: 0 });
});

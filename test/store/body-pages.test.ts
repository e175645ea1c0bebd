import { join } from 'node:path';
import { ClassicLevel } from 'classic-level';
import fc from 'fast-check';
import { describe, expect, onTestFinished, test } from 'vitest';
import { BodyPages } from '../../src/store/body-pages.js';
import { LARGE } from '../../src/store/large-bodies.js';
import { PouchProcess } from '../support/pouch.js';
import { newFolder, openDatabase, put, replicate, revOf } from '../support/store.js';

/** More than this is never read at once, but for a single body. */
const LIMIT = 100 * LARGE;

const sum = (lengths: readonly number[]): number => lengths.reduce((total, length) => total + length, 0);

/** Reads bodies of these lengths; each look-up by the lengths that it brought. */
async function lookUps(lengths: readonly number[]): Promise<number[][]> {
  const made: number[][] = [];
  const bodies = new BodyPages<number>({
    bodyBound: (length) => Math.max(length, LARGE),
    readMany: (wanted) => {
      made.push([...wanted]);
      return Promise.resolve(wanted.map((length) => 'x'.repeat(length)));
    },
  });
  const read: number[] = [];
  for await (const page of bodies.pages(lengths, (length) => length)) {
    for (const { item, text } of page) {
      expect(text).toHaveLength(item);
      read.push(item);
    }
  }
  expect(read).toEqual(lengths);
  return made;
}

const sizes = (made: readonly number[][]): number[] => made.map(({ length }) => length);

describe('pages of bodies', () => {
  test('grow where bodies are short, and shrink where they are long', async () => {
    expect(sizes(await lookUps([]))).toEqual([]);
    expect(sizes(await lookUps(Array<number>(300).fill(500)))).toEqual([32, 100, 100, 68]);
    expect(sizes(await lookUps(Array<number>(40).fill(50_000)))).toEqual([32, 5, 3]);
    expect(sizes(await lookUps([...Array<number>(40).fill(10), ...Array<number>(3).fill(LIMIT)]))).toEqual([
      32, 8, 1, 1, 1,
    ]);
  });

  test('never hold much, whatever comes after what', async () => {
    const length = fc.oneof(
      { arbitrary: fc.constant(1), weight: 9 },
      fc.constantFrom(LARGE, 2 * LARGE, 30 * LARGE, LIMIT, LIMIT + 1),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(length, { minLength: 50, maxLength: 400 }), async (lengths) => {
        for (const made of await lookUps(lengths)) {
          expect(made.length === 1 || sum(made) <= LIMIT, `${String(sum(made))} at once`).toBe(true);
        }
      }),
      { numRuns: 50 },
    );
  });
});

/** The large bodies that are listed on disk: sequence → length. */
async function listedOnDisk(folder: string): Promise<Record<string, number>> {
  const level = new ClassicLevel(join(folder, 'db'));
  const listed: Record<string, number> = {};
  for await (const [key, length] of level.iterator()) {
    const [, seq] = /large_body\/([0-9]+)$/.exec(key) ?? [];
    if (seq !== undefined) listed[String(Number(seq))] = Number(length);
  }
  await level.close();
  return listed;
}

const large = 'x'.repeat(2 * LARGE);

describe('a database knows how long its large bodies are', () => {
  const boundOf = (db: Awaited<ReturnType<typeof openDatabase>>, id: string): number => {
    const record = db.get(id);
    return db.bodyBound(record && { record, rev: record.winner });
  };

  test('as soon as they are written, and when it is opened again', async () => {
    const folder = await newFolder();
    const db = await openDatabase(folder);
    await put(db, { _id: 'a', large }, { _id: 'b' });
    const record = db.get('a');
    const { length } = (record && db.read(record, record.winner)) ?? '';
    expect(boundOf(db, 'a')).toBe(length);
    expect(length).toBeGreaterThan(2 * LARGE);
    expect(boundOf(db, 'b')).toBe(LARGE);
    expect(boundOf(db, 'none')).toBe(0);
    await db.close();
    const again = await openDatabase(folder);
    expect(boundOf(again, 'a')).toBe(length);
    expect(boundOf(again, 'b')).toBe(LARGE);
  });

  test('and forgets them on disk when they are dropped or moved', async () => {
    const folder = await newFolder();
    const db = await openDatabase(folder);
    const [first] = await put(db, { _id: 'a', large });
    await put(db, { _id: 'a', _rev: revOf(first) });
    const ids = ['c', 'b', 'a'];
    await replicate(db, { _id: 'b', _rev: '3-c', large });
    await replicate(db, {
      _id: 'b',
      _revisions: { start: 3, ids },
      large: 'comes again, and is not looked at',
    });
    const moved = boundOf(db, 'b');
    expect(moved).toBeGreaterThan(2 * LARGE);
    await db.compact();
    await db.close();
    expect(await listedOnDisk(folder)).toEqual({ 4: moved });
  });

  test('that PouchDB wrote', async () => {
    const folder = await newFolder();
    const directory = join(folder, 'db');
    const pouch = new PouchProcess();
    onTestFinished(() => pouch.stop());
    const write = async (...docs: object[]): Promise<void> => {
      await pouch.open(directory);
      await pouch.bulkDocs(directory, docs);
      await pouch.close(directory);
    };
    await write({ _id: 'a', large }, { _id: 'b' });
    const made = await openDatabase(folder);
    expect(boundOf(made, 'a')).toBeGreaterThan(2 * LARGE);
    expect(boundOf(made, 'b')).toBe(LARGE);
    await put(made, { _id: 'c', large });
    await made.close();
    await write({ _id: 'd', large });
    const changed = await openDatabase(folder);
    for (const id of ['a', 'c', 'd']) expect(boundOf(changed, id)).toBeGreaterThan(2 * LARGE);
    expect(boundOf(changed, 'b')).toBe(LARGE);
  });
});

test('a listing of small documents and then large ones reads few of the large ones at once', async () => {
  const db = await openDatabase(await newFolder());
  const long = 'x'.repeat(LIMIT / 4);
  await put(db, ...Array.from({ length: 40 }, (_, at) => ({ _id: `a${String(at)}` })));
  for (let at = 0; at < 9; at++) await put(db, { _id: `b${String(at)}`, long });
  const { pages } = await db.list({ bodies: true });
  const lengths: number[][] = [];
  for await (const page of pages) lengths.push(page.map(({ text }) => text?.length ?? 0));
  expect(lengths.map((page) => page.length)).toEqual([32, 11, 1, 1, 1, 1, 1, 1]);
  expect(sum(lengths.flat())).toBeGreaterThan(9 * long.length);
});

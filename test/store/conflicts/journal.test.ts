import { join } from 'node:path';
import { ClassicLevel } from 'classic-level';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { readAttachments } from '../../../src/store/attachments/members.js';
import type { JournalEntry, JournalRange } from '../../../src/store/conflicts/types.js';
import * as layout from '../../../src/store/layout.js';
import type { LevelDatabase } from '../../../src/store/level-database.js';
import { copyToPouch } from '../../../src/store/plain-copy.js';
import { bodySeq } from '../../../src/store/record.js';
import type { Database } from '../../../src/store/types/database.js';
import type { DocumentEdit } from '../../../src/store/types/edits.js';
import { bytesOf, data, release, take, write } from '../../support/attachments.js';
import { body, kept, newFolder, openDatabase, parsed, put } from '../../support/store.js';
import { PouchProcess } from '../../support/pouch.js';
import { verified } from '../../support/verify.js';

afterEach(() => {
  vi.restoreAllMocks();
});

const FILE = bytesOf(3000, 4);

/** A revision that goes on from another one of generation 1. */
const after = (id: string, parent: string, hash: string, members: object = {}): DocumentEdit =>
  parsed({ _id: id, _revisions: { start: 2, ids: [hash, parent] }, ...members }, false);

/** Makes a document with two leaves, of which the losing one has an attachment, and merges them. */
async function merge(db: Database, id: string): Promise<number> {
  const taken = await take(db, FILE);
  await write(
    db,
    [
      { id, revs: ['1-a'], body: '"n":1.0', attachments: { f: data(taken, 1) } },
      { id, revs: ['1-b'], body: '"n":2' },
    ],
    false,
  );
  await release(taken);
  const resolved = await db.resolve(
    {
      id,
      ifLeaves: ['1-a', '1-b'],
      edits: [after(id, 'b', 'merged', { n: 3 }), after(id, 'a', 'gone', { _deleted: true })],
    },
    {
      journal: {
        text: `{"merged":"2-merged","n":12345678901234567890}`,
        keeps: await kept(db, id, '1-a', '1-b'),
      },
    },
  );
  if (resolved.kind !== 'written' || resolved.entry === undefined) throw new Error('not written');
  return resolved.entry;
}

async function leavesOf(db: Database, number: number): Promise<Map<string, string>> {
  const leaves = new Map<string, string>();
  for await (const { rev, text } of db.journal.leaves(number)) leaves.set(rev, text);
  return leaves;
}

async function listed(db: Database, range: JournalRange = {}): Promise<string> {
  const entries: JournalEntry[] = [];
  for await (const page of db.journal.list(range)) entries.push(...page);
  return entries.map(({ number }) => number).join(' ');
}

/** Writes the losing leaf again, from what the journal has. */
async function undo(db: Database, number: number): Promise<void> {
  const text = (await leavesOf(db, number)).get('1-a') ?? '';
  const attachment = readAttachments(text).get('f');
  if (attachment === undefined) throw new Error('the leaf has no attachment');
  const { id } = db.journal.get(number) ?? { id: '' };
  const { ...edit } = parsed({ _id: id, _revisions: { start: 3, ids: ['undone', 'gone', 'a'] } }, false);
  const attachments = new Map([['f', { kind: 'shared' as const, attachment }]]);
  const resolved = await db.resolve({ id, ifLeaves: ['2-merged'], edits: [{ ...edit, attachments }] });
  expect(resolved).toEqual({ kind: 'written' });
}

async function bytesAt(db: Database, id: string): Promise<Buffer> {
  const record = db.get(id);
  const attachment = record && readAttachments(db.read(record, record.winner) ?? '').get('f');
  const reader = db.openAttachments();
  const pieces: Buffer[] = [];
  const range = { start: 0, end: attachment?.length ?? 0 };
  for await (const piece of reader.read(attachment?.digest ?? '', range)) pieces.push(piece);
  await reader.close();
  return Buffer.concat(pieces);
}

const isStored = async (db: LevelDatabase): Promise<boolean> => (await db.info()).sizes.active > FILE.length;

describe('the journal', () => {
  test('has an entry with the leaves as they were, in the batch that resolved the conflict', async () => {
    const folder = await newFolder();
    const db = await openDatabase(folder);
    const before = Date.now();
    expect(await merge(db, 'a')).toBe(1);
    const entry = db.journal.get(1);
    expect(entry).toMatchObject({
      number: 1,
      id: 'a',
      text: '{"merged":"2-merged","n":12345678901234567890}',
    });
    expect(entry?.time).toBeGreaterThanOrEqual(before);
    expect([...(await leavesOf(db, 1)).keys()]).toEqual(['1-a', '1-b']);
    expect((await leavesOf(db, 1)).get('1-a')).toContain('"n":1.0');
    expect(db.journal.get(2)).toBeUndefined();
    await db.close();
    expect(await verified(folder)).toEqual([]);
  });

  test('has none where nothing was written', async () => {
    const db = await openDatabase(await newFolder());
    await merge(db, 'a');
    const journal = { text: '{}', keeps: await kept(db, 'a', '2-merged') };
    expect(await db.resolve({ id: 'a', ifLeaves: ['1-a'], edits: [] }, { journal })).toEqual({
      kind: 'changed',
    });
    // Whoever read it before it had another place has not got what stands there now.
    const [read] = journal.keeps;
    const moved = { text: '{}', keeps: [{ rev: '2-merged', seq: (read?.seq ?? 0) - 1, text: undefined }] };
    expect(await db.resolve({ id: 'a', ifLeaves: ['2-merged'], edits: [] }, { journal: moved })).toEqual({
      kind: 'changed',
    });
    const missing = {
      ...after('a', 'b', 'x'),
      attachments: new Map([['f', { kind: 'stub' as const, revpos: 1 }]]),
    };
    const writes = { id: 'a', ifLeaves: ['2-merged'], edits: [missing] };
    await expect(db.resolve(writes, { journal })).rejects.toMatchObject({ status: 412 });
    expect(db.journal.count).toBe(1);
  });

  test('is listed in both directions, and by document', async () => {
    const db = await openDatabase(await newFolder());
    for (const id of ['a', 'a"', 'b', 'c']) await merge(db, id);
    expect(await listed(db)).toBe('1 2 3 4');
    expect(await listed(db, { start: 3 })).toBe('3 4');
    expect(await listed(db, { start: 3, descending: true, limit: 2 })).toBe('3 2');
    expect(await listed(db, { limit: 0 })).toBe('');
    expect(await db.journal.numbersOf('a')).toEqual([1]);
    expect(await db.journal.numbersOf('a"')).toEqual([2]);
  });

  test('keeps what leaves had attached, whatever is compacted and opened again, so that it can be undone', async () => {
    const folder = await newFolder();
    const db = await openDatabase(folder);
    const number = await merge(db, 'a');
    await db.compact();
    const record = db.get('a');
    expect(record && db.read(record, '1-a')).toBeUndefined();
    await db.close();
    expect(await verified(folder)).toEqual([]);
    const again = await openDatabase(folder);
    await undo(again, number);
    expect(again.get('a')?.winner).toBe('3-undone');
    expect(await bytesAt(again, 'a')).toEqual(FILE);
    await again.close();
    expect(await verified(folder)).toEqual([]);
  });

  test('is trimmed by age, and by bytes where entries are old enough', async () => {
    const folder = await newFolder();
    const db = await openDatabase(folder);
    const start = Date.now();
    const clock = vi.spyOn(Date, 'now').mockReturnValue(start);
    for (const id of ['a', 'b']) await merge(db, id);
    clock.mockReturnValue(start + 1000);
    for (const id of ['c', 'd']) await merge(db, id);
    const { bytes } = db.journal;
    await db.journal.trim({ minAge: 1001, maxAge: 5000, maxBytes: 0 });
    expect(await listed(db)).toBe('1 2 3 4');
    await db.journal.trim({ minAge: 999, maxAge: 5000, maxBytes: bytes - 1 });
    expect(await listed(db)).toBe('2 3 4');
    await db.journal.trim({ minAge: 0, maxAge: 999, maxBytes: Infinity });
    expect(await listed(db)).toBe('3 4');
    expect(db.journal.bytes).toBe(bytes / 2);
    await db.compact();
    expect(await isStored(db)).toBe(true);
    await db.journal.trim({ minAge: 0, maxAge: -1, maxBytes: 0 });
    expect(db.journal).toMatchObject({ count: 0, bytes: 0 });
    expect(await isStored(db)).toBe(false);
    // Numbers are not used again.
    expect(await merge(db, 'e')).toBe(5);
    await db.close();
    expect(await verified(folder)).toEqual([]);
  });

  test('forgets what is purged, and entries that have nothing else', async () => {
    const folder = await newFolder();
    const db = await openDatabase(folder);
    for (const id of ['a', 'b']) await merge(db, id);
    await db.purge(new Map([['a', ['2-gone']]]));
    expect([...(await leavesOf(db, 1)).keys()]).toEqual(['1-b']);
    await db.purge(new Map([['a', ['2-merged']]]));
    expect(await listed(db)).toBe('2');
    expect(await db.journal.numbersOf('a')).toEqual([]);
    // Also of an entry that comes in the same commit.
    await write(
      db,
      [
        { id: 'c', revs: ['1-a'] },
        { id: 'c', revs: ['1-b'] },
      ],
      false,
    );
    const record = db.get('c');
    const leaves = ['1-a', '1-b'].map((rev) => {
      const seq = record && bodySeq(record, rev);
      return { rev, text: `{"_id":"c","_rev":"${rev}"}`, seq: seq ?? 0 };
    });
    await db.transact({
      ids: ['c'],
      weight: 0,
      run: (transaction) => {
        transaction.journal.append({ id: 'c', time: 0, text: '{}', leaves });
        transaction.purge('c', ['1-a'], new Map());
      },
    });
    expect([...(await leavesOf(db, 3)).keys()]).toEqual(['1-b']);
    await db.close();
    expect(await verified(folder)).toEqual([]);
  });

  test('outlasts what PouchDB writes and compacts, and stays behind where a copy for PouchDB is made', async () => {
    const folder = await newFolder();
    const db = await openDatabase(folder);
    await merge(db, 'a');
    await db.close();
    const pouch = new PouchProcess();
    const copy = join(folder, 'copy');
    try {
      const path = join(folder, 'db');
      await pouch.open(path);
      await pouch.put(path, { _id: 'there' });
      await pouch.call(path, 'compact', []);
      await pouch.close(path);
      const again = await openDatabase(folder);
      expect(await listed(again)).toBe('1');
      await put(again, { _id: 'here' });
      await again.compact();
      await again.close();
      expect(await verified(folder)).toEqual([]);
      await copyToPouch(path, copy, () => undefined);
      const level = new ClassicLevel(copy);
      const keys = await level.keys().all();
      await level.close();
      expect(keys.some((key) => key.startsWith(layout.documents.start))).toBe(true);
      expect(keys.filter((key) => key.includes('attach') || key.includes('causeway'))).toEqual([]);
    } finally {
      await pouch.stop();
    }
    const last = await openDatabase(folder);
    await undo(last, 1);
    expect(await bytesAt(last, 'a')).toEqual(FILE);
    const plain = await newFolder()
      .then(() => openDatabase(folder, undefined))
      .catch(() => undefined);
    expect(plain).toBeUndefined();
    expect(body(last, 'a')).toMatchObject({ _rev: '3-undone' });
  });
});

import { ClassicLevel } from 'classic-level';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { leafKey } from '../../../src/store/conflicts/journal-entry.js';
import { leansOn, readLeaf, storedLeaf } from '../../../src/store/conflicts/leaf-text.js';
import type { JournalLeaf } from '../../../src/store/conflicts/types.js';
import { storedText } from '../../../src/store/document.js';
import type { Database } from '../../../src/store/types/database.js';
import { newFolder, openDatabase, parsed } from '../../support/store.js';
import { verified } from '../../support/verify.js';

/** Pieces that texts of leaves have in common, or not: pairs of surrogates that differ in one half among them. */
const pieces = fc.array(
  fc.constantFrom('a', 'b', 'é', '\u{1f600}', '\u{1f601}', '\u{1f300}', 'x'.repeat(300)),
  {
    maxLength: 12,
  },
);

test('a leaf is read as it was, whatever it has in common with another one', async () => {
  const level = new ClassicLevel(await newFolder());
  const leaf = (rev: string, text: readonly string[]): JournalLeaf => ({
    rev,
    text: storedText('d', rev, false, `"text":"${text.join('')}"`),
  });
  await fc.assert(
    fc.asyncProperty(pieces, pieces, pieces, pieces, async (start, one, two, end) => {
      const first = leaf('2-a', [...start, ...one, ...end]);
      const second = leaf('3-"b\n', [...start, ...two, ...end]);
      await level.put(leafKey(1, first.rev), storedLeaf(first, first));
      await level.put(leafKey(1, second.rev), storedLeaf(second, first));
      expect(await readLeaf(level, 1, first.rev)).toBe(first.text);
      expect(await readLeaf(level, 1, second.rev)).toBe(second.text);
    }),
  );
  await level.close();
});

test('what differs alone is stored, where that is less', () => {
  const text = 'x'.repeat(1000);
  const first = { rev: '2-a', text: storedText('d', '2-a', false, `"text":"${text}","n":1`) };
  const like = { rev: '2-b', text: storedText('d', '2-b', false, `"text":"${text}","n":2`) };
  const other = { rev: '2-c', text: storedText('d', '2-c', false, '"n":3') };
  expect(storedLeaf(like, first)).toMatch(/^\["2-a",[0-9]+,1\]\n2$/);
  expect(leansOn(storedLeaf(like, first))).toBe('2-a');
  expect(storedLeaf(other, first)).toBe(other.text);
  expect(leansOn(other.text)).toBeUndefined();
});

test('a leaf is read though the one that it leans on is purged meanwhile', async () => {
  const level = new ClassicLevel(await newFolder());
  const text = 'x'.repeat(1000);
  const first = { rev: '2-a', text: storedText('d', '2-a', false, `"text":"${text}"`) };
  const second = { rev: '2-b', text: storedText('d', '2-b', false, `"text":"${text}"`) };
  await level.put(leafKey(1, second.rev), storedLeaf(second, first));
  const read = async (key: string): Promise<string | undefined> => {
    const stored = await level.get(key);
    await level.put(leafKey(1, second.rev), second.text);
    return stored;
  };
  expect(await readLeaf({ get: read }, 1, second.rev)).toBe(second.text);
  expect(await readLeaf(level, 1, first.rev)).toBeUndefined();
  await level.close();
});

/** A document with leaves that are alike, which were merged. */
async function merge(db: Database): Promise<Map<string, string>> {
  const revs = ['a', 'b', 'c'].map((hash) => `1-${hash}`);
  const members = { text: 'x'.repeat(1000) };
  const leaves = revs.map((_rev, n) => parsed({ _id: 'd', _rev, n, ...members }, false));
  await db.write(leaves, { newEdits: false });
  const texts = new Map(revs.map((rev) => [rev, textOf(db, rev)]));
  const edits = [
    parsed({ _id: 'd', _revisions: { start: 2, ids: ['m', 'c'] } }, false),
    ...['a', 'b'].map((hash) =>
      parsed({ _id: 'd', _revisions: { start: 2, ids: [`${hash}${hash}`, hash] }, _deleted: true }, false),
    ),
  ];
  const keeps = [...revs].reverse();
  await db.resolve({ id: 'd', ifLeaves: revs, edits }, { journal: { text: '{}', keeps } });
  return texts;
}

function textOf(db: Database, rev: string): string {
  const record = db.get('d');
  return (record && db.read(record, rev)) ?? '';
}

async function leavesOf(db: Database): Promise<Map<string, string>> {
  const leaves = new Map<string, string>();
  for await (const { rev, text } of db.journal.leaves(1)) leaves.set(rev, text);
  return leaves;
}

test('a leaf stays as it was when the one that it leans on is purged', async () => {
  const folder = await newFolder();
  const db = await openDatabase(folder);
  const texts = await merge(db);
  expect(await leavesOf(db)).toEqual(texts);
  await db.purge(new Map([['d', ['2-m']]]));
  texts.delete('1-c');
  expect(await leavesOf(db)).toEqual(texts);
  await db.purge(new Map([['d', ['2-bb']]]));
  texts.delete('1-b');
  expect(await leavesOf(db)).toEqual(texts);
  await db.close();
  expect(await verified(folder)).toEqual([]);
});

test('no leaf is left of an entry that goes', async () => {
  const folder = await newFolder();
  const db = await openDatabase(folder);
  await merge(db);
  await db.journal.trim({ minAge: 0, maxAge: -1, maxBytes: 0 });
  expect(db.journal).toMatchObject({ count: 0, bytes: 0 });
  await db.close();
  expect(await verified(folder)).toEqual([]);
});

import { ClassicLevel } from 'classic-level';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { leavesKey } from '../../../src/store/conflicts/journal-entry.js';
import { findLeaf, gathered, leavesIn, storedLeaves } from '../../../src/store/conflicts/leaf-text.js';
import type { JournalLeaf } from '../../../src/store/conflicts/types.js';
import { storedText } from '../../../src/store/document.js';
import type { Database } from '../../../src/store/types/database.js';
import { kept, newFolder, openDatabase, parsed } from '../../support/store.js';
import { verified } from '../../support/verify.js';

/** Pieces that texts of leaves have in common, or not: pairs of surrogates that differ in one half among them. */
const pieces = fc.array(
  fc.constantFrom('a', 'b', 'é', '\u{1f600}', '\u{1f601}', '\u{1f300}', 'x'.repeat(300)),
  {
    maxLength: 12,
  },
);

const leaf = (rev: string, ...text: readonly string[]): JournalLeaf => ({
  rev,
  text: storedText('d', rev, false, `"text":"${text.join('')}"`),
});

test('leaves are read as they were, whatever they have in common', () => {
  fc.assert(
    fc.property(pieces, pieces, pieces, pieces, (start, one, two, end) => {
      const first = leaf('2-a', ...start, ...one, ...end);
      const second = leaf('3-"b\n', ...start, ...two, ...end);
      const third = leaf('2-c', ...one, ...two);
      const bytes = Buffer.from(storedLeaves([first, second, third]));
      expect(leavesIn(bytes.toString())).toEqual([first, second, third]);
    }),
  );
});

test('what differs alone is stored, where that is less', () => {
  const text = 'x'.repeat(1000);
  const first = { rev: '2-a', text: storedText('d', '2-a', false, `"text":"${text}","n":1`) };
  const like = { rev: '2-b', text: storedText('d', '2-b', false, `"text":"${text}","n":2`) };
  const other = { rev: '2-c', text: storedText('d', '2-c', false, `"n":"${'y'.repeat(100)}"`) };
  const stored = storedLeaves([first, like, other]);
  const pieces = `${first.text}2${other.text}`;
  expect(stored.slice(stored.indexOf('\n') + 1)).toBe(pieces);
  expect(stored).toMatch(/^\[\["2-a",0,0,[0-9]+\],\["2-b",[0-9]+,1,1\],\["2-c",0,0,[0-9]+\]\]\n/);
});

test('a long leaf is not put together anew for each of many short ones that share its value', () => {
  const revs = Array.from({ length: 1000 }, (_, at) => `2-${String(at + 1000)}`);
  const leaves = [leaf('2-0', 'x'.repeat(6_000_000)), ...revs.map((rev) => leaf(rev, 'y'))];
  const read = leavesIn(Buffer.from(storedLeaves(leaves)).toString());
  expect(read.length).toBe(leaves.length);
  expect(read.every(({ text }, at) => text === leaves[at]?.text)).toBe(true);
});

test('nothing is read of what is damaged', () => {
  const stored = storedLeaves([leaf('2-a', 'x'), leaf('2-b', 'x'.repeat(100))]);
  const alike = storedLeaves(
    ['1', '2'].map((end, at) => leaf(`2-${at === 0 ? 'a' : 'b'}`, 'x'.repeat(100), end)),
  );
  for (const whole of [stored, alike]) expect(leavesIn(whole)).toHaveLength(2);
  const damaged = [
    '',
    '{"',
    '5\n',
    '[5]\n',
    '[["2-a",0,0]]\n',
    '[["2-a",0,0,-1]]\n{}',
    stored.slice(1),
    stored.slice(0, -1),
    `${stored}x`,
    '[["2-b",5,1,0]]\n',
    alike.replace(/"2-b",[0-9]+/, '"2-b",3'),
    alike.replace(/"2-b",[0-9]+/, '"2-b",9999'),
  ];
  for (const text of damaged) expect(leavesIn(text)).toEqual([]);
});

test('large leaves have values for themselves', () => {
  const text = 'x'.repeat(3 << 20);
  const revs = ['2-a', '2-b', '2-c', '2-d', '2-e'];
  const leaves = revs.map((rev) => leaf(rev, ...(rev === '2-d' ? [text, text, text] : [text])));
  const values = gathered(leaves).map((some) => some.map(({ rev }) => rev));
  expect(values).toEqual([['2-a', '2-b'], ['2-c'], ['2-d'], ['2-e']]);
  expect(gathered([...leaves].reverse())).toEqual(gathered(leaves));
});

/** A document with leaves that are alike, which were merged. */
async function merge(db: Database, length = 1000): Promise<Map<string, string>> {
  const revs = ['a', 'b', 'c'].map((hash) => `1-${hash}`);
  const members = { text: 'x'.repeat(length) };
  const leaves = revs.map((_rev, n) => parsed({ _id: 'd', _rev, n, ...members }, false));
  await db.write(leaves, { newEdits: false });
  const texts = new Map(revs.map((rev) => [rev, textOf(db, rev)]));
  const edits = [
    parsed({ _id: 'd', _revisions: { start: 2, ids: ['m', 'c'] } }, false),
    ...['a', 'b'].map((hash) =>
      parsed({ _id: 'd', _revisions: { start: 2, ids: [`${hash}${hash}`, hash] }, _deleted: true }, false),
    ),
  ];
  const keeps = await kept(db, 'd', ...revs.toReversed());
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

test('a leaf stays as it was when the one that it is like is purged', async () => {
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

test('large leaves stand, go and are purged like others', async () => {
  const folder = await newFolder();
  const db = await openDatabase(folder);
  const texts = await merge(db, 5 << 20);
  expect(await leavesOf(db)).toEqual(texts);
  await db.purge(new Map([['d', ['2-bb']]]));
  texts.delete('1-b');
  expect(await leavesOf(db)).toEqual(texts);
  await db.journal.trim({ minAge: 0, maxAge: -1, maxBytes: 0 });
  expect(db.journal).toMatchObject({ count: 0, bytes: 0 });
  await db.close();
  expect(await verified(folder)).toEqual([]);
});

test('a leaf is found by its revision, and may be in what cannot be read', async () => {
  const level = new ClassicLevel(await newFolder());
  const leaves = [leaf('2-a', 'x'), leaf('2-b', 'y')];
  await level.put(leavesKey(1, 0), storedLeaves(leaves));
  await level.put(leavesKey(2, 0), '{"');
  expect(await findLeaf(level, { number: 1, rev: '2-b' })).toEqual(leaves[1]);
  expect(await findLeaf(level, { number: 1, rev: '2-c' })).toBeUndefined();
  expect(await findLeaf(level, { number: 2, rev: '2-a' })).toBe('damaged');
  expect(await findLeaf(level, { number: 3, rev: '2-a' })).toBeUndefined();
  await level.close();
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

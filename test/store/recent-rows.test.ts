import fc from 'fast-check';
import { expect, test } from 'vitest';
import { RecentRows } from '../../src/store/recent-rows.js';
import type { WrittenRow } from '../../src/store/types/changes.js';

/** Rows of documents, in groups that are written together; their sequences go on from one to the next. */
const groups = fc
  .array(fc.array(fc.constantFrom('a', 'b', 'c', 'd', 'e'), { maxLength: 6 }), { maxLength: 8 })
  .map((written) => {
    let seq = 0;
    return written.map((ids) => ids.map((id): WrittenRow => ({ seq: ++seq, id, text: id })));
  });

/** The rows that an index would have. */
const indexOf = (rows: readonly WrittenRow[]): readonly WrittenRow[] =>
  rows.filter(({ id, seq }) => !rows.some((later) => later.id === id && later.seq > seq));

test('recent rows are those of the index behind any sequence, up to any limit, and as many as are counted', () => {
  fc.assert(
    fc.property(groups, fc.nat(50), fc.nat(6), (written, since, limit) => {
      const recent = new RecentRows(0);
      for (const rows of written) recent.add(rows);
      const expected = indexOf(written.flat()).filter(({ seq }) => seq > since);
      expect(recent.after(since)).toEqual(expected);
      expect(recent.after(since, limit)).toEqual(expected.slice(0, limit));
      expect(recent.countAfter(since)).toBe(expected.length);
    }),
  );
});

const LONG = 'x'.repeat(100_000);

test('the oldest go where there are too many characters, and nothing is told of what follows those', () => {
  const recent = new RecentRows(0);
  recent.add(Array.from({ length: 8 }, (_, at) => ({ seq: at + 1, id: String(at), text: LONG })));
  expect([recent.after(2), recent.countAfter(2)]).toEqual([undefined, undefined]);
  expect(recent.after(3)?.map(({ seq }) => seq)).toEqual([4, 5, 6, 7, 8]);
  expect(recent.countAfter(3)).toBe(5);
});

test('a document that changes again and again drives out no other', () => {
  const recent = new RecentRows(0);
  recent.add([{ seq: 1, id: 'other', text: LONG }]);
  for (let seq = 2; seq < 20; seq++) recent.add([{ seq, id: 'busy', text: LONG }]);
  expect(recent.after(0)?.map(({ seq }) => seq)).toEqual([1, 19]);
});

import { expect, test } from 'vitest';
import type { MergeEntry } from '../../src/conflicts/entries.js';
import { undo } from '../../src/conflicts/undo.js';
import { kept, newFolder, openDatabase, parsed } from '../support/store.js';

const ENTRY: MergeEntry = {
  kind: 'merge',
  by: null,
  outcome: 'merge',
  leaves: [{ rev: '1-b' }, { rev: '1-a' }],
  merged: '2-merged',
  deleted: false,
  tombstones: [{ rev: '2-gone', leaf: '1-a', into: '2-merged' }],
  documents: [],
};

test('a merge of which a leaf is lost is not undone by halves', async () => {
  const db = await openDatabase(await newFolder());
  const leaves = ['1-a', '1-b'].map((_rev) => parsed({ _id: 'd', _rev }, false));
  await db.write(leaves, { newEdits: false });
  const edits = [
    parsed({ _id: 'd', _revisions: { start: 2, ids: ['merged', 'b'] } }, false),
    parsed({ _id: 'd', _revisions: { start: 2, ids: ['gone', 'a'] }, _deleted: true }, false),
  ];
  await db.resolve(
    { id: 'd', ifLeaves: ['1-a', '1-b'], edits },
    { journal: { text: JSON.stringify(ENTRY), keeps: await kept(db, 'd', '1-b') } },
  );
  const { updateSeq } = db;
  await expect(undo(db, 1, null)).rejects.toMatchObject({
    status: 409,
    reason: 'What went into the merge is not here any more.',
  });
  expect(db.updateSeq).toBe(updateSeq);
});

import { describe, expect, test, vi } from 'vitest';
import { forbidden } from '../../../src/errors.js';
import { readAttachments } from '../../../src/store/attachments/members.js';
import type { ResolvingWrites } from '../../../src/store/conflicts/types.js';
import type { LevelDatabase } from '../../../src/store/level-database.js';
import type { AttachmentEdit, DocumentEdit } from '../../../src/store/types/edits.js';
import type { Judge } from '../../../src/store/types/rules.js';
import { bytesOf, data, release, take, write } from '../../support/attachments.js';
import { body, newFolder, openDatabase, parsed, put, replicate } from '../../support/store.js';
import { verified } from '../../support/verify.js';

/** A revision that goes on from another one. */
function after(id: string, parent: string, hash: string, members: object = {}): DocumentEdit {
  const [generation = '', ...rest] = parent.split('-');
  const start = Number(generation) + 1;
  return parsed({ _id: id, _revisions: { start, ids: [hash, rest.join('-')] }, ...members }, false);
}

/** Merges the leaves of `a`, and makes another document of one of them. */
const MERGE: ResolvingWrites = {
  id: 'a',
  ifLeaves: ['2-a', '2-b'],
  edits: [
    after('a', '2-b', 'merged', { n: 3 }),
    after('a', '2-a', 'gone', { _deleted: true }),
    parsed({ _id: 'other', _rev: '1-x', n: 1 }, false),
  ],
};

async function conflicted(folder?: string): Promise<LevelDatabase> {
  const db = await openDatabase(folder ?? (await newFolder()));
  const leaf = (hash: string, n: number): object => ({
    _id: 'a',
    _revisions: { start: 2, ids: [hash, 'o'] },
    n,
  });
  await replicate(db, { _id: 'a', _rev: '1-o', n: 0 }, leaf('a', 1), leaf('b', 2));
  return db;
}

const refusing = (what: string, meanwhile?: () => Promise<unknown>): Judge & { asked: number } => ({
  asked: 0,
  async judge(_, changes) {
    this.asked++;
    if (this.asked === 1) await meanwhile?.();
    return changes.map(({ document }) => (document.includes(what) ? forbidden('no') : undefined));
  },
});

const RULE = { _id: '_design/rule', validate_doc_update: 'function () {}' };

/** Nothing was written to the document or beside it. */
function expectUntouched(db: LevelDatabase, seq: number): void {
  expect(db.updateSeq).toBe(seq);
  expect(
    db
      .get('a')
      ?.leaves()
      .map(({ rev }) => rev),
  ).toEqual(['2-b', '2-a']);
  expect(db.get('other')).toBeUndefined();
}

describe('a conflict is resolved', () => {
  test('by all revisions at once, where the document has the leaves still, in any order', async () => {
    const db = await conflicted();
    const seqs: number[] = [];
    db.events.subscribe({ onChanges: (seq) => seqs.push(seq), onClose: () => undefined });
    expect(await db.resolve({ ...MERGE, ifLeaves: ['2-b', '2-a'] })).toEqual({ kind: 'written' });
    expect(db.get('a')?.leaves()).toEqual([
      { rev: '3-merged', deleted: false },
      { rev: '3-gone', deleted: true },
    ]);
    expect(body(db, 'a')).toMatchObject({ n: 3 });
    expect(body(db, 'other')).toMatchObject({ _rev: '1-x', n: 1 });
    expect(db.conflicts.count).toBe(0);
    // One commit.
    await vi.waitFor(() => {
      expect(seqs).toEqual([db.updateSeq]);
    });
  });

  test.each([
    ['has one more', { _id: 'a', _rev: '1-z' }],
    ['has one edited', { _id: 'a', _revisions: { start: 3, ids: ['c', 'b'] } }],
    ['has one deleted', { _id: 'a', _revisions: { start: 3, ids: ['c', 'b'] }, _deleted: true }],
  ])('not where it %s', async (_, change) => {
    const db = await conflicted();
    await replicate(db, change);
    const seq = db.updateSeq;
    expect(await db.resolve(MERGE)).toEqual({ kind: 'changed' });
    expect([db.updateSeq, db.get('other')]).toEqual([seq, undefined]);
  });

  test('not where another write of the same commit came first', async () => {
    const db = await conflicted();
    const [, resolved] = await Promise.all([replicate(db, { _id: 'a', _rev: '1-z' }), db.resolve(MERGE)]);
    expect(resolved).toEqual({ kind: 'changed' });
    expect(db.get('other')).toBeUndefined();
  });

  test('whatever became of its deleted leaves', async () => {
    const db = await conflicted();
    await replicate(db, { _id: 'a', _rev: '1-z', _deleted: true });
    expect(await db.resolve(MERGE)).toEqual({ kind: 'written' });
  });

  test('once: sent again it is found to have changed', async () => {
    const db = await conflicted();
    expect((await Promise.all([db.resolve(MERGE), db.resolve(MERGE)])).map(({ kind }) => kind)).toEqual([
      'written',
      'changed',
    ]);
  });

  test.each(['"n":3', '"_deleted":true', '"other"'])('not where it is refused for %s', async (what) => {
    const db = await conflicted();
    await put(db, RULE);
    const seq = db.updateSeq;
    const resolved = await db.resolve(MERGE, { judge: refusing(what) });
    expect(resolved).toMatchObject({ kind: 'refused', error: { error: 'forbidden' } });
    expectUntouched(db, seq);
  });

  test('by the rules that hold when it is written', async () => {
    const db = await conflicted();
    await put(db, RULE);
    const judge = refusing('nothing', () => put(db, { ...RULE, _id: '_design/other' }));
    expect(await db.resolve(MERGE, { judge })).toEqual({ kind: 'written' });
    // Twice about what replaces something, and twice about the other document.
    expect(judge.asked).toBe(4);
  });

  test('with attachments of what went in, or not at all where one is not there', async () => {
    const folder = await newFolder();
    const db = await openDatabase(folder);
    const taken = await take(db, bytesOf(300));
    const leaf = (hash: string): Parameters<typeof write>[1][number] => ({
      id: 'a',
      revs: [`2-${hash}`, '1-o'],
      attachments: { f: data(taken, 2) },
    });
    await write(db, [leaf('a'), leaf('b')], false);
    await release(taken);
    const record = db.get('a');
    const text = record && db.read(record, '2-a');
    const attachment = readAttachments(text ?? '').get('f');
    if (attachment === undefined) throw new Error('there is no attachment');
    const withFile = (shared: AttachmentEdit): ResolvingWrites => {
      const [merged, ...others] = MERGE.edits;
      if (merged === undefined) throw new Error('nothing is merged');
      // Last: what was put before has to be taken back.
      return { ...MERGE, edits: [...others, { ...merged, attachments: new Map([['g', shared]]) }] };
    };
    const seq = db.updateSeq;
    const missing = { ...attachment, digest: 'md5-x' };
    const beside = put(db, { _id: 'beside' });
    await expect(db.resolve(withFile({ kind: 'shared', attachment: missing }))).rejects.toMatchObject({
      status: 412,
    });
    await beside;
    expectUntouched(db, seq + 1);
    expect(await db.resolve(withFile({ kind: 'shared', attachment }))).toEqual({ kind: 'written' });
    expect(body(db, 'a')).toMatchObject({ _attachments: { g: { digest: attachment.digest, length: 300 } } });
    await db.close();
    expect(await verified(folder)).toEqual([]);
  });

  test('as it was, after the database was opened again', async () => {
    const folder = await newFolder();
    const db = await conflicted(folder);
    await db.resolve(MERGE);
    await db.close();
    const again = await openDatabase(folder);
    expect([again.conflicts.count, again.get('a')?.winner]).toEqual([0, '3-merged']);
  });
});

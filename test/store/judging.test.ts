import { setImmediate } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { forbidden } from '../../src/errors.js';
import type { LevelDatabase } from '../../src/store/level-database.js';
import type { EditResult } from '../../src/store/types/edits.js';
import type { Change, Judge, Rules } from '../../src/store/types/rules.js';
import { body, newFolder, openDatabase, outcome, parsed, put, replicate, revOf } from '../support/store.js';

const hash = (digit: string): string => digit.repeat(32);

/** Refuses documents that have a member `bad`, and notes what it is asked. */
class NotedJudge implements Judge {
  readonly asked: (readonly Change[])[] = [];
  readonly rules: Rules[] = [];
  #running = 0;
  mostAtOnce = 0;

  /** @param meanwhile what else happens while it judges for the first time */
  constructor(private readonly meanwhile?: () => Promise<unknown>) {}

  async judge(rules: Rules, changes: readonly Change[]): ReturnType<Judge['judge']> {
    this.asked.push(changes);
    this.rules.push(rules);
    this.mostAtOnce = Math.max(this.mostAtOnce, ++this.#running);
    if (this.asked.length === 1) await this.meanwhile?.();
    await setImmediate();
    this.#running--;
    return changes.map(({ document }) => (document.includes('"bad"') ? forbidden('bad') : undefined));
  }

  /** All that it was shown, as values. */
  get shown(): readonly { readonly document: unknown; readonly before: unknown }[] {
    return this.asked.flat().map(({ document, before }) => ({
      document: JSON.parse(document) as unknown,
      before: JSON.parse(before) as unknown,
    }));
  }
}

const RULE = { _id: '_design/rule', validate_doc_update: 'function () {}' };

/** A database whose writes are judged. */
async function ruled(): Promise<LevelDatabase> {
  const db = await openDatabase(await newFolder());
  await put(db, RULE);
  return db;
}

const write = (
  db: LevelDatabase,
  judge: Judge,
  newEdits: boolean,
  ...documents: object[]
): Promise<EditResult[]> =>
  db.write(
    documents.map((document) => parsed(document, newEdits)),
    { newEdits, judge },
  );

describe('a judge is shown', () => {
  test('a new document as it came, and nothing before it', async () => {
    const db = await ruled();
    const judge = new NotedJudge();
    await write(db, judge, true, { z: 1, _id: 'a', b: [1.5] }, { _id: 'gone', _deleted: true, why: 1 });
    expect(judge.asked).toEqual([
      [
        { document: '{"_id":"a","z":1,"b":[1.5]}', before: 'null' },
        { document: '{"_id":"gone","why":1,"_deleted":true}', before: 'null' },
      ],
    ]);
  });

  test('with an edit the revision that it names, with its history', async () => {
    const db = await ruled();
    const first = revOf((await put(db, { _id: 'a', v: 1 }))[0]);
    const second = revOf((await put(db, { _id: 'a', _rev: first, v: 2 }))[0]);
    const judge = new NotedJudge();
    await write(db, judge, true, { _id: 'a', _rev: second, v: 3 });
    const ids = [second.slice(2), first.slice(2)];
    expect(judge.shown).toEqual([
      {
        document: { _id: 'a', _rev: second, v: 3, _revisions: { start: 2, ids: ids.slice(0, 1) } },
        before: { _id: 'a', _rev: second, v: 2, _revisions: { start: 2, ids } },
      },
    ]);
  });

  test('nothing before a document that is made again after its deletion', async () => {
    const db = await ruled();
    const rev = revOf((await put(db, { _id: 'a', v: 1 }))[0]);
    await put(db, { _id: 'a', _rev: rev, _deleted: true });
    const judge = new NotedJudge();
    const [made] = await write(db, judge, true, { _id: 'a', v: 2 });
    expect(judge.shown).toEqual([{ document: { _id: 'a', v: 2 }, before: null }]);
    expect(revOf(made)).toMatch(/^3-/);
  });

  test('with a replicated revision the nearest of its ancestors that is stored', async () => {
    const db = await ruled();
    const revisions = (...digits: string[]) => ({ start: digits.length, ids: digits.map(hash) });
    await replicate(db, { _id: 'a', v: 2, _revisions: revisions('2', '1') });
    await replicate(db, { _id: 'a', _deleted: true, _revisions: revisions('3', '2', '1') });
    const judge = new NotedJudge();
    await write(
      db,
      judge,
      false,
      { _id: 'a', _revisions: revisions('5', '4', '3', '2', '1') },
      { _id: 'a', _revisions: revisions('c', 'b', '2', '1') },
      { _id: 'a', _revisions: revisions('d', '1') },
      { _id: 'a', _rev: `9-${hash('9')}` },
      { _id: 'new', _revisions: revisions('2', '1') },
    );
    const shown = new Map(
      judge.shown.map(({ document, before }) => [(document as { _rev: string })._rev, before]),
    );
    const before = [...shown].map(([rev, one]) => [rev, (one as { _rev: string } | null)?._rev]);
    expect(Object.fromEntries(before)).toEqual({
      [`5-${hash('5')}`]: `3-${hash('3')}`,
      [`4-${hash('c')}`]: `2-${hash('2')}`,
      [`2-${hash('d')}`]: undefined,
      [`9-${hash('9')}`]: undefined,
      [`2-${hash('2')}`]: undefined,
    });
    expect(shown.get(`5-${hash('5')}`)).toEqual({
      _id: 'a',
      _rev: `3-${hash('3')}`,
      _deleted: true,
      _revisions: revisions('3', '2', '1'),
    });
  });

  test('no ancestor whose body was dropped, or that is too old to be known', async () => {
    const db = await ruled();
    await db.setRevsLimit(2);
    const ids = (from: number) => Array.from({ length: from }, (_, at) => hash(String(from - at)));
    for (const start of [1, 2, 3]) {
      await replicate(db, { _id: 'a', v: start, _revisions: { start, ids: ids(start) } });
    }
    const judge = new NotedJudge();
    const branch = (...below: string[]) => ({ start: below.length + 1, ids: [hash('e'), ...below] });
    await write(db, judge, false, { _id: 'a', _revisions: branch(hash('1')) });
    await write(db, judge, false, { _id: 'a', _revisions: branch(hash('2'), hash('1')) });
    await db.compact();
    await write(db, judge, false, { _id: 'a', n: 2, _revisions: { start: 3, ids: [hash('f'), hash('2')] } });
    const shown = judge.shown.map(({ before }) => (before as { _rev: string } | null)?._rev);
    expect(shown).toEqual([undefined, `2-${hash('2')}`, undefined]);
  });

  test('few documents at a time, however large the batch and what it replaces are', async () => {
    const db = await ruled();
    const docs = Array.from({ length: 1000 }, (_, at) => ({ _id: `d${at}`, text: 'x'.repeat(20_000) }));
    const made = await put(db, ...docs);
    const judge = new NotedJudge();
    const edits = docs.map(({ _id }, at) => ({ _id, _rev: revOf(made[at]), now: 'y'.repeat(2000) }));
    const written = await write(db, judge, true, ...edits);
    expect(written.every(({ ok }) => ok)).toBe(true);
    expect(judge.shown).toHaveLength(1000);
    expect(judge.mostAtOnce).toBe(1);
    const sizes = judge.asked.map((changes) => changes.reduce((sum, { before }) => sum + before.length, 0));
    expect(Math.max(...sizes)).toBeLessThan(1 << 20);
  });
});

describe('a judge is not asked', () => {
  test('where no design document holds a function', async () => {
    const db = await ruled();
    const rev = db.get(RULE._id)?.winner;
    await put(db, { _id: RULE._id, _rev: rev });
    const judge = new NotedJudge();
    expect((await write(db, judge, true, { _id: 'a', bad: 1 })).map(outcome)).toEqual([
      expect.stringMatching(/^1-/),
    ]);
    expect(judge.asked).toEqual([]);
  });

  test('about design documents, conflicts, and revisions that are stored', async () => {
    const db = await ruled();
    const rev = revOf((await put(db, { _id: 'a', v: 1 }))[0]);
    await put(db, { _id: 'a', _rev: rev, v: 2 });
    const judge = new NotedJudge();
    const results = await write(
      db,
      judge,
      true,
      { _id: '_design/other', bad: 1 },
      { _id: 'a', bad: 1 },
      { _id: 'a', _rev: rev, bad: 1 },
      { _id: 'unknown', _rev: `1-${hash('1')}`, bad: 1 },
    );
    expect(results.map(outcome)).toEqual([expect.stringMatching(/^1-/), 'conflict', 'conflict', 'conflict']);
    expect((await write(db, judge, false, { _id: 'a', _rev: rev, bad: 1 })).map(outcome)).toEqual([rev]);
    expect(body(db, 'a', rev)).toMatchObject({ v: 1 });
    expect(judge.asked).toEqual([]);
  });
});

describe('what a judge refuses', () => {
  test('is not written, while the rest of the batch is', async () => {
    const db = await ruled();
    const results = await write(
      db,
      new NotedJudge(),
      true,
      { _id: 'a', bad: 1 },
      { _id: 'a', v: 1 },
      { _id: 'a', v: 2 },
      { _id: 'b', bad: 1 },
      { _id: 'c' },
    );
    const revision = expect.stringMatching(/^1-/) as string;
    expect(results.map(outcome)).toEqual(['forbidden', revision, 'conflict', 'forbidden', revision]);
    expect(body(db, 'a')).toMatchObject({ v: 1 });
    expect(db.get('b')).toBeUndefined();
  });

  test('is every one of a batch of revisions that are the same', async () => {
    const db = await ruled();
    const judge = new NotedJudge();
    const rev = `1-${hash('a')}`;
    const good = { _id: 'a', _rev: rev, v: 1 };
    const bad = { _id: 'a', _rev: rev, bad: 1 };
    expect((await write(db, judge, false, bad, good, bad)).map(outcome)).toEqual([
      'forbidden',
      rev,
      'forbidden',
    ]);
    expect(body(db, 'a')).toMatchObject({ v: 1 });
  });
});

describe('what was judged is judged again', () => {
  test.each([
    ['a rule came', (db: LevelDatabase) => put(db, { _id: '_design/new', validate_doc_update: 'x' })],
    [
      'a rule changed',
      (db: LevelDatabase) => put(db, { ...RULE, _rev: db.get(RULE._id)?.winner, also: 'this' }),
    ],
    ['the security object changed', (db: LevelDatabase) => db.setSecurity('{"changed":true}')],
  ])('where %s meanwhile', async (_, change) => {
    const db = await ruled();
    const judge = new NotedJudge(() => change(db));
    expect((await write(db, judge, true, { _id: 'a' })).map(outcome)).toEqual([expect.stringMatching(/^1-/)]);
    expect(judge.asked).toHaveLength(2);
    expect(judge.rules[1]).toBe(db.rules);
    expect(judge.rules[0]).not.toBe(judge.rules[1]);
  });

  test('where the first rule came while it waited to be written', async () => {
    const db = await openDatabase(await newFolder());
    const judge = new NotedJudge();
    const rule = put(db, RULE);
    // The rule is on its way to the disk: whoever comes now stands in line behind it.
    for (let tick = 0; tick < 100; tick++) await Promise.resolve();
    expect(db.rules.validators).toEqual([]);
    const results = await write(db, judge, true, { _id: 'a', bad: 1 });
    expect(results.map(outcome)).toEqual(['forbidden']);
    await rule;
  });

  test('where the body that spared it the judgement was dropped', async () => {
    const db = await ruled();
    const [first, second] = [
      { start: 1, ids: [hash('1')] },
      { start: 2, ids: [hash('2'), hash('1')] },
    ];
    await replicate(db, { _id: 'a', v: 1, _revisions: first });
    await replicate(db, { _id: 'a', v: 2, _revisions: second });
    const judge = new NotedJudge(() => db.compact());
    const results = await write(
      db,
      judge,
      false,
      { _id: 'a', bad: 1, _revisions: first },
      { _id: 'other', _rev: '1-a' },
    );
    expect(results.map(outcome)).toEqual(['forbidden', '1-a']);
    expect(body(db, 'a', `1-${hash('1')}`)).toBeUndefined();
  });
});

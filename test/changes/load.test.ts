import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { openFeed, type ChangesFilter, type ChangesQuery } from '../../src/changes/feed.js';
import { compileFields } from '../../src/selector/fields.js';
import { compileSelector } from '../../src/selector/match.js';
import type { LevelDatabase } from '../../src/store/level-database.js';
import { newFolder, openDatabase, put, replicate } from '../support/store.js';

const QUERY: ChangesQuery = {
  feed: 'normal',
  since: 0,
  limit: Infinity,
  descending: false,
  style: 'main_only',
  includeDocs: false,
  conflicts: false,
  timeout: 20_000,
};

const documents = (count: number): object[] =>
  Array.from({ length: count }, (_, at) => ({ _id: `d${String(at)}`, v: at }));

test('a feed of which nothing passes the filter can be stopped long before its end', async () => {
  const db = await openDatabase(await newFolder());
  await put(db, ...documents(3000));
  const reads = vi.spyOn(db, 'readMany');
  const filter: ChangesFilter = { kind: 'selector', matches: () => false };
  const feed = openFeed(db, { ...QUERY, filter }, new AbortController().signal);
  for (let chunk = 0; chunk < 3; chunk++) expect((await feed.next()).done).toBe(false);
  await feed.return(undefined);
  expect(reads.mock.calls.length).toBeLessThan(5);
});

test('many listeners do not each read the ids of what was just written out of its text', async () => {
  const db = await openDatabase(await newFolder());
  const controller = new AbortController();
  onTestFinished(() => {
    controller.abort();
  });
  const filters: ChangesFilter[] = [{ kind: 'design' }, { kind: 'doc_ids', ids: new Set(['d7']) }];
  const heard: string[] = [];
  const feeds = filters.map(async (filter) => {
    const feed = openFeed(db, { ...QUERY, feed: 'continuous', filter }, controller.signal);
    for await (const chunk of feed) heard.push(chunk);
  });
  await vi.waitFor(() => {
    expect(db.events.size).toBe(2);
  });
  const parse = vi.spyOn(JSON, 'parse');
  onTestFinished(() => {
    parse.mockRestore();
  });
  const writing = put(db, ...documents(20), { _id: '_design/x' });
  const before = parse.mock.calls.length;
  await writing;
  await vi.waitFor(() => {
    expect(heard.join('')).toMatch(/_design\/x.*"d7"|"d7".*_design\/x/s);
  });
  const rows = parse.mock.calls.slice(before).filter(([text]) => text.startsWith('{"seq"'));
  expect(rows).toEqual([]);
  controller.abort();
  await Promise.all(feeds);
});

test('no selector and no projection changes anything outside of it (I13)', () => {
  const shape = (): unknown =>
    [Object, Object.prototype, Array.prototype, Function.prototype].flatMap((object) =>
      Reflect.ownKeys(object).map((key) => [key, Object.getOwnPropertyDescriptor(object, key)]),
    );
  const functions = (): unknown =>
    ['toString', 'valueOf', 'hasOwnProperty'].map((name) =>
      Reflect.ownKeys(Reflect.get(Object.prototype, name) as object),
    );
  const before = [shape(), functions()];
  const document = JSON.parse(
    '{"_id":"x","constructor":{"keys":1},"__proto__":{"x":1},"a":[{"toString":1}]}',
  ) as Record<string, unknown>;
  for (const field of ['constructor', '__proto__', 'toString', 'valueOf', 'hasOwnProperty', '__proto__.x']) {
    for (const condition of ['1', '{"keys":1}', '{"call":1}', '{"$eq":1}', '{"$ne":1}', '{"$gt":null}']) {
      const one = `{"${field}":${condition}}`;
      for (const text of [
        one,
        `{"$and":[${one},${one}]}`,
        `{"$not":${one}}`,
        `{"a":{"$elemMatch":{"$and":[${one}]}}}`,
        `{"a":{"$eq":{"$and":[${one}]}}}`,
      ]) {
        compileSelector(JSON.parse(text))(document);
      }
    }
    compileFields([field])?.(document);
  }
  expect([shape(), functions()]).toEqual(before);
  expect(compileSelector({ constructor: { $exists: true } })({ _id: 'x' })).toBe(false);
});

describe('large bodies', () => {
  const LONG = 4_000_000;
  const text = 'x'.repeat(LONG);

  /** Watches how much each look-up brings; the most must not be more than a few of them. */
  function watchReads(db: LevelDatabase): { readonly most: () => number; readonly total: () => number } {
    const lengths: number[] = [];
    const readMany = db.readMany.bind(db);
    vi.spyOn(db, 'readMany').mockImplementation(async (wanted) => {
      const texts = await readMany(wanted);
      lengths.push(texts.reduce((sum, read) => sum + (read?.length ?? 0), 0));
      return texts;
    });
    return {
      most: () => Math.max(...lengths),
      total: () => lengths.reduce((sum, length) => sum + length, 0),
    };
  }

  test('behind small ones are read a few at a time', async () => {
    const db = await openDatabase(await newFolder());
    await put(db, ...documents(40));
    for (let at = 0; at < 8; at++) await put(db, { _id: `long${String(at)}`, text });
    const reads = watchReads(db);
    let length = 0;
    for await (const chunk of openFeed(db, { ...QUERY, includeDocs: true }, new AbortController().signal))
      length += chunk.length;
    expect(length).toBeGreaterThan(8 * LONG);
    expect(reads.total()).toBeGreaterThan(8 * LONG);
    expect(reads.most()).toBeLessThan(4 * LONG);
  });

  test('of many leaves are judged a few at a time', async () => {
    const db = await openDatabase(await newFolder());
    await put(db, { _id: 'before', v: 3 });
    for (let v = 0; v < 8; v++) await replicate(db, { _id: 'a', _rev: `1-${String(v)}`, v, text });
    await put(db, { _id: 'after', v: 3 });
    const reads = watchReads(db);
    const filter: ChangesFilter = { kind: 'selector', matches: ({ v }) => v === 3 || v === 5 };
    const query = { ...QUERY, filter, style: 'all_docs', includeDocs: true } as const;
    let feed = '';
    for await (const chunk of openFeed(db, query, new AbortController().signal)) feed += chunk;
    const { results } = JSON.parse(feed) as { results: { id: string; changes: unknown; doc: object }[] };
    expect(results.map(({ id }) => id)).toEqual(['before', 'a', 'after']);
    // The leaves that match, and the winner for the document.
    expect(results[1]?.changes).toEqual([{ rev: '1-5' }, { rev: '1-3' }]);
    expect(results[1]?.doc).toMatchObject({ _rev: '1-7', v: 7 });
    expect(reads.total()).toBeGreaterThan(8 * LONG);
    expect(reads.most()).toBeLessThan(4 * LONG);
  });
});

import { expect, test } from 'vitest';
import { Watched } from '../../src/conflicts/watched.js';
import { newFolder, openDatabase, put } from '../support/store.js';

const FAR = { from: 3, at: Date.now() + 3_600_000 };

/** One whose conflicts are being looked at. */
function looking(): Watched {
  const watched = new Watched('db', () => undefined);
  expect(watched.isWanted()).toBe(true);
  watched.begin();
  return watched;
}

test('what a look finds to be for later is looked at again later', () => {
  const watched = looking();
  watched.later(FAR);
  expect(watched.end()).toBe(false);
  watched.forget();
});

test('but at once where that was wanted while the look was under way', () => {
  const watched = looking();
  watched.wakeNow();
  watched.later(FAR);
  expect(watched.end()).toBe(true);
  watched.begin();
  expect(watched.end()).toBe(false);
});

test('everything is looked at again when other functions judge, and not when anything else about writing changes', async () => {
  const db = await openDatabase(await newFolder());
  const rule = { version: 'a' };
  const watched = looking();
  watched.since(db, rule);
  watched.reached(db.updateSeq, false, false);
  await put(db, { _id: '_design/other', views: {} });
  await db.setSecurity('{"members":{"roles":["a"]}}');
  expect(watched.isUpTo(db, rule)).toBe(true);
  await put(db, { _id: '_design/d', validate_doc_update: 'f' });
  expect(watched.isUpTo(db, rule)).toBe(false);
  expect(watched.since(db, rule)).toBe(0);
  expect(watched.isUpTo(db, rule)).toBe(true);
  await db.close();
});

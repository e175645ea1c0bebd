import { join } from 'node:path';
import { ClassicLevel } from 'classic-level';
import { describe, expect, it, onTestFinished } from 'vitest';
import { openDatabase } from '../../src/pouchdb/pouchdb.js';
import type { OpenOptions, PouchDatabase, WriteResult } from '../../src/pouchdb/types.js';
import { bytesOf, digestOf, onDisk, problemsOf, take, write } from '../support/attachments.js';
import { PouchProcess } from '../support/pouch.js';
import { newFolder, openDatabase as openLevel, OPTIONS } from '../support/store.js';

const folder = async (): Promise<string> => join(await newFolder(), 'db');

function open(dir: string, options: OpenOptions = {}): PouchDatabase {
  const db = openDatabase(dir, options);
  onTestFinished(async () => {
    await db.close().catch(() => undefined);
  });
  return db;
}

/** Edits a document again and again. @returns its revisions, the oldest first */
async function edits(db: PouchDatabase, id: string, count: number): Promise<string[]> {
  const revs: string[] = [];
  for (let n = 0; n < count; n++) {
    const last = revs.at(-1);
    revs.push((await db.put({ _id: id, ...(last === undefined ? {} : { _rev: last }), n })).rev);
  }
  return revs;
}

const statuses = async (db: PouchDatabase, id: string): Promise<string[]> =>
  ((await db.get(id, { revs_info: true }))._revs_info ?? []).map(({ status }) => status);

describe('compaction', () => {
  it('drops the bodies of old revisions, and only those that it is asked to', async () => {
    const db = open(await folder());
    const revs = await edits(db, 'a', 4);
    const internal = db as unknown as { compactDocument(id: string, height: number): Promise<void> };
    await internal.compactDocument('a', 1);
    expect(await statuses(db, 'a')).toEqual(['available', 'available', 'missing', 'missing']);
    await expect(db.get('a', { rev: revs[1] ?? '' })).rejects.toMatchObject({ status: 404 });
    await db.compact();
    expect(await statuses(db, 'a')).toEqual(['available', 'missing', 'missing', 'missing']);
  });

  it('happens by itself with auto_compaction, to attachments too', async () => {
    const dir = await folder();
    const db = open(dir, { auto_compaction: true });
    const attached = (text: string): object => ({
      _attachments: { file: { content_type: 'text/plain', data: Buffer.from(text) } },
    });
    const { rev } = await db.put({ _id: 'a', ...attached('one') });
    await db.put({ _id: 'a', _rev: rev, ...attached('two') });
    expect(await statuses(db, 'a')).toEqual(['available', 'missing']);
    await db.close();
    const disk = await onDisk(dir);
    expect(problemsOf(disk)).toEqual([]);
    expect(disk.binaries).toEqual([digestOf(Buffer.from('two'))]);
  });

  it('that PouchDB noted through us is not taken for one of its own', async () => {
    const root = await newFolder();
    const db = open(join(root, 'db'));
    await edits(db, 'a', 2);
    await db.compact();
    expect(await db.get('_local/compaction')).toMatchObject({ last_seq: 2 });
    await db.close();
    // A compaction that was not counted would have everything counted anew.
    const level = new ClassicLevel(join(root, 'db'));
    const key = '\xffcauseway-meta\xffstate';
    const state = JSON.parse((await level.get(key)) ?? '') as object;
    await level.put(key, JSON.stringify({ ...state, externalBytes: 12_345 }));
    await level.close();
    const { sizes } = await (await openLevel(root)).info();
    expect(sizes.external).toBe(12_345);
  });
});

it('keeps as many revisions as revs_limit says', async () => {
  const dir = await folder();
  const db = open(dir, { revs_limit: 3 });
  const revs = await edits(db, 'a', 6);
  const { _revisions: revisions } = await db.get('a', { revs: true });
  expect(revisions?.ids).toEqual(
    revs
      .slice(3)
      .map((rev) => rev.slice(2))
      .reverse(),
  );
  await db.close();
  // It is this object's way to write, not the database's.
  const other = open(dir);
  await other.put({ ...(await other.get('a')), n: 7 });
  expect((await other.get('a', { revs: true }))._revisions?.ids).toHaveLength(4);
});

it('makes equal revisions of equal edits, unless it is told not to', async () => {
  const [one, two, three] = [
    open(await folder()),
    open(await folder()),
    open(await folder(), { deterministic_revs: false }),
  ];
  const doc = { _id: 'a', n: 1 };
  const [first, second, third] = [await one.put(doc), await two.put(doc), await three.put(doc)];
  expect(first.rev).toBe(second.rev);
  expect(third.rev).not.toBe(first.rev);
});

it('takes edits of one document in the order of the batch, and refuses what conflicts', async () => {
  const db = open(await folder());
  const { rev } = await db.put({ _id: 'a', n: 0 });
  const results = await db.bulkDocs([
    { _id: 'a', _rev: rev, n: 1 },
    { _id: 'a', _rev: rev, n: 2 },
    { _id: 'b' },
  ]);
  expect(results).toMatchObject([{ ok: true }, { status: 409, id: 'a' }, { ok: true }]);
  // What was refused is not in the tree either.
  expect(await db.get('a', { open_revs: 'all' })).toHaveLength(1);
  expect(await db.get('a')).toMatchObject({ n: 1 });
});

it('lets one of several writers of a local document win', async () => {
  const db = open(await folder());
  const attempts = Array.from({ length: 8 }, (_, n) => db.put({ _id: '_local/x', n }));
  const settled = await Promise.allSettled(attempts);
  expect(settled.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
  for (const one of settled) {
    if (one.status === 'rejected') expect(one.reason).toMatchObject({ status: 409 });
  }
  const stored = await db.get('_local/x');
  expect(stored._rev).toBe('0-1');
  await db.remove('_local/x', '0-1');
  await expect(db.remove('_local/x', '0-1')).rejects.toMatchObject({ status: 404 });
});

it('refuses what cannot be stored', async () => {
  const db = open(await folder());
  const attach = (data: unknown): Promise<WriteResult> =>
    db.put({ _id: 'a', _attachments: { f: { content_type: 'text/plain', data: data as string } } });
  for (const data of ['a', 'not base64!', 7, undefined]) {
    await expect(attach(data)).rejects.toMatchObject({ status: 500, name: 'badarg' });
  }
  await expect(db.put({ _id: 'lone \ud800' })).rejects.toMatchObject({ status: 400 });
  const history = (start: number, ids: string[]): Promise<unknown> =>
    db.bulkDocs([{ _id: 'a', _revisions: { start, ids } }], { new_edits: false });
  await expect(history(1, ['a', 'b'])).rejects.toMatchObject({ status: 400 });
  await expect(history(1, [])).rejects.toMatchObject({ status: 400 });
  expect(await db.info()).toMatchObject({ doc_count: 0, update_seq: 0 });
});

it('takes a revision whose children came first, as CouchDB does', async () => {
  const db = open(await folder());
  const replicated = (start: number, ids: string[]): Promise<unknown> =>
    db.bulkDocs([{ _id: 'a', n: start, _revisions: { start, ids } }], { new_edits: false });
  await replicated(2, ['two', 'one']);
  await replicated(1, ['one']);
  expect(await db.get('a', { rev: '1-one' })).toMatchObject({ n: 1 });
  expect(await db.get('a')).toMatchObject({ n: 2 });
});

it('purges a leaf with its branch, which the views forget as well', async () => {
  const db = open(await folder());
  const [, second = ''] = await edits(db, 'a', 2);
  await db.put({ _id: 'b', n: 5 });
  await db.put({ _id: '_design/d', views: { v: { map: 'function (doc) { emit(doc.n); }' } } });
  expect((await db.query('d/v', { startkey: 0 })).rows).toHaveLength(2);
  expect(await db.purge('a', second)).toMatchObject({ ok: true, documentWasRemovedCompletely: true });
  await expect(db.get('a')).rejects.toMatchObject({ status: 404 });
  await expect(db.purge('a', second)).rejects.toMatchObject({ status: 404 });
  expect((await db.query('d/v', { startkey: 0 })).rows).toMatchObject([{ id: 'b' }]);
});

it('purges again and again, at once after it was opened too, and remembers as many as it is told to', async () => {
  const dir = await folder();
  const first = open(dir);
  const [a, b, c] = [await edits(first, 'a', 1), await edits(first, 'b', 1), await edits(first, 'c', 2)];
  await first.close();
  const db = open(dir, { purged_infos_limit: 2 });
  expect(await db.purge('a', a[0] ?? '')).toMatchObject({ documentWasRemovedCompletely: true });
  await db.purge('b', b[0] ?? '');
  await expect(db.purge('c', c[0] ?? '')).rejects.toThrow('not a leaf');
  await db.purge('c', c[1] ?? '');
  expect((await db.allDocs()).rows).toEqual([]);
  expect(await db.get('_local/purges')).toMatchObject({
    purgeSeq: 2,
    purges: [
      { docId: 'b', rev: b[0], purgeSeq: 1 },
      { docId: 'c', rev: c[1], purgeSeq: 2 },
    ],
  });
});

describe('attachments that a server stored', () => {
  it('are read whole in all their forms, and keep them when their document is edited', async () => {
    const root = await newFolder();
    const dir = join(root, 'db');
    const [large, text] = [bytesOf(300_000), Buffer.from('compressible '.repeat(100))];
    const level = await openLevel(root, { ...OPTIONS, chunkAbove: 65_536 });
    const [chunked, gzipped] = [await take(level, large), await take(level, text, { gzip: { level: 8 } })];
    const attachment = { kind: 'staged', contentType: 'text/plain', revpos: undefined } as const;
    await write(level, [
      {
        id: 'a',
        attachments: { large: { ...attachment, staged: chunked }, text: { ...attachment, staged: gzipped } },
      },
    ]);
    await level.close();

    const db = open(dir);
    const doc = await db.get('a');
    expect(doc._attachments).toEqual({
      large: {
        content_type: 'text/plain',
        revpos: 1,
        digest: digestOf(large),
        length: large.length,
        stub: true,
      },
      text: {
        content_type: 'text/plain',
        revpos: 1,
        digest: digestOf(text),
        length: text.length,
        stub: true,
      },
    });
    await db.put({ ...doc, edited: true });
    expect(await db.getAttachment('a', 'large')).toEqual(Object.assign(large, { type: 'text/plain' }));
    const full = await db.get('a', { attachments: true });
    expect(full._attachments?.text?.data).toBe(text.toString('base64'));
    await db.close();
    const disk = await onDisk(dir);
    expect(problemsOf(disk)).toEqual([]);
    expect(Object.keys(disk.refs)).toHaveLength(3);
    for (const refs of Object.values(disk.refs)) expect(refs).toHaveLength(2);
  });

  it('are readable for PouchDB when we stored them, however large', async () => {
    const dir = await folder();
    const large = bytesOf(5_000_000);
    const db = open(dir);
    await db.putAttachment('a', 'large', large, 'application/octet-stream');
    await db.close();
    const pouch = new PouchProcess();
    onTestFinished(() => pouch.stop());
    await pouch.open(dir);
    expect(await pouch.call(dir, 'getAttachment', ['a', 'large'])).toMatchObject({
      bytes: large.toString('base64'),
    });
  });
});

import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { copyToPouch } from '../../../src/store/plain-copy.js';
import {
  attach,
  bytesOf,
  data,
  digestOf,
  LIMITS,
  onDisk,
  pieces,
  STUB,
  take,
  write,
} from '../../support/attachments.js';
import { PouchProcess } from '../../support/pouch.js';
import { body, newFolder, ODD_IDS, put, replicate, revOf } from '../../support/store.js';
import { codesOf, LEVEL, placeOf, share, SHARERS, tamper, verified, within } from '../../support/verify.js';
import { LevelDatabase } from '../../../src/store/level-database.js';
import * as layout from '../../../src/store/layout.js';

let pouch: PouchProcess;

beforeAll(() => {
  pouch = new PouchProcess();
});
afterAll(() => pouch.stop());

const nothing = (): void => undefined;
const LARGE = bytesOf(5 << 20, 7);
const TEXT = Buffer.from('0123456789'.repeat(700));
const PATH = ['4-d', '3-c', '2-b', '1-a'];

/** Conflicts, tombstones, stubs, every form of attachments, ids of all kinds, local documents. */
async function fill(db: LevelDatabase): Promise<void> {
  await put(db, ...ODD_IDS.map((id, n) => ({ _id: id, n })));
  const [gone] = await put(db, { _id: 'gone' });
  await put(db, { _id: 'gone', _rev: revOf(gone), _deleted: true, why: 'kept' });
  const ids = PATH.map((rev) => rev.slice(2));
  await replicate(
    db,
    { _id: 'c', _revisions: { start: 4, ids }, side: 'left' },
    { _id: 'c', _revisions: { start: 2, ids: ['x', 'a'] }, side: 'right' },
    { _id: 'c', _revisions: { start: 3, ids: ['y', 'b', 'a'] }, _deleted: true },
  );
  const attachments = {
    'large é': data(await take(db, LARGE), undefined, 'image/png'),
    text: data(await take(db, TEXT, { gzip: { level: 8 } })),
    given: data(await take(db, gzipSync(LARGE), { gzip: 'given' })),
    empty: data(await take(db, Buffer.alloc(0))),
    small: data(await take(db, bytesOf(500))),
  };
  const [first] = await write(db, [{ id: 'ä@1', attachments }]);
  const kept = { 'large é': STUB, text: STUB };
  await write(db, [{ id: 'ä@1', revs: [revOf(first)], body: '"second":true', attachments: kept }]);
  await db.putLocal('_local/é', undefined, '"n":1');
  await db.purge(new Map([['none', ['1-x']]]));
  await db.setSecurity('{"admins":{},"members":{}}');
}

describe('a plain copy', () => {
  test('is read by PouchDB completely, attachments by their bytes', async () => {
    const [root, target] = [await newFolder(), await newFolder()];
    await within(root, fill);
    const copy = join(target, 'copy');
    await copyToPouch(placeOf(root).folder, copy, nothing);
    expect(await readdir(target)).toEqual(['copy']);
    const known = [...ODD_IDS, 'gone', 'c', 'ä@1'];
    await pouch.open(copy);
    const seen = await pouch.dump(copy, known, ['_local/é']);
    const attached = await pouch.attachments(copy, ['ä@1']);
    await pouch.close(copy);
    await within(root, async (db) => {
      const info = await db.info();
      expect(seen).toMatchObject({ docCount: info.docCount, updateSeq: info.updateSeq });
      expect(seen.locals['_local/é']).toEqual({ _id: '_local/é', _rev: '0-1', n: 1 });
      for (const id of known) {
        const record = db.get(id);
        const document = seen.documents[id];
        if (record === undefined || document === undefined || 'error' in document)
          throw new Error(`no ${id}`);
        expect(document.tree).toEqual(record.tree);
        expect(document.leaves.map(({ _rev }) => _rev).sort()).toEqual(
          record
            .leaves()
            .map(({ rev }) => rev)
            .sort(),
        );
        for (const [rev, { _attachments, ...own }] of Object.entries(document.bodies)) {
          const { _attachments: stubs, ...ours } = body(db, id, rev) ?? {};
          expect(own).toEqual(ours);
          expect(Object.keys(_attachments ?? {})).toEqual(Object.keys(stubs ?? {}));
        }
      }
    });
    const bytes = { 'large é': LARGE, text: TEXT, given: LARGE, empty: Buffer.alloc(0), small: bytesOf(500) };
    const names: string[] = [];
    for (const { full } of Object.values(attached)) {
      for (const [name, { data: encoded = '?' }] of Object.entries(full)) {
        names.push(name);
        expect(digestOf(Buffer.from(encoded, 'base64'))).toBe(digestOf(bytes[name as keyof typeof bytes]));
      }
    }
    expect(names.sort()).toEqual([...Object.keys(bytes), 'large é', 'text'].sort());
  });

  test('goes its own way: it has none of our parts, and another uuid', async () => {
    const [root, target] = [await newFolder(), await newFolder()];
    await within(root, fill);
    await copyToPouch(placeOf(root).folder, join(target, 'db'), nothing);
    const uuid = (level: { get(key: string): Promise<string | undefined> }): Promise<string | undefined> =>
      level.get(layout.pouchMeta.key(layout.POUCH_UUID));
    const copied = await tamper(target, async (level) => {
      expect(await level.keys({ gte: '\xffcauseway', lt: '\xffcausewbz' }).all()).toEqual([]);
      return uuid(level);
    });
    expect(copied).toMatch(/^"[0-9a-f-]{36}"$/);
    expect(await tamper(root, uuid)).not.toBe(copied);
    // Taken back it is a database like any other that PouchDB made.
    await within(target, (db) => {
      expect(body(db, 'ä@1')).toMatchObject({ second: true });
      return Promise.resolve();
    });
    expect(codesOf(await verified(target))).toEqual([]);
  });

  test('names all who share an attachment as PouchDB does, and has nothing that was under way', async () => {
    const [root, target] = [await newFolder(), await newFolder()];
    await within(root, async (db) => {
      await share(db);
      const staging = db.stageAttachments();
      for (let n = 0; n < 3; n++) await staging.take(pieces(bytesOf(9000, n)), LIMITS);
    });
    expect(codesOf(await verified(root))).toEqual(['upload_unfinished']);
    await copyToPouch(placeOf(root).folder, join(target, 'db'), nothing);
    const { refs, wanted, binaries } = await onDisk(placeOf(target).folder);
    expect(refs).toEqual(wanted);
    expect(Object.values(refs).map(({ length }) => length)).toEqual([SHARERS.length]);
    expect(binaries).toEqual(Object.keys(refs));
    await within(target, () => Promise.resolve());
    expect(await verified(target)).toEqual([]);
  });

  test('that fails leaves nothing that could be taken for one', async () => {
    const [root, target] = [await newFolder(), await newFolder()];
    await within(root, (db) => attach(db, 'a', { f: LARGE }));
    await tamper(root, (level) => level.clear({ gte: layout.chunks.start, lt: layout.chunks.end, limit: 1 }));
    await expect(copyToPouch(placeOf(root).folder, join(target, 'copy'), nothing)).rejects.toThrow('missing');
    expect(await readdir(target)).toEqual([]);
    expect((await readdir(root)).sort()).toEqual(['db', 'db.copy']);
  });
});

describe('what PouchDB wrote or compacted in between', () => {
  test('is noted until the database is opened, and clean then', async () => {
    const root = await newFolder();
    const { folder } = placeOf(root);
    const [rev] = await within(root, async (db) => {
      const staged = data(await take(db, TEXT, { gzip: { level: 8 } }));
      const [result] = await write(db, [{ id: 'a', attachments: { f: staged } }]);
      await write(db, [{ id: 'b', attachments: { f: staged } }]);
      return [revOf(result)];
    });
    await pouch.open(folder);
    const stub = { stub: true, digest: digestOf(TEXT), content_type: 'text/plain' };
    await pouch.bulkDocs(folder, [
      { _id: 'a', _rev: rev },
      { _id: 'p', _attachments: { f: stub } },
    ]);
    await pouch.bulkDocs(folder, [{ _id: 'b', _rev: '1-other', _deleted: true }], { new_edits: false });
    await pouch.close(folder);
    expect(codesOf(await verified(root))).toEqual(['foreign_writes']);
    await within(root, () => Promise.resolve());
    expect(await verified(root)).toEqual([]);
    await pouch.open(folder);
    await pouch.compact(folder);
    await pouch.close(folder);
    expect(codesOf(await verified(root))).toContain('foreign_writes');
    await within(root, () => Promise.resolve());
    expect(await verified(root)).toEqual([]);
  });

  test('a database that was never ours is clean but for its indexes', async () => {
    const root = await newFolder();
    const { folder } = placeOf(root);
    await pouch.open(folder);
    const file = { content_type: 'image/png', data: bytesOf(3000).toString('base64') };
    const [result] = await pouch.bulkDocs(folder, [{ _id: 'a', _attachments: { f: file } }, { _id: 'é' }]);
    await pouch.bulkDocs(folder, [{ _id: 'a', _rev: result?.rev, n: 2 }]);
    await pouch.close(folder);
    expect(codesOf(await verified(root))).toEqual(['counters_missing']);
    await LevelDatabase.open('db', folder, placeOf(root).marker, LEVEL).then((db) => db.close());
    expect(await verified(root)).toEqual([]);
  });
});

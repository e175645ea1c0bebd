import { cp } from 'node:fs/promises';
import { join } from 'node:path';
import { gunzipSync, gzipSync } from 'node:zlib';
import { ClassicLevel } from 'classic-level';
import fc from 'fast-check';
import { afterEach, describe, expect, test, vi } from 'vitest';
import type { StagedAttachment } from '../../src/store/attachments/stage.js';
import { CHUNK_SIZE } from '../../src/store/attachments/chunks.js';
import type { StoreOptions } from '../../src/store/databases.js';
import type { LevelDatabase } from '../../src/store/level-database.js';
import {
  attach,
  attachmentsOf,
  bytesOf,
  contentOf,
  data,
  digestOf,
  LIMITS,
  onDisk,
  pieces,
  problemsOf,
  readAll,
  release,
  stage,
  STUB,
  take,
  write,
} from '../support/attachments.js';
import { newFolder, openDatabase, OPTIONS, outcome, put, QUICK, revOf } from '../support/store.js';

afterEach(() => {
  vi.restoreAllMocks();
});

/** Nearly everything goes into chunks. */
const CHUNKED: StoreOptions = { ...QUICK, chunkAbove: 1024 };

/** A revision of 32 digits. */
const rev = (generation: number, digit: string): string => `${String(generation)}-${digit.repeat(32)}`;

const MIB = 1024 * 1024;

/** What the closed database left on disk. */
async function closed(db: LevelDatabase, folder: string): ReturnType<typeof onDisk> {
  await db.close();
  return onDisk(join(folder, 'db'));
}

type ChainedBatch = ReturnType<ClassicLevel['batch']>;
type WriteBatch = (options?: { sync?: boolean | undefined }) => Promise<void>;

/** Replaces `write` of every chained batch of LevelDB by what `intercept` makes of it. */
function interceptWrites(intercept: (write: WriteBatch, batch: ChainedBatch) => WriteBatch): void {
  const batch = Reflect.get(ClassicLevel.prototype, 'batch') as (
    this: ClassicLevel,
    ...args: unknown[]
  ) => ChainedBatch;
  vi.spyOn(ClassicLevel.prototype, 'batch').mockImplementation(function (
    this: ClassicLevel,
    ...args: unknown[]
  ) {
    const made = batch.apply(this, args);
    if (args.length === 0) made.write = intercept(made.write.bind(made), made);
    return made;
  } as never);
}

/** LevelDB is not told to remove chunks before `goOn` is called. */
function holdRemovals(): { readonly began: Promise<void>; readonly goOn: () => void } {
  const [began, gate] = [deferred(), deferred()];
  const batch = Reflect.get(ClassicLevel.prototype, 'batch') as (...args: unknown[]) => unknown;
  vi.spyOn(ClassicLevel.prototype, 'batch').mockImplementation(function (
    this: ClassicLevel,
    ...args: unknown[]
  ) {
    if (args.length === 0) return batch.apply(this, args);
    began.resolve();
    return gate.promise.then(() => batch.apply(this, args));
  } as never);
  return { began: began.promise, goOn: gate.resolve };
}

function deferred(): { readonly promise: Promise<void>; readonly resolve: () => void } {
  let resolve: () => void = () => undefined;
  const promise = new Promise<void>((done) => (resolve = done));
  return { promise, resolve };
}

/** The next write to LevelDB fails, and so the database is opened again. */
async function reopenByFailure(db: LevelDatabase): Promise<void> {
  interceptWrites(() => () => Promise.reject(new Error('disk full')));
  await expect(put(db, { _id: 'fails' })).rejects.toThrow('The write failed');
  vi.restoreAllMocks();
  // Its turn comes when the database is open again.
  await put(db, { _id: 'works' });
}

describe('attachments', () => {
  test('are read as they were written, with the generation they came with', async () => {
    const folder = await newFolder();
    const db = await openDatabase(folder);
    const files = { a: bytesOf(5), empty: Buffer.alloc(0), 'dir/é "x"': bytesOf(20_000), 10: bytesOf(3) };
    const first = revOf(await attach(db, 'doc', files));
    const [second] = await write(db, [
      {
        id: 'doc',
        revs: [first],
        attachments: { a: STUB, empty: STUB, b: data(await take(db, bytesOf(9))) },
      },
    ]);
    expect(await readAll(db, 'doc', first)).toEqual(files);
    expect(await readAll(db, 'doc')).toEqual({ a: files.a, empty: files.empty, b: bytesOf(9) });
    expect(Object.fromEntries(attachmentsOf(db, 'doc', revOf(second)))).toMatchObject({
      a: { revpos: 1, digest: digestOf(files.a), length: 5, contentType: 'text/plain' },
      empty: { revpos: 1, digest: 'md5-1B2M2Y8AsgTpgAmY7PhCfg==', length: 0 },
      b: { revpos: 2, length: 9 },
    });
    const disk = await closed(db, folder);
    expect(problemsOf(disk)).toEqual([]);
    expect(disk.binaries).toHaveLength(4);
    expect(disk.state).toMatchObject({ attachmentBytes: disk.bytes, chunked: 0 });
  });

  test('are shared by documents whose ids hold each other', async () => {
    const folder = await newFolder();
    const db = await openDatabase(folder);
    // Equal edits make equal revisions: only the ids tell the references apart.
    const ids = ['x","a', 'x"a', 'a', '"a', ',"a', '{"a', 'a@1', '@', '__proto__'];
    for (const id of ids) await attach(db, id, { f: bytesOf(10) });
    expect(new Set(ids.map((id) => db.get(id)?.winner)).size).toBe(1);
    for (const id of ids.slice(0, 2)) await write(db, [{ id, revs: [db.get(id)?.winner ?? ''] }]);
    await db.compact();
    for (const id of ids.slice(2)) expect(await readAll(db, id)).toEqual({ f: bytesOf(10) });
    expect(problemsOf(await closed(db, folder))).toEqual([]);
  });

  test('are shared by many documents that come at once', async () => {
    const folder = await newFolder();
    const db = await openDatabase(folder);
    const f = data(await take(db, bytesOf(10)));
    for (const part of ['a', 'b']) {
      const ids = Array.from({ length: 40 }, (_, at) => `${part}${String(at)}`);
      await write(
        db,
        ids.map((id) => ({ id, attachments: { f } })),
      );
    }
    const disk = await closed(db, folder);
    expect(problemsOf(disk)).toEqual([]);
    expect(Object.values(disk.refs).map(({ length }) => length)).toEqual([80]);
  });

  test('go with the last body that has them, not before', async () => {
    const folder = await newFolder();
    const db = await openDatabase(folder);
    const [a, b] = [
      revOf(await attach(db, 'a', { f: bytesOf(10) })),
      revOf(await attach(db, 'b', { f: bytesOf(10) })),
    ];
    const wanted = { digest: digestOf(bytesOf(10)), length: 10 };
    await write(db, [{ id: 'a', revs: [a], deleted: true }]);
    await db.compact();
    expect(await contentOf(db, wanted)).toEqual(bytesOf(10));
    await write(db, [{ id: 'b', revs: [b], deleted: true }]);
    expect(await readAll(db, 'b', b)).toEqual({ f: bytesOf(10) });
    await db.compact();
    await expect(contentOf(db, wanted)).rejects.toThrow('missing');
    expect(await closed(db, folder)).toMatchObject({ refs: {}, binaries: [], state: { attachmentBytes: 0 } });
  });

  test('of a revision that is stemmed, written again and dropped, all in one commit, leave no reference', async () => {
    const folder = await newFolder();
    const db = await openDatabase(folder);
    await db.setRevsLimit(1);
    const [one, two, three] = [rev(1, 'a'), rev(2, 'b'), rev(3, 'c')];
    const staged = await take(db, bytesOf(10));
    const f = { f: data(staged, 1) };
    await write(db, [{ id: 'a', revs: [one], attachments: f }], false);
    await write(
      db,
      [
        { id: 'a', revs: [two, one] },
        { id: 'a', revs: [one], attachments: f },
        { id: 'a', revs: [three, two, one] },
      ],
      false,
    );
    await db.compact();
    const disk = await closed(db, folder);
    expect(problemsOf(disk)).toEqual([]);
  });

  test('whose bytes nobody has spoil only the write that names them', async () => {
    const folder = await newFolder();
    const db = await openDatabase(folder);
    const first = revOf(await attach(db, 'a', { f: bytesOf(10) }));
    const found = attachmentsOf(db, 'a').get('f');
    if (found === undefined) throw new Error('no attachment');
    await db.close();
    const level = new ClassicLevel(join(folder, 'db'));
    await level.del(`\xffattach-store\xff${found.digest}`);
    await level.close();
    const again = await openDatabase(folder);
    const attempts = await Promise.allSettled([
      write(again, [{ id: 'a', revs: [first], attachments: { f: STUB } }]),
      write(again, [{ id: 'c', attachments: { f: { kind: 'shared', attachment: found } } }]),
      write(again, [{ id: 'b' }]),
    ]);
    expect(attempts.map(({ status }) => status)).toEqual(['rejected', 'rejected', 'fulfilled']);
    expect(attempts[0]).toMatchObject({ reason: { status: 412 } });
  });

  test('writes of them leave no batch of LevelDB open', async () => {
    const db = await openDatabase(await newFolder());
    const open = new Set<ChainedBatch>();
    const batch = Reflect.get(ClassicLevel.prototype, 'batch') as (this: ClassicLevel) => ChainedBatch;
    vi.spyOn(ClassicLevel.prototype, 'batch').mockImplementation(function (this: ClassicLevel) {
      const made = batch.call(this);
      open.add(made);
      const close = made.close.bind(made);
      const write = made.write.bind(made);
      made.close = () => (open.delete(made), close());
      made.write = (...args: []) => (open.delete(made), write(...args));
      return made;
    } as never);
    const first = revOf(await attach(db, 'a', { f: bytesOf(10) }));
    await write(db, [{ id: 'a', revs: [first], attachments: { f: STUB } }]);
    await expect(write(db, [{ id: 'b', attachments: { f: STUB } }])).rejects.toThrow();
    expect(open.size).toBe(0);
  });
});

describe('stubs', () => {
  test('of what is not there spoil the whole batch, of whatever size', async () => {
    const db = await openDatabase(await newFolder());
    const first = revOf(await attach(db, 'doc', { f: bytesOf(10) }));
    const missing = [
      { id: 'doc', revs: [first], attachments: { g: STUB } },
      { id: 'new', attachments: { f: STUB } },
      { id: 'new', revs: [first], attachments: { f: STUB } },
      { id: 'doc', revs: [first], attachments: { f: { kind: 'stub', revpos: 2 } } },
      { id: 'doc', revs: [first], attachments: { f: { kind: 'stub', revpos: '1' } } },
      { id: 'doc', revs: [first], attachments: { f: { kind: 'stub', revpos: null } } },
    ] as const;
    const many = Array.from({ length: 40 }, (_, at) => ({
      id: `d${String(at)}`,
      body: `"pad":"${'x'.repeat(100_000)}"`,
    }));
    const before = db.updateSeq;
    for (const bad of missing) {
      await expect(write(db, [...many, bad])).rejects.toMatchObject({ status: 412, error: 'missing_stub' });
    }
    expect(db.updateSeq).toBe(before);
    expect(
      await write(db, [{ id: 'doc', revs: [first], attachments: { f: { kind: 'stub', revpos: 1 } } }]),
    ).toMatchObject([{ ok: true }]);
  });

  test('are not looked at where the edit is a conflict', async () => {
    const db = await openDatabase(await newFolder());
    await attach(db, 'doc', { f: bytesOf(10) });
    const results = await write(db, [{ id: 'doc', revs: [rev(1, '0')], attachments: { g: STUB } }]);
    expect(results.map(outcome)).toEqual(['conflict']);
  });

  test('of a replicated revision mean those of its nearest ancestor that has a body here', async () => {
    const folder = await newFolder();
    const db = await openDatabase(folder);
    const path = [rev(5, 'e'), rev(4, 'd'), rev(3, 'c'), rev(2, 'b'), rev(1, 'a')];
    const staged = await take(db, bytesOf(10));
    await write(db, [{ id: 'a', revs: path.slice(4), attachments: { f: data(staged, 1) } }], false);
    // Known, without a body, is 3; then 4 comes and does not know that 1 is below it.
    await write(db, [{ id: 'a', revs: [rev(4, 'f'), ...path.slice(2)] }], false);
    await write(db, [{ id: 'a', revs: path.slice(1, 3), attachments: { f: STUB } }], false);
    await write(db, [{ id: 'a', revs: path, attachments: { f: { kind: 'stub', revpos: 1 } } }], false);
    for (const at of [4, 1, 0]) expect(await readAll(db, 'a', path[at])).toEqual({ f: bytesOf(10) });
    // 3 itself comes, and names none of its ancestors.
    await write(db, [{ id: 'a', revs: path.slice(2, 3), attachments: { f: STUB } }], false);
    expect(attachmentsOf(db, 'a', path[2]).get('f')?.revpos).toBe(1);
    await expect(
      write(
        db,
        [
          { id: 'a', revs: path, attachments: { f: STUB } },
          { id: 'b', revs: path, attachments: { f: STUB } },
        ],
        false,
      ),
    ).rejects.toMatchObject({ status: 412 });
    expect(problemsOf(await closed(db, folder))).toEqual([]);
  });

  test('of a replicated revision that is there already are not looked at, also where more ancestors come', async () => {
    const folder = await newFolder();
    const db = await openDatabase(folder);
    const staged = await take(db, bytesOf(10));
    await write(db, [{ id: 'a', revs: [rev(3, 'c')], attachments: { f: data(staged, 3) } }], false);
    const attachments = { f: STUB, g: STUB };
    const results = await write(db, [{ id: 'a', revs: [rev(3, 'c')], attachments }], false);
    const more = await write(db, [{ id: 'a', revs: [rev(3, 'c'), rev(2, 'b')], attachments }], false);
    expect([...results, ...more].map(outcome)).toEqual([rev(3, 'c'), rev(3, 'c')]);
    expect(await readAll(db, 'a')).toEqual({ f: bytesOf(10) });
    expect(problemsOf(await closed(db, folder))).toEqual([]);
  });

  test('do not find what only comes in the same batch', async () => {
    const db = await openDatabase(await newFolder());
    const staged = await take(db, bytesOf(10));
    const batch = [
      { id: 'a', revs: [rev(1, 'a')], attachments: { f: data(staged, 1) } },
      { id: 'a', revs: [rev(2, 'b'), rev(1, 'a')], attachments: { f: STUB } },
    ];
    await expect(write(db, batch, false)).rejects.toMatchObject({ status: 412 });
    expect(db.updateSeq).toBe(0);
  });
});

describe('chunks', () => {
  test('hold the same bytes, whole and in part, around every boundary', async () => {
    const folder = await newFolder();
    const sizes = [0, 1, 1023, 1024, 1025, CHUNK_SIZE - 1, CHUNK_SIZE, CHUNK_SIZE + 1, 3 * CHUNK_SIZE]
      .concat([MIB - 1, MIB, MIB + 1, MIB + CHUNK_SIZE, 2 * MIB + 17])
      .map((length, at) => bytesOf(length, at + 1));
    const db = await openDatabase(folder, CHUNKED);
    for (const bytes of sizes) {
      for (const size of [bytes.length < 5000 ? 1 : 1000, CHUNK_SIZE, 5 * MIB]) {
        const staged = await stage(db, pieces(bytes, size), LIMITS);
        expect(staged.plain).toMatchObject({ digest: digestOf(bytes), length: bytes.length });
        await write(db, [
          { id: `${String(bytes.length)} ${String(size)}`, attachments: { f: data(staged) } },
        ]);
        await release(staged);
      }
      const wanted = { digest: digestOf(bytes), length: bytes.length };
      expect((await contentOf(db, wanted)).equals(bytes)).toBe(true);
      await fc.assert(
        fc.asyncProperty(fc.nat(bytes.length), fc.nat(bytes.length), async (a, b) => {
          const [start, end] = [Math.min(a, b), Math.max(a, b)];
          const part = await contentOf(db, wanted, [start, end]);
          expect(part.equals(bytes.subarray(start, end))).toBe(true);
        }),
        { numRuns: 8 },
      );
    }
    const disk = await closed(db, folder);
    expect(problemsOf(disk)).toEqual([]);
    expect(disk.chunked).toHaveLength(sizes.filter(({ length }) => length > 1024).length);
    expect(disk.chunks).toBe(
      sizes.reduce((sum, { length }) => sum + (length > 1024 ? Math.ceil(length / CHUNK_SIZE) : 0), 0),
    );
    expect(disk.state).toMatchObject({ attachmentBytes: disk.bytes, chunked: disk.chunked.length });
  });

  test('are synced as they come, and so is the commit (I1)', async () => {
    const db = await openDatabase(await newFolder(), { ...OPTIONS, chunkAbove: 1024 });
    const writes: { length: number; sync: boolean | undefined }[] = [];
    interceptWrites((writeBatch, batch) => (options) => {
      writes.push({ length: batch.length, sync: options?.sync });
      return writeBatch(options);
    });
    const bytes = bytesOf(3 * MIB + 5);
    const staged = await take(db, bytes);
    // Nothing waits for the commit.
    expect(writes.reduce((sum, { length }) => sum + length, 0)).toBe(
      1 + Math.ceil(bytes.length / CHUNK_SIZE),
    );
    await write(db, [{ id: 'a', attachments: { f: data(staged) } }]);
    expect(new Set(writes.map(({ sync }) => sync))).toEqual(new Set([true]));
  });

  test('that belong to no document are gone when they are released, or the database is opened again', async () => {
    const folder = await newFolder();
    const db = await openDatabase(folder, CHUNKED);
    const released = await take(db, bytesOf(100_000, 1));
    const kept = await take(db, bytesOf(100_000, 2));
    await write(db, [{ id: 'a', attachments: { f: data(kept) } }]);
    await release(released);
    await release(kept);
    await release(kept);
    await cp(join(folder, 'db'), join(folder, 'copy'), { recursive: true });
    expect(await onDisk(join(folder, 'copy'))).toMatchObject({ uploads: 0, chunks: 2 });
    const left = await take(db, bytesOf(200_000, 3));
    expect(left.plain.length).toBe(200_000);
    expect(await closed(db, folder)).toMatchObject({ uploads: 1, chunks: 6 });
    // It may come after the end: what it would remove is removed later.
    await release(left);
    const again = await openDatabase(folder, CHUNKED);
    expect(await readAll(again, 'a')).toEqual({ f: bytesOf(100_000, 2) });
    const disk = await closed(again, folder);
    expect(problemsOf(disk)).toEqual([]);
    expect(disk.chunks).toBe(2);
  });

  test('of an attachment that went are removed, also where a crash came before that', async () => {
    const folder = await newFolder();
    const db = await openDatabase(folder, CHUNKED);
    const first = revOf(await attach(db, 'a', { f: bytesOf(100_000, 1) }));
    await write(db, [{ id: 'a', revs: [first] }]);
    const removal = holdRemovals();
    const compacted = db.compact();
    await removal.began;
    const crashed = join(folder, 'crashed');
    await cp(join(folder, 'db'), join(crashed, 'db'), { recursive: true });
    removal.goOn();
    await compacted;
    expect(await closed(db, folder)).toMatchObject({ uploads: 0, chunks: 0 });
    await cp(join(crashed, 'db'), join(folder, 'copy'), { recursive: true });
    expect(await onDisk(join(folder, 'copy'))).toMatchObject({
      refs: {},
      chunked: [],
      uploads: 1,
      chunks: 2,
    });
    const again = await openDatabase(crashed, CHUNKED);
    expect(await closed(again, crashed)).toMatchObject({
      uploads: 0,
      chunks: 0,
      state: { chunked: 0, attachmentBytes: 0 },
    });
  });

  test('that are being removed do not hold up the closing, also where a compaction waits for them', async () => {
    const folder = await newFolder();
    const db = await openDatabase(folder, CHUNKED);
    const first = revOf(await attach(db, 'a', { f: Buffer.alloc(1200 * CHUNK_SIZE) }));
    await write(db, [{ id: 'a', revs: [first] }]);
    const removal = holdRemovals();
    const compacted = db.compact();
    await removal.began;
    const disk = closed(db, folder);
    removal.goOn();
    await compacted;
    expect(await disk).toMatchObject({ uploads: 1 });
    const again = await openDatabase(folder, CHUNKED);
    expect(await closed(again, folder)).toMatchObject({ uploads: 0, chunks: 0 });
  });

  test('of uploads that a failed write took away can be committed no more: 503, and nothing is written', async () => {
    const folder = await newFolder();
    const db = await openDatabase(folder, CHUNKED);
    const [lost, small] = [await take(db, bytesOf(100_000)), await take(db, bytesOf(100))];
    const [began, gate] = [deferred(), deferred()];
    const slow = stage(
      db,
      (async function* () {
        yield bytesOf(100_000, 7);
        began.resolve();
        await gate.promise;
        yield* pieces(bytesOf(2 * MIB, 7));
      })(),
      LIMITS,
    );
    const refused = expect(slow).rejects.toMatchObject({ status: 503 });
    await began.promise;
    await reopenByFailure(db);
    gate.resolve();
    await refused;
    const seq = db.updateSeq;
    const results = await write(db, [
      { id: 'a', attachments: { f: data(lost) } },
      { id: 'b', attachments: { f: data(small) } },
      { id: 'c' },
    ]);
    expect(results.map((result) => result.ok || result.error.status)).toEqual([503, true, true]);
    expect(db.get('a')).toBeUndefined();
    expect(db.updateSeq).toBe(seq + 2);
    // Where the bytes are stored all the same the document may have them.
    await attach(db, 'd', { f: bytesOf(100_000) });
    const [late] = await write(db, [{ id: 'a', attachments: { f: data(lost) } }]);
    expect(late?.ok).toBe(true);
    expect(await readAll(db, 'a')).toEqual({ f: bytesOf(100_000) });
    await release(lost);
    expect(problemsOf(await closed(db, folder))).toEqual([]);
  });

  test('of the same bytes, taken in at once, are stored once; so are those that are in memory', async () => {
    const folder = await newFolder();
    const bytes = bytesOf(200_000);
    const db = await openDatabase(folder, CHUNKED);
    const staged = await Promise.all([take(db, bytes), take(db, bytes), take(db, bytes)]);
    const inMemory: StagedAttachment = {
      plain: { digest: digestOf(bytes), length: bytes.length, content: bytes },
    };
    const all = [...staged, inMemory];
    await Promise.all(
      all.map((one, at) => write(db, [{ id: `d${String(at)}`, attachments: { f: data(one) } }])),
    );
    for (const one of all) await release(one);
    for (const at of all.keys()) expect((await readAll(db, `d${String(at)}`)).f?.equals(bytes)).toBe(true);
    expect((await db.info()).sizes.active).toBeLessThan(250_000);
    const disk = await closed(db, folder);
    expect(problemsOf(disk)).toEqual([]);
    expect(disk).toMatchObject({ chunks: 4, binaries: [], state: { attachmentBytes: 200_000, chunked: 1 } });
    // And the other way round: what is stored whole stays so.
    const other = await newFolder();
    const plain = await openDatabase(other);
    await attach(plain, 'a', { f: bytes });
    await plain.close();
    const now = await openDatabase(other, CHUNKED);
    await attach(now, 'b', { f: bytes });
    expect((await readAll(now, 'b')).f?.equals(bytes)).toBe(true);
    expect(await closed(now, other)).toMatchObject({ chunks: 0, chunked: [], state: { chunked: 0 } });
  });

  test('are read by many at once, some of whom stop early', async () => {
    const db = await openDatabase(await newFolder(), CHUNKED);
    const bytes = bytesOf(MIB);
    await attach(db, 'a', { f: bytes });
    const wanted = { digest: digestOf(bytes), length: bytes.length };
    const reader = db.openAttachments();
    for await (const piece of reader.read(wanted.digest, { start: 0, end: MIB })) {
      expect(piece).toHaveLength(CHUNK_SIZE);
      break;
    }
    await reader.close();
    const read = await Promise.all(Array.from({ length: 10 }, () => contentOf(db, wanted)));
    expect(read.every((one) => one.equals(bytes))).toBe(true);
  });
});

describe('taking attachments in', () => {
  const text = Buffer.from('0123456789'.repeat(5000));

  test('stores compressible ones compressed as well, with the bytes that CouchDB makes', async () => {
    const folder = await newFolder();
    const db = await openDatabase(folder);
    const staged = await take(db, text, { gzip: { level: 8 } });
    expect(staged.plain).toMatchObject({ digest: digestOf(text), length: text.length });
    expect(staged.gzip?.digest).toBe('md5-rx8l9tnQ2Ei/tjXMdY+eyw==');
    const first = revOf((await write(db, [{ id: 'a', attachments: { f: data(staged) } }]))[0]);
    await write(db, [{ id: 'a', revs: [first], attachments: { f: STUB } }]);
    await db.compact();
    const found = attachmentsOf(db, 'a').get('f');
    if (found?.encoded === undefined) throw new Error('not encoded');
    expect(await contentOf(db, found)).toEqual(text);
    expect(gunzipSync(await contentOf(db, found.encoded))).toEqual(text);
    expect(problemsOf(await closed(db, folder))).toEqual([]);
  });

  test('unpacks what comes compressed, in pieces of any size', async () => {
    const db = await openDatabase(await newFolder(), CHUNKED);
    const large = bytesOf(3 * MIB);
    for (const [bytes, size] of [
      [text, 1],
      [text, 5000],
      [large, 10_000],
      [Buffer.alloc(0), 1],
    ] as const) {
      const sent = gzipSync(bytes);
      const staged = await stage(db, pieces(sent, size), { ...LIMITS, gzip: 'given' });
      expect(staged.plain).toMatchObject({ digest: digestOf(bytes), length: bytes.length });
      expect(staged.gzip).toMatchObject({ digest: digestOf(sent), length: sent.length });
      await release(staged);
    }
  });

  test('refuses what is not properly compressed, and leaves nothing', async () => {
    const folder = await newFolder();
    const db = await openDatabase(folder, CHUNKED);
    const sent = gzipSync(bytesOf(300_000));
    const flipped = Buffer.from(sent);
    flipped.fill(0xff, 150_000, 150_010);
    const bad = {
      garbage: bytesOf(200_000),
      empty: Buffer.alloc(0),
      truncated: sent.subarray(0, -5),
      flipped,
      followed: Buffer.concat([sent, bytesOf(100_000)]),
      'followed by zeros': Buffer.concat([sent, Buffer.alloc(100_000)]),
      'followed by a zero': Buffer.concat([sent, Buffer.alloc(1)]),
    };
    for (const [name, bytes] of Object.entries(bad)) {
      for (const size of [1000, MIB]) {
        const attempt = stage(db, pieces(bytes, size), { ...LIMITS, gzip: 'given' });
        await expect(attempt, name).rejects.toMatchObject({ status: 400, error: 'bad_request' });
      }
    }
    expect(await closed(db, folder)).toMatchObject({ uploads: 0, chunks: 0 });
  });

  test('stops where there is too much, packed or unpacked', async () => {
    const folder = await newFolder();
    const db = await openDatabase(folder, CHUNKED);
    const bomb = gzipSync(Buffer.alloc(30 * MIB));
    const limited = (limit: number): typeof LIMITS => ({ ...LIMITS, limit });
    await expect(stage(db, pieces(bomb, 500), { ...limited(MIB), gzip: 'given' })).rejects.toThrow(
      'too large',
    );
    for (const gzip of [undefined, { level: 8 }] as const) {
      const options = { ...limited(200_000), ...(gzip && { gzip }) };
      await expect(take(db, bytesOf(200_001), options)).rejects.toThrow('too large');
      // What cannot be compressed grows by that.
      await release(await take(db, bytesOf(200_000), options));
    }
    expect(await closed(db, folder)).toMatchObject({ uploads: 0, chunks: 0 });
  });

  test('leaves nothing of a source that fails on the way', async () => {
    const folder = await newFolder();
    const db = await openDatabase(folder, CHUNKED);
    for (const gzip of [undefined, 'given', { level: 8 }] as const) {
      const source = (async function* () {
        yield* pieces(gzipSync(bytesOf(2 * MIB)));
        throw new Error('the client went away');
      })();
      const attempt = stage(db, source, { ...LIMITS, ...(gzip && { gzip }) });
      await expect(attempt).rejects.toThrow('the client went away');
    }
    expect(await closed(db, folder)).toMatchObject({ uploads: 0, chunks: 0 });
  });
});

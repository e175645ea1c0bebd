import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { LevelDatabase } from '../../src/store/level-database.js';
import { revsOf } from '../../src/revtree/tree.js';
import type { AttachmentEdit } from '../../src/store/types/edits.js';
import {
  attach,
  attachmentsOf,
  bytesOf,
  contentOf,
  data,
  digestOf,
  onDisk,
  problemsOf,
  readAll,
  STUB,
  take,
  write,
} from '../support/attachments.js';
import { PouchProcess } from '../support/pouch.js';
import { newFolder, QUICK, revOf } from '../support/store.js';

let pouch: PouchProcess;

beforeAll(() => {
  pouch = new PouchProcess();
});
afterAll(() => pouch.stop());

const open = (dir: string, chunkAbove = QUICK.chunkAbove): Promise<LevelDatabase> =>
  LevelDatabase.open('db', dir, `${dir}.copy`, { ...QUICK, chunkAbove });

/** Works with a directory of ours, then closes it. */
async function within<T>(dir: string, work: (db: LevelDatabase) => Promise<T>): Promise<T> {
  const db = await open(dir);
  try {
    return await work(db);
  } finally {
    await db.close();
  }
}

/** Content type and base64 of every attachment, `id@rev/name`. */
type Seen = Record<string, string>;

async function seenByPouch(dir: string, ids: readonly string[]): Promise<Seen> {
  await pouch.open(dir);
  try {
    const seen: Seen = {};
    for (const [ref, { stubs, full }] of Object.entries(await pouch.attachments(dir, ids))) {
      expect(Object.keys(stubs)).toEqual(Object.keys(full));
      for (const [name, one] of Object.entries(full)) {
        const bytes = Buffer.from(one.data ?? '?', 'base64');
        expect(stubs[name]).toMatchObject({ stub: true, digest: digestOf(bytes) });
        seen[`${ref}/${name}`] = `${one.content_type ?? 'application/octet-stream'} ${String(one.data)}`;
      }
    }
    return seen;
  } finally {
    await pouch.close(dir);
  }
}

function seenByUs(dir: string, ids: readonly string[]): Promise<Seen> {
  return within(dir, async (db) => {
    const seen: Seen = {};
    for (const id of ids) {
      const record = db.get(id);
      for (const rev of record === undefined ? [] : revsOf(record.tree)) {
        if (record === undefined || db.read(record, rev) === undefined) continue;
        for (const [name, one] of attachmentsOf(db, id, rev)) {
          const bytes = await contentOf(db, one);
          expect(bytes).toHaveLength(one.length);
          seen[`${id}@${rev}/${name}`] = `${one.contentType} ${bytes.toString('base64')}`;
        }
      }
    }
    return seen;
  });
}

const base64 = (bytes: Buffer): string => bytes.toString('base64');

describe('attachments in PouchDB 9 and ours (I3)', () => {
  test('that we wrote are read there: small, empty, several, shared, kept, compressed', async () => {
    const dir = join(await newFolder(), 'db');
    const text = Buffer.from('0123456789'.repeat(500));
    const [first, second] = await within(dir, async (db) => {
      const staged = {
        empty: data(await take(db, Buffer.alloc(0))),
        'dir/é "x"': data(await take(db, bytesOf(70_000)), undefined, 'image/png'),
        10: data(await take(db, text, { gzip: { level: 8 } }), undefined, 'text/plain; charset=utf-8'),
        given: data(await take(db, gzipSync(text), { gzip: 'given' })),
      };
      const [one] = await write(db, [
        { id: 'a', attachments: staged },
        { id: 'ä/@', attachments: staged },
      ]);
      const kept = { 10: STUB, given: STUB, empty: STUB };
      const [two] = await write(db, [{ id: 'a', revs: [revOf(one)], body: '"x":1', attachments: kept }]);
      return [revOf(one), revOf(two)];
    });
    const seen = await seenByPouch(dir, ['a', 'ä/@']);
    expect(seen).toMatchObject({
      [`a@${first}/empty`]: 'text/plain ',
      [`a@${first}/dir/é "x"`]: `image/png ${base64(bytesOf(70_000))}`,
      [`a@${second}/10`]: `text/plain; charset=utf-8 ${base64(text)}`,
      [`a@${second}/given`]: `text/plain ${base64(text)}`,
      [`ä/@@${first}/given`]: `text/plain ${base64(text)}`,
    });
    expect(Object.keys(seen)).toHaveLength(11);
    expect(await seenByUs(dir, ['a', 'ä/@'])).toEqual(seen);
  });

  test('that PouchDB wrote are read here, also by stubs that lack members', async () => {
    const dir = join(await newFolder(), 'db');
    const [bytes, empty] = [bytesOf(3000), Buffer.alloc(0)];
    await pouch.open(dir);
    const file = { content_type: 'image/png', data: base64(bytes) };
    await pouch.bulkDocs(dir, [
      { _id: 'a', _attachments: { f: file, e: { data: '', content_type: 'x/y' } } },
    ]);
    const bare = (digest: string): object => ({ stub: true, digest });
    const stubs = { f: bare(digestOf(bytes)), e: bare(digestOf(empty)) };
    const inside = { _attachments: { f: { digest: 'none' } } };
    await pouch.bulkDocs(dir, [
      { _id: 'b', _attachments: stubs, inside, more: [inside] },
      { _id: 'c', inside },
    ]);
    await pouch.close(dir);
    await within(dir, async (db) => {
      expect(await readAll(db, 'a')).toEqual({ f: bytes, e: empty });
      expect(await readAll(db, 'b')).toEqual({ f: bytes, e: empty });
      expect(attachmentsOf(db, 'c').size).toBe(0);
      expect(attachmentsOf(db, 'b').get('f')).toEqual({
        contentType: 'application/octet-stream',
        revpos: 1,
        digest: digestOf(bytes),
        length: 3000,
      });
      const rev = db.get('b')?.winner ?? '';
      await write(db, [{ id: 'b', revs: [rev], attachments: { f: { kind: 'stub', revpos: 1 } } }]);
      await db.compact();
      expect(await readAll(db, 'b')).toEqual({ f: bytes });
    });
    expect(problemsOf(await onDisk(dir))).toEqual([]);
    expect(await seenByPouch(dir, ['a', 'b', 'c'])).toEqual(await seenByUs(dir, ['a', 'b', 'c']));
  });

  test('go when PouchDB compacts, with their compressed forms', async () => {
    const dir = join(await newFolder(), 'db');
    const text = Buffer.from('0123456789'.repeat(500));
    const rev = await within(dir, async (db) => {
      const f = data(await take(db, text, { gzip: { level: 8 } }));
      const [a] = await write(db, [
        { id: 'a', attachments: { f } },
        { id: 'x@y@z', attachments: { f } },
      ]);
      for (const id of ['a', 'x@y@z']) await write(db, [{ id, revs: [revOf(a)] }]);
      const [b] = await write(db, [{ id: 'b@1', attachments: { f } }]);
      return revOf(b);
    });
    await pouch.open(dir);
    await pouch.compact(dir);
    await pouch.close(dir);
    await within(dir, () => Promise.resolve());
    const disk = await onDisk(dir);
    expect(problemsOf(disk)).toEqual([]);
    expect(Object.values(disk.refs)).toEqual([[`b@1@${rev}`], [`b@1@${rev}`]]);
    await pouch.open(dir);
    await pouch.remove(dir, 'b@1', rev);
    await pouch.compact(dir);
    await pouch.close(dir);
    await within(dir, async (db) => {
      expect((await db.info()).sizes.external).toBeGreaterThanOrEqual(0);
    });
    expect(await onDisk(dir)).toMatchObject({ refs: {}, binaries: [] });
  });

  test('that very many documents share stay for all of them, whoever writes and compacts', async () => {
    const dir = join(await newFolder(), 'db');
    const icon = bytesOf(500);
    const ids = Array.from({ length: 600 }, (_, at) => `document ${String(at)}`);
    const revs = await within(dir, async (db) => {
      const f = data(await take(db, icon));
      const written = await write(
        db,
        ids.map((id) => ({ id, attachments: { f } })),
      );
      return written.map(revOf);
    });
    const before = await onDisk(dir);
    expect(problemsOf(before)).toEqual([]);
    expect(before.elsewhere).toBe(601);
    await pouch.open(dir);
    const here = await pouch.attachments(dir, ids.slice(0, 3));
    expect(Object.values(here).map(({ full }) => full.f?.data)).toEqual(
      Array(3).fill(icon.toString('base64')),
    );
    await pouch.bulkDocs(dir, [
      { _id: 'new', _attachments: { g: { content_type: 'image/png', data: icon.toString('base64') } } },
    ]);
    for (const at of [0, 1]) await pouch.remove(dir, ids[at] ?? '', revs[at] ?? '');
    await pouch.compact(dir);
    await pouch.close(dir);
    await within(dir, async (db) => {
      expect(await readAll(db, 'new')).toEqual({ g: icon });
      expect(await readAll(db, ids[599] ?? '')).toEqual({ f: icon });
    });
    const mended = await onDisk(dir);
    expect(problemsOf(mended)).toEqual([]);
    expect(mended.elsewhere).toBe(600);
    await within(dir, async (db) => {
      await db.purge(new Map(['new', ...ids].map((id) => [id, [db.get(id)?.winner ?? '']])));
    });
    expect(await onDisk(dir)).toMatchObject({ refs: {}, binaries: [], elsewhere: 0 });
  });

  test('in chunks keep PouchDB from reading the database, until the last of them is gone', async () => {
    const dir = join(await newFolder(), 'db');
    const refused = async (): Promise<void> => {
      const victim = new PouchProcess(true);
      onTestFinished(() => victim.stop());
      await expect(victim.open(dir)).rejects.toThrow("PouchDB's process ended");
    };
    const chunking = async (work: (db: LevelDatabase) => Promise<unknown>): Promise<void> => {
      const db = await open(dir, 1000);
      await work(db);
      await db.close();
    };
    await chunking((db) => attach(db, 'a', { f: bytesOf(2000), g: bytesOf(3000), h: bytesOf(10) }));
    await refused();
    await chunking(async (db) => {
      const edits: Record<string, AttachmentEdit> = { g: STUB, h: STUB };
      await write(db, [{ id: 'a', revs: [db.get('a')?.winner ?? ''], attachments: edits }]);
      await db.compact();
      await db.putLocal('_local/compaction', undefined, '"last_seq":1');
    });
    await refused();
    // A local document of this name does not make us believe that PouchDB was here.
    await chunking(async (db) => {
      expect(await readAll(db, 'a')).toEqual({ g: bytesOf(3000), h: bytesOf(10) });
      await write(db, [{ id: 'b' }]);
    });
    await refused();
    await chunking(async (db) => {
      await write(db, [{ id: 'a', revs: [db.get('a')?.winner ?? ''], attachments: { h: STUB } }]);
      await db.compact();
    });
    const seen = await seenByPouch(dir, ['a', 'b']);
    expect(Object.values(seen)).toEqual([`text/plain ${base64(bytesOf(10))}`]);
    expect(await onDisk(dir)).toMatchObject({ chunks: 0, chunked: [], uploads: 0 });
  });
});

// ---- by turns -------------------------------------------------------------------------------------------------

const IDS = ['a', 'a@1', '"', 'x"a'];
const NAMES = ['f', 'g', 'é/x'];

const files = fc.array(
  fc.record({
    name: fc.constantFrom(...NAMES),
    /** Bytes, or what is there already. */
    seed: fc.option(fc.nat(4), { nil: undefined }),
    gzip: fc.boolean(),
  }),
  { maxLength: 3 },
);

const step = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({ kind: fc.constant('edit' as const), id: fc.nat(3), on: fc.nat(3), files }),
  },
  {
    weight: 3,
    arbitrary: fc.record({ kind: fc.constant('branch' as const), id: fc.nat(3), on: fc.nat(9), files }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('delete' as const), id: fc.nat(3), on: fc.nat(3) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('compact' as const) }) },
);

type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

interface Revision {
  /** It and its ancestors. */
  readonly path: readonly string[];
  readonly deleted: boolean;
  readonly files: ReadonlyMap<string, Buffer>;
}

const contents = [0, 1, 30, 5000, 5000].map((length, seed) => bytesOf(length, seed));
const TYPE = 'text/plain';

/** Where a step writes. */
interface Target {
  compact(): Promise<unknown>;
  /** @returns the revision */
  edit(id: string, revision: NewRevision): Promise<string>;
  branch(id: string, revision: NewRevision): Promise<void>;
}

interface NewRevision {
  /** Interactive edits: the edited one; else the revision with its ancestors. */
  readonly revs: readonly string[];
  readonly number: number;
  readonly deleted: boolean;
  readonly files: readonly {
    readonly name: string;
    /** Of its ancestor. */
    readonly kept: boolean;
    readonly bytes: Buffer;
    readonly gzip: boolean;
  }[];
}

class Own implements Target {
  constructor(private readonly db: LevelDatabase) {}

  compact(): Promise<void> {
    return this.db.compact();
  }

  async edit(id: string, revision: NewRevision): Promise<string> {
    return this.#write(id, revision, true);
  }

  async branch(id: string, revision: NewRevision): Promise<void> {
    await this.#write(id, revision, false);
  }

  async #write(
    id: string,
    { revs, number, deleted, files: given }: NewRevision,
    newEdits: boolean,
  ): Promise<string> {
    const attachments: Record<string, AttachmentEdit> = {};
    for (const { name, kept, bytes, gzip } of given) {
      attachments[name] = kept
        ? STUB
        : data(
            await take(this.db, bytes, gzip ? { gzip: { level: 8 } } : {}),
            newEdits ? undefined : 1,
            TYPE,
          );
    }
    const body = `"n":${String(number)}`;
    const [result] = await write(this.db, [{ id, revs, deleted, body, attachments }], newEdits);
    return revOf(result);
  }
}

class Pouch implements Target {
  constructor(private readonly dir: string) {}

  compact(): Promise<unknown> {
    return pouch.compact(this.dir);
  }

  async edit(id: string, { revs, ...rest }: NewRevision): Promise<string> {
    const [_rev] = revs;
    const [result] = await pouch.bulkDocs(this.dir, [{ ...this.#document(id, rest), ...(_rev && { _rev }) }]);
    if (result?.rev === undefined) throw new Error(`refused: ${JSON.stringify(result)}`);
    return result.rev;
  }

  async branch(id: string, { revs, ...rest }: NewRevision): Promise<void> {
    const ids = revs.map((rev) => rev.slice(rev.indexOf('-') + 1));
    const document = { ...this.#document(id, rest), _rev: revs[0], _revisions: { start: revs.length, ids } };
    expect(await pouch.bulkDocs(this.dir, [document], { new_edits: false })).toEqual([]);
  }

  #document(id: string, { number, deleted, files: given }: Omit<NewRevision, 'revs'>): object {
    const attachments = given.map(({ name, kept, bytes, gzip }) => {
      const stub = { stub: true, digest: digestOf(bytes), content_type: TYPE };
      const whole = gzip ? stub : { ...stub, length: bytes.length, revpos: 1 };
      return [name, kept ? whole : { content_type: TYPE, data: base64(bytes) }] as const;
    });
    const some = attachments.length > 0 && { _attachments: Object.fromEntries(attachments) };
    return { _id: id, n: number, ...(deleted && { _deleted: true }), ...some };
  }
}

/** What was written, whoever wrote it. */
class Model {
  readonly #documents = new Map<string, Revision[]>();
  #number = 0;

  async apply(target: Target, made: Step): Promise<void> {
    if (made.kind === 'compact') {
      await target.compact();
      return;
    }
    const id = IDS[made.id] ?? '';
    const known = this.#documents.get(id) ?? [];
    const leaves = this.#leaves(known);
    const living = leaves.filter(({ deleted }) => !deleted);
    const isBranch = made.kind === 'branch';
    if (!isBranch && known.length > 0 && living.length === 0) return;
    const from = isBranch ? known : living;
    const parent = from[made.on % Math.max(1, from.length)];
    if (made.kind === 'delete' && parent === undefined) return;
    const given = made.kind === 'delete' ? [] : this.#files(made.files, parent, leaves);
    const number = this.#number++;
    const path = parent?.path ?? [];
    const deleted = made.kind === 'delete';
    let rev = `${String(path.length + 1)}-${String(number).padStart(32, '0')}`;
    if (isBranch) await target.branch(id, { revs: [rev, ...path], number, deleted, files: given });
    else rev = await target.edit(id, { revs: path.slice(0, 1), number, deleted, files: given });
    const written = new Map(given.map(({ name, bytes }) => [name, bytes]));
    this.#documents.set(id, [...known, { path: [rev, ...path], deleted, files: written }]);
  }

  #leaves(known: readonly Revision[]): readonly Revision[] {
    const parents = new Set(known.map(({ path }) => path[1]));
    return known.filter(({ path }) => !parents.has(path[0]));
  }

  #files(
    given: readonly { name: string; seed: number | undefined; gzip: boolean }[],
    parent: Revision | undefined,
    leaves: readonly Revision[],
  ): NewRevision['files'] {
    const found = new Map<string, NewRevision['files'][number]>();
    for (const { name, seed, gzip } of given) {
      // The bodies of other revisions may be gone.
      const there = parent !== undefined && leaves.includes(parent) ? parent.files.get(name) : undefined;
      if (seed === undefined && there !== undefined)
        found.set(name, { name, kept: true, bytes: there, gzip });
      else found.set(name, { name, kept: false, bytes: contents[seed ?? 0] ?? Buffer.alloc(0), gzip });
    }
    return [...found.values()];
  }

  /** What must be seen, and what may be, as bodies that are no leaves' go. */
  expected(): { must: Seen; may: Seen } {
    const [must, may]: [Seen, Seen] = [{}, {}];
    for (const [id, known] of this.#documents) {
      const leaves = this.#leaves(known);
      for (const revision of known) {
        for (const [name, bytes] of revision.files) {
          const key = `${id}@${revision.path[0] ?? ''}/${name}`;
          may[key] = `${TYPE} ${base64(bytes)}`;
          if (leaves.includes(revision)) must[key] = may[key];
        }
      }
    }
    return { must, may };
  }
}

test('attachments of histories that PouchDB and we write by turns are the same for both (I3)', async () => {
  const root = await newFolder();
  let runs = 0;
  let steps = 0;
  const turn = fc.record({ ours: fc.boolean(), steps: fc.array(step, { minLength: 1, maxLength: 14 }) });
  await fc.assert(
    fc.asyncProperty(fc.array(turn, { minLength: 2, maxLength: 6, size: 'max' }), async (turns) => {
      const dir = join(root, String(runs++));
      const model = new Model();
      for (const { ours, steps: made } of turns) {
        steps += made.length;
        if (ours) {
          await within(dir, async (db) => {
            for (const one of made) await model.apply(new Own(db), one);
          });
        } else {
          await pouch.open(dir);
          for (const one of made) await model.apply(new Pouch(dir), one);
          await pouch.close(dir);
        }
        const { must, may } = model.expected();
        const seen = await seenByUs(dir, IDS);
        expect(seen).toMatchObject(must);
        expect(may).toMatchObject(seen);
        expect(problemsOf(await onDisk(dir))).toEqual([]);
        expect(await seenByPouch(dir, IDS)).toEqual(seen);
      }
    }),
    { numRuns: 25, endOnFailure: true },
  );
  expect(steps).toBeGreaterThan(200);
});

import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { CouchError } from '../../src/errors.js';
import { LevelDatabase } from '../../src/store/level-database.js';
import type { StoredRecord } from '../../src/store/record.js';
import type { AttachmentEdit } from '../../src/store/types/edits.js';
import {
  attachmentsOf,
  bytesOf,
  contentOf,
  data,
  LIMITS,
  onDisk,
  pieces,
  problemsOf,
  STUB,
  write,
} from '../support/attachments.js';
import { newFolder, QUICK } from '../support/store.js';

const IDS = ['a', '"a', 'a@1-', 'b'];
const NAMES = ['f', 'g', '__proto__'];

/** The last two go into chunks, mostly; of the one before them two are more than a request has in memory. */
const CONTENTS = [0, 1, 30, 700, 2000, 70_000].map((length) => bytesOf(length));

const file = fc.record({
  name: fc.constantFrom(...NAMES),
  kind: fc.constantFrom('data' as const, 'data' as const, 'stub' as const, 'shared' as const),
  content: fc.nat(CONTENTS.length - 1),
  gzip: fc.boolean(),
  /** Where a shared one is from. */
  from: fc.nat(IDS.length - 1),
});

const change = fc.record({
  id: fc.constantFrom(...IDS),
  kind: fc.constantFrom('edit' as const, 'edit' as const, 'replicate' as const),
  /** Which leaf. */
  on: fc.nat(3),
  /** Revisions between it and the new one that are not sent. */
  skipped: fc.nat(2),
  deleted: fc.boolean(),
  files: fc.array(file, { maxLength: 3 }),
});

const step = fc.oneof(
  // Written at once: they share a commit.
  {
    weight: 8,
    arbitrary: fc.record({
      changes: fc.uniqueArray(change, { minLength: 1, maxLength: 3, selector: ({ id }) => id }),
      compact: fc.boolean(),
    }),
  },
  { weight: 1, arbitrary: fc.record({ revsLimit: fc.integer({ min: 1, max: 4 }) }) },
  { weight: 2, arbitrary: fc.record({ reopen: fc.constantFrom(1000, 1_000_000) }) },
);

type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;
type Change = typeof change extends fc.Arbitrary<infer T> ? T : never;

class Run {
  /** `id@rev` → contents by name. */
  readonly #expected = new Map<string, ReadonlyMap<string, Buffer>>();
  #db: LevelDatabase | undefined;
  #number = 0;

  constructor(private readonly folder: string) {}

  get db(): LevelDatabase {
    if (this.#db === undefined) throw new Error('not open');
    return this.#db;
  }

  async open(chunkAbove: number): Promise<void> {
    const dir = join(this.folder, 'db');
    this.#db = await LevelDatabase.open('db', dir, `${dir}.copy`, { ...QUICK, chunkAbove });
  }

  /** Looks at the files, which have to be exact at any time. */
  async close(): ReturnType<typeof onDisk> {
    await this.db.close();
    const disk = await onDisk(join(this.folder, 'db'));
    expect(problemsOf(disk)).toEqual([]);
    const { attachmentBytes, chunked } = disk.state;
    expect({ attachmentBytes, chunked }).toEqual({
      attachmentBytes: disk.bytes,
      chunked: disk.chunked.length,
    });
    return disk;
  }

  async take(made: Step): Promise<void> {
    if ('reopen' in made) {
      await this.close();
      await this.open(made.reopen);
    } else if ('revsLimit' in made) {
      await this.db.setRevsLimit(made.revsLimit);
    } else {
      const works = await Promise.all(made.changes.map((one) => this.#prepare(one)));
      await Promise.all([...works.map((work) => work()), ...(made.compact ? [this.db.compact()] : [])]);
    }
    await this.check();
  }

  /** Takes the attachments in; what it returns writes. */
  async #prepare({ id, kind, on, skipped, deleted, files }: Change): Promise<() => Promise<void>> {
    const { db } = this;
    const record = db.get(id);
    const leaves = (record?.leaves() ?? []).filter((leaf) => kind === 'replicate' || !leaf.deleted);
    const leaf = leaves[on % Math.max(leaves.length, 1)]?.rev;
    const staging = db.stageAttachments();
    const edits = new Map<string, AttachmentEdit>();
    const contents = new Map<string, Buffer>();
    for (const { name, kind: how, content, gzip, from } of files) {
      const parent = leaf === undefined ? undefined : this.#expected.get(`${id}@${leaf}`)?.get(name);
      const other = this.#sharedFrom(IDS[from] ?? '', name);
      if (how === 'stub' && parent !== undefined) {
        edits.set(name, STUB);
        contents.set(name, parent);
      } else if (how === 'shared' && other !== undefined) {
        edits.set(name, other.edit);
        contents.set(name, other.bytes);
      } else {
        const bytes = CONTENTS[content] ?? Buffer.alloc(0);
        const one = await staging.take(pieces(bytes), { ...LIMITS, ...(gzip && { gzip: { level: 1 } }) });
        edits.set(name, data(one, kind === 'replicate' ? 1 : undefined));
        contents.set(name, bytes);
      }
    }
    // A deleted document is not deleted again; and what was shared may have gone meanwhile.
    const refused = (error: unknown): void => {
      if (!(error instanceof CouchError)) throw error;
      const shares = files.some((one) => one.kind === 'shared');
      expect(shares ? ['conflict', 'missing_stub'] : ['conflict']).toContain(error.error);
    };
    const number = this.#number++;
    const revs =
      kind === 'edit' ? (leaf === undefined ? [] : [leaf]) : newPath(record, leaf, skipped, number);
    return async () => {
      try {
        const [result] = await write(
          db,
          [{ id, revs, deleted, body: `"n":${String(number)}`, attachments: edits }],
          kind === 'edit',
        );
        if (result?.ok === true) this.#expected.set(`${id}@${result.rev}`, contents);
        else refused(result?.error);
      } catch (error) {
        refused(error);
      } finally {
        await staging.release();
      }
    };
  }

  #sharedFrom(id: string, name: string): { edit: AttachmentEdit; bytes: Buffer } | undefined {
    const rev = this.db.get(id)?.winner ?? '';
    const bytes = this.#expected.get(`${id}@${rev}`)?.get(name);
    if (bytes === undefined) return undefined;
    const attachment = attachmentsOf(this.db, id, rev).get(name);
    if (attachment === undefined) throw new Error(`${id}@${rev} has lost ${name}`);
    return { edit: { kind: 'shared', attachment }, bytes };
  }

  /** Every revision that can be read has the attachments that were written with it. */
  async check(): Promise<void> {
    for (const id of IDS) {
      const record = this.db.get(id);
      for (const rev of record?.bodySeqs.keys() ?? []) {
        const expected = this.#expected.get(`${id}@${rev}`) ?? new Map<string, Buffer>();
        const found = attachmentsOf(this.db, id, rev);
        expect([...found.keys()]).toEqual([...expected.keys()]);
        for (const [name, one] of found) {
          const bytes = await contentOf(this.db, one);
          expect(expected.get(name)?.equals(bytes)).toBe(true);
          if (one.encoded !== undefined)
            expect(await contentOf(this.db, one.encoded)).toHaveLength(one.encoded.length);
        }
      }
    }
  }

  /** A tombstone without attachments on every leaf: after a compaction nothing may be left. */
  async end(): Promise<void> {
    for (const id of IDS) {
      const record = this.db.get(id);
      for (const { rev } of record?.leaves() ?? []) {
        await write(this.db, [{ id, revs: newPath(record, rev, 0, this.#number++), deleted: true }], false);
      }
    }
    await this.db.compact();
    expect(await this.close()).toMatchObject({ refs: {}, binaries: [], chunked: [], chunks: 0, uploads: 0 });
  }
}

/** A new replicated revision on top of a leaf. */
function newPath(
  record: StoredRecord | undefined,
  leaf: string | undefined,
  skipped: number,
  number: number,
): string[] {
  const { start, ids } = (leaf === undefined ? undefined : record?.revisions(leaf)) ?? { start: 0, ids: [] };
  const below = ids.map((hash, at) => `${String(start - at)}-${hash}`);
  const fresh = Array.from({ length: skipped + 1 }, (_, at) => {
    const generation = String(start + skipped + 1 - at);
    return `${generation}-${generation.padStart(8, '0')}${String(number).padStart(24, '0')}`;
  });
  return [...fresh, ...below];
}

test('attachments of any sequence of writes are those of a plain model, and their traces are exact', async () => {
  const root = await newFolder();
  let runs = 0;
  let steps = 0;
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 40, size: 'max' }), async (made) => {
      const folder = join(root, String(runs++));
      const run = new Run(folder);
      await run.open(1000);
      for (const one of made) await run.take(one);
      steps += made.length;
      await run.end();
      await rm(folder, { recursive: true });
    }),
    { numRuns: 25 },
  );
  expect(steps).toBeGreaterThan(200);
});

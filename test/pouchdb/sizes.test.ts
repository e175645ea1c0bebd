import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { openDatabase } from '../../src/pouchdb/pouchdb.js';
import type { AttachmentValue, Document, PouchDatabase } from '../../src/pouchdb/types.js';
import { bytesOf, digestOf, onDisk, problemsOf } from '../support/attachments.js';
import { sizesOnDisk } from '../support/sizes.js';
import { newFolder, openDatabase as openLevel } from '../support/store.js';

const CONTENTS = [0, 30, 900, 3000].map((length) => bytesOf(length));

const file = fc.record({
  name: fc.constantFrom('f', 'g'),
  content: fc.nat(CONTENTS.length - 1),
  /** Where these bytes were written before, to whichever document; they may be gone again. */
  stub: fc.boolean(),
});

const change = fc.record({
  id: fc.constantFrom('a', 'b', 'é'),
  kind: fc.constantFrom('edit', 'edit', 'remove', 'branch'),
  deep: fc.integer({ min: 1, max: 4 }),
  files: fc.uniqueArray(file, { maxLength: 2, selector: ({ name }) => name }),
});

const step = fc.oneof(
  { weight: 8, arbitrary: fc.record({ changes: fc.array(change, { minLength: 1, maxLength: 3 }) }) },
  { weight: 2, arbitrary: fc.record({ purge: fc.constantFrom('a', 'b', 'é') }) },
  { weight: 1, arbitrary: fc.record({ local: fc.constantFrom('_local/x', '_local/compaction') }) },
  { weight: 1, arbitrary: fc.record({ compact: fc.constantFrom('all', 'deep') }) },
  {
    weight: 1,
    arbitrary: fc.record({ reopen: fc.record({ auto_compaction: fc.boolean(), revs_limit: fc.nat(4) }) }),
  },
);

type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;
type Change = typeof change extends fc.Arbitrary<infer T> ? T : never;

/** Where in a history one is. */
interface Place {
  readonly number: number;
  /** Digests of the attachments so far. */
  readonly written: Set<string>;
}

async function documentOf(
  db: PouchDatabase,
  { id, kind, deep, files }: Change,
  { number, written }: Place,
): Promise<Document> {
  const attachments = files.map(({ name, content, stub }): [string, AttachmentValue] => {
    const data = CONTENTS[content] ?? Buffer.alloc(0);
    const digest = digestOf(data);
    const isStub = stub && written.has(digest);
    written.add(digest);
    return [name, { content_type: 'text/plain', ...(isStub ? { stub, digest } : { data }) }];
  });
  const doc = { _id: id, number, ...(files.length > 0 && { _attachments: Object.fromEntries(attachments) }) };
  if (kind === 'branch') {
    const hashes = Array.from({ length: deep - 1 }, (_, at) => String(at).repeat(32));
    const ids = [String(number).padStart(32, '0'), ...hashes];
    return { ...doc, _rev: `${String(deep)}-${ids[0] ?? ''}`, _revisions: { start: deep, ids } };
  }
  const [known] = (await db.allDocs({ keys: [id] })).rows;
  if (known === undefined || !('id' in known)) return doc;
  return { ...doc, _rev: known.value.rev, ...(kind === 'remove' && { _deleted: true }) };
}

/** Both at once: they share a commit. */
async function write(
  db: PouchDatabase,
  changes: readonly Change[],
  { number, written }: Place,
): Promise<void> {
  const isBranch = ({ kind }: Change): boolean => kind === 'branch';
  const [branches, edits] = [changes.filter(isBranch), changes.filter((one) => !isBranch(one))];
  const make = (some: readonly Change[], from: number): Promise<Document[]> =>
    Promise.all(some.map((one, at) => documentOf(db, one, { number: number * 10 + from + at, written })));
  const [replicated, edited] = [await make(branches, 0), await make(edits, branches.length)];
  await Promise.all([
    refusable(db.bulkDocs(replicated, { new_edits: false })),
    refusable(db.bulkDocs(edited)),
  ]);
}

/** Conflicts, stubs of what is not there, and purges of nothing belong to it. */
async function refusable(work: Promise<unknown>): Promise<void> {
  await work.catch((error: unknown) => {
    if (![404, 409, 412].includes((error as { status: number }).status)) throw error;
  });
}

async function takeStep(
  db: PouchDatabase,
  made: Exclude<Step, { reopen: unknown }>,
  place: Place,
): Promise<void> {
  if ('changes' in made) await write(db, made.changes, place);
  else if ('local' in made) await refusable(db.put({ _id: made.local, number: place.number }));
  else if ('purge' in made) {
    const leaves = await db.get(made.purge, { open_revs: 'all' }).catch(() => []);
    for (const leaf of leaves.slice(0, 1)) if ('ok' in leaf) await db.purge(made.purge, leaf.ok._rev);
  } else if (made.compact === 'all') await db.compact();
  else {
    const internal = db as unknown as { compactDocument(id: string, height: number): Promise<void> };
    await refusable(internal.compactDocument('a', 1));
  }
}

it('keeps the counters exact, whatever is written in whatever way', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 20 }), async (made) => {
      const folder = await newFolder();
      const dir = join(folder, 'db');
      const check = async (): Promise<void> => {
        const { counted, recounted } = await sizesOnDisk(dir);
        expect(counted).toEqual(recounted);
        expect(problemsOf(await onDisk(dir))).toEqual([]);
      };
      const written = new Set<string>();
      let db = openDatabase(dir);
      await db.info();
      for (const [number, one] of made.entries()) {
        if ('reopen' in one) {
          await db.close();
          await check();
          db = openDatabase(dir, one.reopen);
        } else await takeStep(db, one, { number: number + 1, written });
      }
      await db.info();
      await db.close();
      await check();
      // What a compaction leaves is what was counted as kept.
      const level = await openLevel(folder);
      await level.compact();
      await level.close();
      await check();
      const { bodyBytes, attachmentBytes, metadataBytes, activeBytes } = (await sizesOnDisk(dir)).counted;
      expect(bodyBytes + attachmentBytes + metadataBytes).toBe(activeBytes);
      await rm(folder, { recursive: true });
    }),
    { numRuns: 30 },
  );
});

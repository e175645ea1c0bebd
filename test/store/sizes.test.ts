import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { ClassicLevel } from 'classic-level';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { CouchError } from '../../src/errors.js';
import * as layout from '../../src/store/layout.js';
import { LevelDatabase } from '../../src/store/level-database.js';
import type { BaseLimits } from '../../src/store/conflicts/types.js';
import { STATE } from '../../src/store/state.js';
import type { AttachmentEdit } from '../../src/store/types/edits.js';
import { type Finding, kindOf } from '../../src/store/verify/findings.js';
import { attach, bytesOf, data, STUB, take, write, release } from '../support/attachments.js';
import { PouchProcess } from '../support/pouch.js';
import { sizesOnDisk } from '../support/sizes.js';
import { body, newFolder, openDatabase, put, QUICK, replicate, revOf } from '../support/store.js';
import { verified } from '../support/verify.js';

let pouch: PouchProcess;

beforeAll(() => {
  pouch = new PouchProcess();
});
afterAll(() => pouch.stop());

const open = (dir: string, basesOf?: () => BaseLimits | undefined): Promise<LevelDatabase> =>
  LevelDatabase.open('db', dir, `${dir}.copy`, {
    ...QUICK,
    chunkAbove: 1000,
    ...(basesOf !== undefined && { basesOf }),
  });

/** Looks at the files of a closed database: what it counts has to be what it holds. */
async function check(dir: string): Promise<void> {
  const { counted, recounted } = await sizesOnDisk(dir);
  expect(counted).toEqual(recounted);
}

const problemsIn = async (folder: string): Promise<Finding[]> =>
  (await verified(folder)).filter(({ code }) => kindOf(code).level === 'problem');

describe('the sizes', () => {
  test('active is what a compaction would keep, external what clients could read', async () => {
    const db = await openDatabase(await newFolder());
    const sizes = async (): Promise<{ active: number; external: number }> => (await db.info()).sizes;
    expect(await sizes()).toMatchObject({ active: 0, external: 0 });
    const [made] = await put(db, { _id: 'a', text: 'é'.repeat(100) });
    const first = Buffer.byteLength(JSON.stringify(body(db, 'a')));
    const afterOne = await sizes();
    expect(afterOne.external).toBe(first);
    await put(db, { _id: 'a', _rev: revOf(made), text: 'é'.repeat(100) });
    const afterTwo = await sizes();
    expect(afterTwo.external).toBe(first);
    // One more revision in the metadata, and no more.
    expect(afterTwo.active - afterOne.active).toBeLessThan(150);
    await attach(db, 'b', { f: bytesOf(5000), g: bytesOf(5000) });
    const attached = await sizes();
    expect(attached.external - afterTwo.external).toBeGreaterThan(10_000);
    expect(attached.active - afterTwo.active).toBeLessThan(6000);
    await db.compact();
    expect(await sizes()).toMatchObject({ external: attached.external });
  });

  test('stay exact where many large bodies are superseded at once', async () => {
    const db = await openDatabase(await newFolder());
    const text = 'x'.repeat(200_000);
    const ids = Array.from({ length: 20 }, (_, at) => `d${String(at)}`);
    const made = await put(db, ...ids.map((_id) => ({ _id, text })));
    await put(db, ...ids.map((_id, at) => ({ _id, _rev: revOf(made[at]), _deleted: true })));
    const { external, active } = (await db.info()).sizes;
    expect(external).toBeLessThan(20 * 100);
    expect(active).toBeLessThan(20 * 1000);
  });
});

test('are exact where a commit stems a revision, and brings it again with another body', async () => {
  const dir = join(await newFolder(), 'db');
  const db = await open(dir);
  await db.setRevsLimit(1);
  await replicate(db, { _id: 'a', _rev: '1-a', text: 'x'.repeat(500) });
  const edits = [['2-b', '1-a'], ['1-a']].map((revs) => write(db, [{ id: 'a', revs }], false));
  await Promise.all(edits);
  await db.close();
  await check(dir);
});

// ---- any history ----------------------------------------------------------------------------------------------

const CONTENTS = [0, 30, 900, 3000].map((length) => bytesOf(length));

const file = fc.record({
  name: fc.constantFrom('f', 'g'),
  stub: fc.boolean(),
  content: fc.nat(CONTENTS.length - 1),
  gzip: fc.boolean(),
});

const change = fc.record({
  id: fc.constantFrom('a', 'b', 'é'),
  kind: fc.constantFrom('edit', 'edit', 'branch', 'late ancestor', 'longer history'),
  letter: fc.constantFrom('1', '2', '3'),
  deep: fc.integer({ min: 1, max: 4 }),
  deleted: fc.boolean(),
  files: fc.uniqueArray(file, { maxLength: 2, selector: ({ name }) => name }),
});

const reopening = fc.constantFrom('as it is', 'uncounted', 'without marks');

const step = fc.oneof(
  { weight: 6, arbitrary: fc.record({ changes: fc.array(change, { minLength: 1, maxLength: 4 }) }) },
  { weight: 2, arbitrary: fc.record({ purge: fc.constantFrom('a', 'b', 'é'), all: fc.boolean() }) },
  { weight: 1, arbitrary: fc.record({ compact: fc.boolean() }) },
  { weight: 1, arbitrary: fc.record({ revsLimit: fc.integer({ min: 1, max: 4 }) }) },
  { weight: 1, arbitrary: fc.record({ reopen: reopening }) },
  { weight: 1, arbitrary: fc.record({ bases: fc.constantFrom(undefined, 0, 3000, 1 << 20) }) },
);

type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;
type Change = typeof change extends fc.Arbitrary<infer T> ? T : never;

/** The revisions of a write, the new one or the edited one first. */
function revsOf(db: LevelDatabase, { id, kind, letter, deep }: Change, number: number): string[] {
  const record = db.get(id);
  const winner = record?.winner;
  if (kind === 'edit') return winner === undefined || record?.deleted === true ? [] : [winner];
  // One branch comes without its ancestors, which may come later.
  const below = Array.from(
    { length: letter === '3' ? 0 : deep - 1 },
    (_, at) => `${String(deep - 1 - at)}-${letter.repeat(32)}`,
  );
  if (kind === 'branch') return [`${String(deep)}-${String(number).padStart(32, '0')}`, ...below];
  const known = winner === undefined ? undefined : record?.revisions(winner);
  if (known === undefined) return [`${String(deep)}-${letter.repeat(32)}`, ...below];
  const path = known.ids.map((hash, at) => `${String(known.start - at)}-${hash}`);
  if (kind === 'late ancestor') return [path.at(-1) ?? ''];
  // The oldest known revision gets a parent, where it can have one.
  const oldest = Number.parseInt(path.at(-1) ?? '1', 10);
  return oldest > 1 ? [...path, `${String(oldest - 1)}-${letter.repeat(32)}`] : path;
}

async function make(db: LevelDatabase, changes: readonly Change[], number: number): Promise<void> {
  const writes = await Promise.all(
    changes.map(async (one, at) => {
      const attachments = new Map<string, AttachmentEdit>();
      const staged = [];
      for (const { name, stub, content, gzip } of one.files) {
        if (stub && one.kind === 'edit') {
          attachments.set(name, STUB);
          continue;
        }
        const bytes = CONTENTS[content] ?? Buffer.alloc(0);
        const taken = await take(db, bytes, gzip ? { gzip: { level: 1 } } : {});
        staged.push(taken);
        attachments.set(name, data(taken, 1));
      }
      const revs = revsOf(db, one, number * 10 + at);
      const written = { id: one.id, revs, deleted: one.deleted, body: `"n":${String(number)}`, attachments };
      return { written, newEdits: one.kind === 'edit', staged };
    }),
  );
  // At once: they share a commit.
  await Promise.all(
    writes.map(async ({ written, newEdits, staged }) => {
      try {
        await write(db, [written], newEdits);
      } catch (error) {
        if (!(error instanceof CouchError)) throw error;
      } finally {
        for (const one of staged) await release(one);
      }
    }),
  );
}

async function takeStep(db: LevelDatabase, made: Step, number: number): Promise<void> {
  if ('changes' in made) await make(db, made.changes, number);
  else if ('compact' in made) await db.compact();
  else if ('revsLimit' in made) await db.setRevsLimit(made.revsLimit);
  else if ('purge' in made) {
    const leaves = db.get(made.purge)?.leaves() ?? [];
    const revs = (made.all ? leaves : leaves.slice(0, 1)).map(({ rev }) => rev);
    await db.purge(new Map([[made.purge, revs]]));
  }
}

/** Takes from a closed database what it makes anew when it is opened. */
async function uncount(dir: string, how: string): Promise<void> {
  if (how === 'as it is') return;
  const level = new ClassicLevel(dir);
  await level.open();
  await level.del(layout.meta.key(STATE));
  if (how === 'without marks') await level.clear({ gte: layout.baseMarks.start, lt: layout.baseMarks.end });
  await level.close();
}

test('after any history the counters are those of a recount, and a compaction leaves nothing but what is active', async () => {
  let [steps, kept] = [0, 0];
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 20 }), reopening, async (made, last) => {
      const folder = await newFolder();
      const dir = join(folder, 'db');
      let bases: BaseLimits | undefined;
      const basesOf = (): BaseLimits | undefined => bases;
      let db = await open(dir, basesOf);
      for (const [number, one] of made.entries()) {
        if ('reopen' in one) {
          await db.close();
          await check(dir);
          expect(await problemsIn(folder)).toEqual([]);
          await uncount(dir, one.reopen);
          db = await open(dir, basesOf);
        } else if ('bases' in one) {
          bases = one.bases === undefined ? undefined : { maxAge: 1e9, maxBytes: one.bases };
        } else await takeStep(db, one, number);
        steps++;
      }
      await db.close();
      await check(dir);
      await uncount(dir, last);
      db = await open(dir, basesOf);
      await db.compact();
      kept += db.bases.count;
      const { active } = (await db.info()).sizes;
      await db.close();
      const { counted, recounted, dropped } = await sizesOnDisk(dir);
      expect(counted).toEqual(recounted);
      const { bodyBytes, attachmentBytes, metadataBytes, activeBytes } = counted;
      expect(bodyBytes + attachmentBytes + metadataBytes).toBe(activeBytes);
      expect(activeBytes).toBe(active);
      expect(dropped).toBe(0);
      expect(await problemsIn(folder)).toEqual([]);
      await rm(folder, { recursive: true });
    }),
    { numRuns: 40 },
  );
  expect(steps).toBeGreaterThan(100);
  expect(kept).toBeGreaterThan(0);
});

// ---- what others write ----------------------------------------------------------------------------------------

test('are counted anew where PouchDB wrote, or compacted, in between', async () => {
  const dir = join(await newFolder(), 'db');
  await pouch.open(dir);
  await pouch.bulkDocs(dir, [
    { _id: 'a', v: 'é' },
    { _id: 'b', _attachments: { f: { content_type: 'text/plain', data: 'eHl6' } } },
  ]);
  await pouch.close(dir);
  const within = async (work: (db: LevelDatabase) => Promise<unknown>): Promise<void> => {
    const db = await open(dir);
    await work(db);
    await db.close();
    await check(dir);
  };
  await within(() => Promise.resolve());
  await within(async (db) => {
    await put(db, { _id: 'a', _rev: db.get('a')?.winner ?? '', v: 2 });
    await attach(db, 'c', { f: bytesOf(500), g: Buffer.from('xyz') });
    await write(db, [{ id: 'b', revs: [db.get('b')?.winner ?? ''], attachments: { f: STUB } }]);
  });
  await pouch.open(dir);
  await pouch.bulkDocs(
    dir,
    [{ _id: 'a', _rev: `2-${'f'.repeat(32)}`, _revisions: { start: 2, ids: ['f'.repeat(32)] }, v: 'other' }],
    { new_edits: false },
  );
  await pouch.close(dir);
  await within(() => Promise.resolve());
  await pouch.open(dir);
  await pouch.compact(dir);
  await pouch.close(dir);
  await within(() => Promise.resolve());
  await within((db) => replicate(db, { _id: 'a', _rev: `3-${'f'.repeat(32)}`, v: 'more' }));
});

test('of a database from before they were counted are counted when it is opened', async () => {
  const dir = join(await newFolder(), 'db');
  let db = await open(dir);
  const [made] = await put(db, { _id: 'a', v: 1 });
  await put(db, { _id: 'a', _rev: revOf(made), v: 2 });
  await attach(db, 'b', { f: bytesOf(500), g: bytesOf(5000) });
  await db.close();
  const { counted } = await sizesOnDisk(dir);
  const level = new ClassicLevel(dir);
  const key = '\xffcauseway-meta\xffstate';
  const { updateSeq, docCount, deletedCount, bodyBytes, attachmentBytes, purgeSeq, chunked } = JSON.parse(
    (await level.get(key)) ?? '',
  ) as Record<string, number>;
  const old = { updateSeq, docCount, deletedCount, bodyBytes, attachmentBytes, purgeSeq, chunked };
  await level.put(key, JSON.stringify(old));
  await level.clear({ gte: '\xffcauseway-attachment-uses', lt: '\xffcauseway-attachment-uset' });
  await level.close();
  db = await open(dir);
  await db.close();
  expect((await sizesOnDisk(dir)).counted).toEqual(counted);
  await check(dir);
});

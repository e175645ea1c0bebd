import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { ClassicLevel } from 'classic-level';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import * as layout from '../../../src/store/layout.js';
import { kindOf } from '../../../src/store/verify/findings.js';
import { repairDatabase } from '../../../src/store/verify/repair.js';
import { bytesOf, LIMITS, pieces, write } from '../../support/attachments.js';
import { newFolder, put } from '../../support/store.js';
import {
  codesOf,
  history,
  LEVEL,
  live,
  placeOf,
  share,
  SHARERS,
  type Step,
  tamper,
  verified,
  within,
} from '../../support/verify.js';

/** Nothing else tells of these. */
const UNKNOWABLE = [
  layout.locals.start,
  // The oldest may have been forgotten by a compaction.
  layout.purges.key(layout.seqKey(1)),
  layout.meta.key('security'),
  layout.meta.key('revs_limit'),
  layout.meta.key('pouch_compaction'),
];

interface Accident {
  /** Chooses the entry. */
  readonly at: number;
  /** Removes it, or changes a bit of its value. */
  readonly bit: number | undefined;
}

const accident: fc.Arbitrary<Accident> = fc.record({
  at: fc.nat(),
  bit: fc.option(fc.nat(), { nil: undefined, freq: 1 }),
});

/** @returns the key of the entry */
async function damage(level: ClassicLevel, { at, bit }: Accident): Promise<string> {
  const keys = await level.keys().all();
  const key = keys[at % keys.length] ?? '';
  const value = await level.get<string, Buffer>(key, { valueEncoding: 'buffer' });
  if (bit === undefined || value === undefined || value.length === 0) {
    await level.del(key);
    return key;
  }
  const byte = (bit >> 3) % value.length;
  value.writeUInt8(value.readUInt8(byte) ^ (1 << (bit & 7)), byte);
  await level.put<string, Buffer>(key, value, { valueEncoding: 'buffer' });
  return key;
}

test('of a healthy database nothing is said, of one that lost an entry something is, and repairing helps', async () => {
  const root = await newFolder();
  let runs = 0;
  let damaged = 0;
  const check = async (steps: readonly Step[], chosen: Accident): Promise<void> => {
    const folder = join(root, String(runs++));
    await mkdir(folder);
    await live(folder, steps);
    expect(await verified(folder)).toEqual([]);
    const key = await tamper(folder, (level) => damage(level, chosen));
    const found = await verified(folder);
    // A bit may change a word into another.
    if (chosen.bit === undefined && !UNKNOWABLE.some((start) => key.startsWith(start))) {
      damaged++;
      expect(found.map(({ code }) => code)).not.toEqual([]);
    }
    if (found.some(({ code }) => code === 'record_damaged')) return;
    await repairDatabase({ ...placeOf(folder), level: LEVEL }, new Set(['entries']));
    const left = await verified(folder);
    expect(codesOf(left).filter((code) => kindOf(code as never).repair !== undefined)).toEqual([]);
    // Repairing adds nothing that was not wrong before.
    expect(codesOf(found)).toEqual(expect.arrayContaining(codesOf(left)));
  };
  await fc.assert(fc.asyncProperty(history, accident, check), { numRuns: 20, endOnFailure: true });
  expect(damaged).toBeGreaterThan(3);
});

test('of a database with an attachment that very many share nothing is said either, whatever becomes of them', async () => {
  const root = await newFolder();
  await within(root, (db) => share(db));
  expect(await verified(root)).toEqual([]);
  await within(root, async (db) => {
    const gone = SHARERS.slice(10).map((id) => ({ id, revs: [db.get(id)?.winner ?? ''], deleted: true }));
    await write(db, gone);
    await db.purge(new Map(SHARERS.slice(0, 3).map((id) => [id, [db.get(id)?.winner ?? '']])));
  });
  expect(await verified(root)).toEqual([]);
  await within(root, (db) => db.compact());
  expect(await verified(root)).toEqual([]);
  await within(root, (db) =>
    db.purge(new Map(SHARERS.slice(3, 10).map((id) => [id, [db.get(id)?.winner ?? '']]))),
  );
  expect(await verified(root)).toEqual([]);
});

test('of attachments that were under way when a server was killed only that is said, and no more after a start', async () => {
  const root = await newFolder();
  await within(root, async (db) => {
    await put(db, { _id: 'a' });
    const staging = db.stageAttachments();
    for (let n = 0; n < 5; n++) await staging.take(pieces(bytesOf(9000, n)), LIMITS);
    await staging.take(pieces(bytesOf(150_000, 9)), LIMITS);
  });
  expect(codesOf(await verified(root))).toEqual(['upload_unfinished']);
  await within(root, () => Promise.resolve());
  expect(await verified(root)).toEqual([]);
});

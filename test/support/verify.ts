import { join } from 'node:path';
import { ClassicLevel } from 'classic-level';
import fc from 'fast-check';
import { LevelDatabase } from '../../src/store/level-database.js';
import type { LevelOptions } from '../../src/store/level-host.js';
import type { StagedAttachment } from '../../src/store/attachments/stage.js';
import type { AttachmentEdit } from '../../src/store/types/edits.js';
import type { Finding } from '../../src/store/verify/findings.js';
import { verifyDatabase } from '../../src/store/verify/verify.js';
import { bytesOf, data, release, STUB, take, write } from './attachments.js';
import { QUICK } from './store.js';

/** Attachments with more bytes go into chunks. */
export const CHUNK_ABOVE = 10_000;

export const placeOf = (root: string): { name: string; folder: string; marker: string } => ({
  name: 'db',
  folder: join(root, 'db'),
  marker: join(root, 'db.copy'),
});

export const LEVEL = { ...QUICK, chunkAbove: CHUNK_ABOVE };

/** Works with the database of a folder, then closes it. */
export async function within<T>(
  root: string,
  work: (db: LevelDatabase) => Promise<T>,
  options: LevelOptions = LEVEL,
): Promise<T> {
  const { name, folder, marker } = placeOf(root);
  const db = await LevelDatabase.open(name, folder, marker, options);
  try {
    return await work(db);
  } finally {
    await db.close();
  }
}

/** Works with LevelDB's entries of a database that is closed. */
export async function tamper<T>(root: string, work: (level: ClassicLevel) => Promise<T>): Promise<T> {
  const level = new ClassicLevel(placeOf(root).folder, { createIfMissing: false });
  await level.open();
  try {
    return await work(level);
  } finally {
    await level.close();
  }
}

/** Everything that verifying a folder's database finds. */
export async function verified(root: string): Promise<Finding[]> {
  const findings: Finding[] = [];
  await verifyDatabase(placeOf(root), {
    report: (finding) => findings.push(finding),
    progress: () => undefined,
  });
  return findings;
}

/** What was found, each code once, sorted. */
export const codesOf = (findings: readonly Finding[]): string[] =>
  [...new Set(findings.map(({ code }) => code))].sort();

/** So long that few documents are too many for the entry of an attachment that they share. */
export const SHARERS = Array.from({ length: 40 }, (_, n) => `i${String(n)}`.padEnd(450, 'x'));

/** Gives all of them the same attachment. */
export async function share(db: LevelDatabase): Promise<void> {
  const icon = await take(db, bytesOf(400, 5));
  await write(
    db,
    SHARERS.map((id) => ({ id, attachments: { icon: data(icon) } })),
  );
  await release(icon);
}

const IDS = ['a', 'a@1', 'é', '"', '語', '_design/x'];

/** Bytes of attachments: none, few, those that compress, those that go into chunks of one and several. */
const CONTENTS = [
  Buffer.alloc(0),
  bytesOf(300),
  Buffer.from('0123456789'.repeat(600)),
  bytesOf(11_000, 2),
  bytesOf(150_000, 3),
];

/** One thing that is done to a database. */
const step = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.record({
      kind: fc.constant('edit' as const),
      id: fc.constantFrom(...IDS),
      replicated: fc.boolean(),
      deleted: fc.nat(5).map((n) => n === 0),
      /** Name → bytes; what is there already where there are none. */
      files: fc.dictionary(fc.constantFrom('f', 'g/é'), fc.option(fc.nat(CONTENTS.length - 1)), {
        maxKeys: 2,
      }),
      gzip: fc.boolean(),
      size: fc.constantFrom(10, 10, 10, 200_000),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('purge' as const), id: fc.constantFrom(...IDS) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('local' as const), id: fc.constantFrom(...IDS) }) },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constantFrom('compact' as const, 'reopen' as const) }),
  },
);

export type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

export const history = fc.array(step, { minLength: 5, maxLength: 40, size: 'max' });

/** Does to a database what a history says. */
export async function live(root: string, steps: readonly Step[]): Promise<void> {
  let number = 0;
  let at = 0;
  await within(root, (db) => db.setRevsLimit(4));
  while (at < steps.length) {
    await within(root, async (db) => {
      for (let one = steps[at++]; one !== undefined && one.kind !== 'reopen'; one = steps[at++]) {
        await perform(db, one, number++);
      }
    });
  }
}

async function perform(db: LevelDatabase, one: Step, number: number): Promise<void> {
  switch (one.kind) {
    case 'compact':
      await db.compact();
      break;
    case 'purge': {
      const record = db.get(one.id);
      await db.purge(new Map([[one.id, record === undefined ? ['1-x'] : [record.winner]]]));
      break;
    }
    case 'local':
      await db.putLocal(`_local/${one.id}`, undefined, `"n":${String(number)}`);
      break;
    case 'edit':
      await edit(db, one, number);
      break;
    case 'reopen':
  }
}

async function edit(db: LevelDatabase, one: Step & { kind: 'edit' }, number: number): Promise<void> {
  const record = db.get(one.id);
  const winner = record?.winner;
  const inherited = winner !== undefined && record !== undefined ? db.read(record, winner) : undefined;
  const attachments: Record<string, AttachmentEdit> = {};
  const staged: StagedAttachment[] = [];
  for (const [name, content] of Object.entries(one.files)) {
    if (content === null) {
      if (inherited?.includes(`${JSON.stringify(name)}:{"content_type"`) === true) attachments[name] = STUB;
      continue;
    }
    const gzip = one.gzip ? { gzip: { level: 8 } } : {};
    const taken = await take(db, CONTENTS[content] ?? Buffer.alloc(0), gzip);
    staged.push(taken);
    attachments[name] = data(taken, one.replicated ? 1 : undefined);
  }
  const body = `"n":${String(number)},"text":"${'x'.repeat(one.size)}"`;
  const { start, ids } = record?.revisions(record.winner) ?? { start: 0, ids: [] };
  const path = ids.map((hash, back) => `${String(start - back)}-${hash}`);
  const rev = `${String(start + 1)}-${String(number).padStart(32, '0')}`;
  // Beside the winner, so that it becomes a conflict.
  const sibling = `${String(Math.max(start, 1))}-${String(number).padStart(32, 'f')}`;
  const revs = one.replicated
    ? number % 2
      ? [rev, ...path]
      : [sibling, ...path.slice(1)]
    : path.slice(0, 1);
  const made = { id: one.id, revs, deleted: one.deleted, body, attachments };
  // What is refused because a stub is nowhere to be found is no less a part of a history.
  await write(db, [made], !one.replicated).catch(() => undefined);
  for (const taken of staged) await release(taken);
}

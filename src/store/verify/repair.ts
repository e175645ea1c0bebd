import { ClassicLevel } from 'classic-level';
import { checkTree } from '../../revtree/check.js';
import type { RevNode } from '../../revtree/tree.js';
import { largeBodyKey } from '../large-bodies.js';
import * as layout from '../layout.js';
import { LevelDatabase } from '../level-database.js';
import type { LevelOptions } from '../level-host.js';
import { noteTear } from '../opening.js';
import { pagesOf } from '../pages.js';
import { parseRecord, type StoredDocument } from '../record.js';
import * as keys from '../state.js';
import { PAGE, parseObject, READING } from './context.js';
import type { RepairPart } from './findings.js';
import { repairOwners } from './repair-owners.js';
import { isLimit } from './settings.js';

/** Where a database and its marker stand, and how it is opened. */
export interface RepairOptions {
  readonly name: string;
  readonly folder: string;
  readonly marker: string;
  readonly level: LevelOptions;
}

/**
 * Mends what can be made anew from the documents: indexes, counters, what records have worked out of their trees, who
 * has which attachment. No record, body or local document is dropped or changed otherwise.
 * @param parts with `files` LevelDB first puts together what it can read of its files, and the database counts as an older copy
 */
export async function repairDatabase(
  { name, folder, marker, level: options }: RepairOptions,
  parts: ReadonlySet<RepairPart>,
): Promise<void> {
  if (parts.has('files')) await ClassicLevel.repair(folder);
  const level = new ClassicLevel(folder, { createIfMissing: false });
  await level.open();
  try {
    if (parts.has('files')) await noteTear(level, true);
    await repairRecords(level);
    await repairOwners(level);
    await repairSettings(level);
    // Without its counters a database gets all its indexes anew when it is opened.
    await level.clear({ gte: largeBodyKey(0), lte: largeBodyKey(Number.MAX_SAFE_INTEGER) });
    // What views were made of may not be what is there now.
    await level.clear({ gte: layout.indexes.start, lt: layout.indexes.end });
    await level.del(layout.meta.key(keys.STATE), { sync: true });
  } finally {
    await level.close();
  }
  const database = await LevelDatabase.open(name, folder, marker, options);
  await database.close();
}

/** Puts right what records say of their winners, and of the bodies that are kept. */
async function repairRecords(level: ClassicLevel): Promise<void> {
  const entries = level.iterator({ ...READING, gte: layout.documents.start, lt: layout.documents.end });
  for await (const page of pagesOf(entries, PAGE)) {
    const batch = level.batch();
    for (const [key, text] of page) {
      const stored = parseObject(text);
      if (stored === undefined || typeof checkTree(stored.rev_tree) === 'string') continue;
      const record = parseRecord(text);
      const { winningRev = record.winner, deleted = record.deleted } = stored;
      const isRight = winningRev === record.winner && deleted === record.deleted;
      if (setStatus(record) || !isRight) batch.put(key, record.serialise());
    }
    await batch.write();
  }
}

/** Says in a record's tree which bodies are kept. @returns whether it said otherwise */
function setStatus({ tree, bodySeqs }: StoredDocument): boolean {
  let changed = false;
  const stack: { node: RevNode; generation: number }[] = tree.map(({ pos, ids }) => ({
    node: ids,
    generation: pos,
  }));
  for (let next = stack.pop(); next !== undefined; next = stack.pop()) {
    const [hash, state, children] = next.node;
    const status = bodySeqs.has(`${String(next.generation)}-${hash}`) ? 'available' : 'missing';
    changed ||= state.status !== status;
    state.status = status;
    for (const node of children) stack.push({ node, generation: next.generation + 1 });
  }
  return changed;
}

/** Settings that cannot be read go, and the defaults count again; a mark says what it says by being there. */
async function repairSettings(level: ClassicLevel): Promise<void> {
  const security = await level.get(layout.meta.key(keys.SECURITY));
  if (security !== undefined && parseObject(security) === undefined)
    await level.del(layout.meta.key(keys.SECURITY));
  for (const name of [keys.REVS_LIMIT, keys.PURGED_INFOS_LIMIT]) {
    const limit = await level.get(layout.meta.key(name));
    if (limit !== undefined && !isLimit(limit)) await level.del(layout.meta.key(name));
  }
  const partitioned = layout.meta.key(keys.PARTITIONED);
  if ((await level.get(partitioned)) !== undefined) await level.put(partitioned, 'true');
}

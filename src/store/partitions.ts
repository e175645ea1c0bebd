import type { ClassicLevel } from 'classic-level';
import { CouchError, illegalDocid } from '../errors.js';
import { readFacts } from './body-facts.js';
import type { LargeBodies } from './large-bodies.js';
import * as layout from './layout.js';
import { readRecord } from './line-record.js';
import { compareIds } from './order.js';
import { pagesOf } from './pages.js';
import type { StoredRecord } from './record.js';
import type { ListRange } from './types/listings.js';
import type { PartitionInfo } from './types/properties.js';

/** Documents read at a time. */
const PAGE = 500;

/** The partition of a document: what stands before the first colon of its id; empty where there is none. */
export const partitionOf = (id: string): string => id.slice(0, Math.max(0, id.indexOf(':')));

/** The ids of a partition's documents: from this one on, up to the second, exclusive. */
export const partitionBounds = (partition: string): readonly [start: string, end: string] => [
  `${partition}:`,
  // It follows the colon.
  `${partition};`,
];

/** The part of a range of ids that is within a partition. */
export function partitionRange(
  partition: string,
  { start, end, descending = false }: Pick<ListRange, 'start' | 'end' | 'descending'>,
): { readonly start: string; readonly end: string } {
  const [low, high] = partitionBounds(partition);
  const atLeast = (id = low): string => (compareIds(id, low) < 0 ? low : id);
  const atMost = (id = high): string => (compareIds(id, high) > 0 ? high : id);
  return descending
    ? { start: atMost(start), end: atLeast(end) }
    : { start: atLeast(start), end: atMost(end) };
}

/** @throws CouchError 400 for what is no partition's name */
export function requirePartition(name: unknown): asserts name is string {
  if (typeof name !== 'string') throw illegalPartition('Partition must be a string');
  if (name === '') throw illegalPartition('Partition must not be empty');
  if (name.startsWith('_')) throw illegalPartition('Partition must not start with an underscore');
  if (name.includes(':')) throw illegalPartition('Partition must not contain a colon');
}

const illegalPartition = (reason: string): CouchError => new CouchError(400, 'illegal_partition', reason);

/** Ids that begin so belong to no partition. */
const isExempt = (id: string): boolean => id.startsWith('_design/') || id.startsWith('_local/');

/** @throws CouchError 400 where a partitioned database cannot have a document of this id */
export function requireInPartition({ isPartitioned }: { readonly isPartitioned: boolean }, id: string): void {
  if (!isPartitioned || isExempt(id)) return;
  const colon = id.indexOf(':');
  if (colon < 0) throw illegalDocid('Doc id must be of form partition:id');
  requirePartition(id.slice(0, colon));
  const own = id.slice(colon + 1);
  if (own === '') throw illegalDocid('Document id must not be empty');
  if (own.startsWith('_')) throw illegalDocid('Only reserved document ids may start with underscore.');
}

/** The same of an id that is only looked up: some partition has to be named, unless none has such documents. @throws CouchError 400 */
export function requireColon({ isPartitioned }: { readonly isPartitioned: boolean }, id: string): void {
  if (isPartitioned && !id.includes(':') && !id.startsWith('_'))
    throw illegalDocid('Doc id must be of form partition:id');
}

/** Counts a partition by reading its documents, page by page. */
export async function countPartition(
  level: ClassicLevel,
  largeBodies: LargeBodies,
  partition: string,
): Promise<PartitionInfo> {
  const [start, end] = partitionBounds(partition);
  const { documents } = layout;
  const range = { gte: documents.key(start), lt: documents.key(end), highWaterMarkBytes: 1 << 20 };
  const info = { docCount: 0, deletedCount: 0, sizes: { external: 0, active: 0 } };
  for await (const page of pagesOf(level.values(range), PAGE)) {
    const seqs: number[] = [];
    for (const text of page) {
      const record = readRecord(text);
      if (record.deleted) info.deletedCount++;
      else info.docCount++;
      info.sizes.active += Buffer.byteLength(text);
      seqs.push(...leafSeqs(record));
    }
    for await (const bodies of readFacts(level, largeBodies, seqs, (seq) => seq)) {
      for (const { facts } of bodies) {
        info.sizes.external += facts.length + facts.attached;
        info.sizes.active += facts.attachments.reduce((sum, { length }) => sum + length, facts.length);
      }
    }
  }
  return info;
}

/** Where the bodies of its leaves are. */
const leafSeqs = (record: StoredRecord): readonly number[] =>
  record.leafRevs().flatMap((rev) => record.bodySeq(rev) ?? []);

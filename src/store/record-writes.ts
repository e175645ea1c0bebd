import type { Work } from '../json/turns.js';
import { blockOf } from './change-counts.js';
import { addTo } from './counters.js';
import type { Epochs } from './epochs.js';
import * as layout from './layout.js';
import type { LivingDelta } from './positions.js';
import type { StoredDocument } from './record.js';
import type { WrittenRow } from './types/changes.js';

/** A document that a commit has looked at or changed. */
export interface Touched {
  /** As it is on disk. */
  readonly before: StoredDocument | undefined;
  /** Bytes of its metadata on disk. */
  readonly bytes: number;
  /** As the edits so far leave it; `before` while there were none. */
  after: StoredDocument | undefined;
  /** Whether one of the edits did not come from the upstream. */
  isLocal: boolean;
}

/** What a commit does to records and to the feed. */
export interface RecordChanges {
  /** The rows that join the feed, oldest first. */
  readonly rows: readonly WrittenRow[];
  /** Block of sequences → by how much its count of rows changes. */
  readonly blocks: ReadonlyMap<number, number>;
  /** Ids of the documents whose records are put or deleted. */
  readonly records: readonly string[];
  /** Ids of those of them that change, and are not just compacted. */
  readonly changed: readonly string[];
  readonly living: readonly LivingDelta[];
  /** Living documents that come less those that go. */
  readonly docs: number;
  /** The same of deleted ones. */
  readonly deleted: number;
  /** Bytes of records that come less those that go. */
  readonly metadata: number;
}

/** Puts and deletes of the commit that is being put together. */
interface Batch {
  put(key: string, value: string): void;
  del(key: string): void;
}

/** Documents that are put before others may have their turn. */
const TURN = 16;

/** Puts the records that changed, and their rows of the feed. */
export function* putRecords(
  touched: ReadonlyMap<string, Touched>,
  epochs: Epochs,
  batch: Batch,
): Work<RecordChanges> {
  const rows: WrittenRow[] = [];
  const blocks = new Map<number, number>();
  const records: string[] = [];
  const changed: string[] = [];
  const living: LivingDelta[] = [];
  let docs = 0;
  let deleted = 0;
  let metadata = 0;
  let count = 0;
  for (const [id, { before, bytes, after }] of touched) {
    if (++count % TURN === 0) yield;
    if (after === before) continue;
    records.push(id);
    const put = putRecord(batch, id, after);
    metadata += put - bytes;
    if (after?.seq === before?.seq) continue;
    changed.push(id);
    if (before !== undefined) {
      if (before.deleted) deleted--;
      else docs--;
      batch.del(layout.changes.key(layout.seqKey(before.seq)));
      addTo(blocks, blockOf(before.seq), -1);
    }
    if (after !== undefined) {
      if (after.deleted) deleted++;
      else docs++;
      rows.push({ seq: after.seq, id, text: after.changeRow(epochs.token(after.seq)) });
      addTo(blocks, blockOf(after.seq), 1);
    }
    const by = Number(after?.deleted === false) - Number(before?.deleted === false);
    if (by !== 0) living.push({ id, by });
  }
  rows.sort((a, b) => a.seq - b.seq);
  for (const row of rows) batch.put(layout.changes.key(layout.seqKey(row.seq)), row.text);
  return { rows, blocks, records, changed, living, docs, deleted, metadata };
}

/** @returns its bytes */
function putRecord(batch: Batch, id: string, record: StoredDocument | undefined): number {
  const key = layout.documents.key(id);
  if (record === undefined) {
    batch.del(key);
    return 0;
  }
  const text = record.serialise();
  batch.put(key, text);
  return Buffer.byteLength(text);
}

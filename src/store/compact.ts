import type { ClassicLevel } from 'classic-level';
import { withoutBodies } from '../revtree/compact.js';
import { stemTree } from '../revtree/insert.js';
import { type BodyFacts, factsBySeq } from './body-facts.js';
import { markedAmong } from './conflicts/base-marks.js';
import { keptBodies } from './kept.js';
import type { LargeBodies } from './large-bodies.js';
import * as layout from './layout.js';
import { pagesOf } from './pages.js';
import { parseRecord, StoredDocument } from './record.js';
import { MAX_WEIGHT } from './writer.js';

/** Records looked at at a time. */
const PAGE = 200;

/** Bodies dropped in one commit, about: while that is put together nothing else runs. */
const PORTION = 1000;

/** A document without what a compaction does not keep. */
export interface CompactedRecord {
  readonly record: StoredDocument;
  /** Sequences whose bodies go. */
  readonly dropped: readonly number[];
}

/** What of a document a compaction is about. */
export interface CompactionScope {
  /** Revisions that are so many or more steps away from every leaf go. */
  readonly revsLimit: number;
  /** The bodies of these revisions alone may go; those of all when left out. */
  readonly revs?: ReadonlySet<string>;
}

/**
 * A record without the bodies of revisions that are no leaves, and without revisions that are too far from every leaf;
 * undefined where it has neither.
 * @param isBase whether the body at a sequence, which is no leaf's, is kept for merges
 */
export function compactRecord(
  record: StoredDocument,
  { revsLimit, revs }: CompactionScope,
  isBase: (seq: number) => boolean,
): CompactedRecord | undefined {
  const kept = keptBodies(record);
  const gone = new Map(
    [...record.bodySeqs].filter(([rev, seq]) => !kept.has(rev) && revs?.has(rev) !== false && !isBase(seq)),
  );
  const left = new Map([...record.bodySeqs].filter(([rev]) => !gone.has(rev)));
  const { tree, stemmed } = stemTree(record.tree, revsLimit);
  // Its body is kept: then the document waits for its next write.
  const isStemmed = stemmed.length > 0 && !stemmed.some((rev) => left.has(rev));
  if (gone.size === 0 && !isStemmed) return undefined;
  return {
    record: new StoredDocument(
      record.id,
      record.seq,
      withoutBodies(isStemmed ? tree : record.tree, new Set(gone.keys())),
      left,
    ),
    dropped: [...gone.values()],
  };
}

/** How far a compaction is, in what CouchDB calls phases. */
export interface CompactionProgress {
  readonly phase: 'document_copy' | 'file_compaction';
  readonly done: number;
  readonly total: number;
}

/** Documents to compact, and what is known of each body that goes by its sequence: read before, not during the commit. */
export interface CompactionPortion {
  readonly ids: readonly string[];
  readonly facts: ReadonlyMap<number, BodyFacts>;
  /** What it adds to a batch, in bytes. */
  readonly weight: number;
}

export interface CompactionContext {
  readonly level: ClassicLevel;
  readonly largeBodies: LargeBodies;
  readonly revsLimit: number;
  readonly signal: AbortSignal;
  /** Compacts some documents, in one commit. */
  readonly compactAll: (portion: CompactionPortion) => Promise<void>;
  /** Is told of documents that have been looked at. */
  readonly onDocuments: (ids: readonly string[]) => void;
}

/** Drops what a compaction does not keep. Each document is looked at once, in the order of the ids. */
export async function compactDocuments(context: CompactionContext): Promise<void> {
  const { level, largeBodies, revsLimit, signal, compactAll, onDocuments } = context;
  const texts = level.values({
    gte: layout.documents.start,
    lt: layout.documents.end,
    highWaterMarkBytes: 1 << 20,
  });
  for await (const page of pagesOf(texts, PAGE)) {
    const records = page.map(parseRecord);
    const isBase = await basesAmong(level, records);
    const compact = (record: StoredDocument): CompactedRecord | undefined =>
      compactRecord(record, { revsLimit }, isBase);
    for (const portion of portionsOf(records, page, compact)) {
      await compactAll({ ...portion, facts: await factsBySeq(level, largeBodies, portion.seqs) });
      if (signal.aborted) return;
    }
    onDocuments(records.map(({ id }) => id));
    if (signal.aborted) return;
  }
}

/** Reads which bodies of some documents are kept for merges. */
const basesAmong = (
  level: ClassicLevel,
  records: readonly StoredDocument[],
): Promise<(seq: number) => boolean> =>
  markedAmong(
    level,
    records.flatMap(({ bodySeqs }) => (bodySeqs.size > 1 ? [...bodySeqs.values()] : [])),
  );

interface Portion {
  readonly ids: string[];
  readonly seqs: number[];
  weight: number;
}

/** The documents among these that have something to drop. */
function* portionsOf(
  records: readonly StoredDocument[],
  texts: readonly string[],
  compact: (record: StoredDocument) => CompactedRecord | undefined,
): Generator<Portion, undefined> {
  let portion: Portion = { ids: [], seqs: [], weight: 0 };
  for (const [at, record] of records.entries()) {
    const compacted = compact(record);
    if (compacted === undefined) continue;
    portion.ids.push(record.id);
    portion.seqs.push(...compacted.dropped);
    portion.weight += (texts[at]?.length ?? 0) + 64 * compacted.dropped.length;
    if (portion.seqs.length < PORTION && portion.weight < MAX_WEIGHT) continue;
    yield portion;
    portion = { ids: [], seqs: [], weight: 0 };
  }
  if (portion.ids.length > 0) yield portion;
}

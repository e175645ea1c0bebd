import type { ClassicLevel } from 'classic-level';
import { withoutBodies } from '../revtree/compact.js';
import { type BodyFacts, factsOf } from './body-facts.js';
import { BodyPages } from './body-pages.js';
import type { LargeBodies } from './large-bodies.js';
import * as layout from './layout.js';
import { pagesOf } from './pages.js';
import { parseRecord, StoredDocument } from './record.js';

/** Records looked at at a time. */
const PAGE = 200;

/** Bodies dropped in one commit, about: while that is put together nothing else runs. */
const PORTION = 1000;

/** Sequences whose bodies LevelDB tidies at a time: a database that is to be closed waits no longer than for one. */
const RANGE = 100_000;

/** A record without the bodies of revisions that are no leaves; undefined where there are none to drop. */
export function compactRecord(
  record: StoredDocument,
): { readonly record: StoredDocument; readonly dropped: readonly number[] } | undefined {
  const leaves = new Set(record.leaves().map(({ rev }) => rev));
  const bodySeqs = new Map(record.bodySeqs);
  const gone = new Set<string>();
  const dropped: number[] = [];
  for (const [rev, seq] of record.bodySeqs) {
    // PouchDB's feed finds a document by the body at its last change, whichever revision that was of.
    if (leaves.has(rev) || seq === record.seq) continue;
    gone.add(rev);
    dropped.push(seq);
    bodySeqs.delete(rev);
  }
  if (dropped.length === 0) return undefined;
  return {
    record: new StoredDocument(record.id, record.seq, withoutBodies(record.tree, gone), bodySeqs),
    dropped,
  };
}

/** Documents to compact, and what is known of each body that goes by its sequence: read before, not during the commit. */
export interface CompactionPortion {
  readonly ids: readonly string[];
  readonly facts: ReadonlyMap<number, BodyFacts>;
}

/**
 * Drops the bodies of all revisions that are no leaves, and gives their space back.
 * @param compactAll does so for some documents, in one commit
 */
export async function compactDatabase(
  level: ClassicLevel,
  compactAll: (portion: CompactionPortion) => Promise<void>,
  largeBodies: LargeBodies,
  updateSeq: number,
  signal: AbortSignal,
): Promise<void> {
  const bodies = new BodyPages<number>({
    bodyBound: (seq) => largeBodies.bound(seq),
    readMany: (seqs) => level.getMany(seqs.map((seq) => layout.bodies.key(layout.seqKey(seq)))),
  });
  const texts = level.values({
    gte: layout.documents.start,
    lt: layout.documents.end,
    highWaterMarkBytes: 1 << 20,
  });
  for await (const page of pagesOf(texts, PAGE)) {
    for (const { ids, seqs } of portionsOf(page)) {
      await compactAll({ ids, facts: await readFacts(bodies, seqs) });
      if (signal.aborted) return;
    }
    if (signal.aborted) return;
  }
  for (let seq = 0; seq <= updateSeq && !signal.aborted; seq += RANGE) {
    await level.compactRange(
      layout.bodies.key(layout.seqKey(seq)),
      layout.bodies.key(layout.seqKey(seq + RANGE)),
    );
  }
}

/** The documents among these records that have bodies to drop. */
function* portionsOf(texts: readonly string[]): Generator<{ ids: string[]; seqs: number[] }> {
  let portion: { ids: string[]; seqs: number[] } = { ids: [], seqs: [] };
  for (const text of texts) {
    const record = parseRecord(text);
    const dropped = compactRecord(record)?.dropped ?? [];
    if (dropped.length === 0) continue;
    portion.ids.push(record.id);
    portion.seqs.push(...dropped);
    if (portion.seqs.length < PORTION) continue;
    yield portion;
    portion = { ids: [], seqs: [] };
  }
  if (portion.ids.length > 0) yield portion;
}

async function readFacts(
  bodies: BodyPages<number>,
  seqs: readonly number[],
): Promise<ReadonlyMap<number, BodyFacts>> {
  const facts = new Map<number, BodyFacts>();
  for await (const page of bodies.pages(seqs, (seq) => seq)) {
    for (const { item, text } of page) facts.set(item, factsOf(text));
  }
  return facts;
}

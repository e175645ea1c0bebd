import type { ClassicLevel } from 'classic-level';
import { type AttachmentForm, type BodyFacts, factsOf, readFacts } from './body-facts.js';
import type { BodyWrites } from './body-writes.js';
import type { BaseBody } from './conflicts/base-entry.js';
import type { HeldChange } from './conflicts/journal-writes.js';
import type { LargeBodies } from './large-bodies.js';
import * as layout from './layout.js';
import type { StoredDocument } from './record.js';

/** A body that a compaction keeps. */
export interface KeptBody {
  readonly seq: number;
  /** Of a leaf: only those count as what the database holds. */
  readonly isLeaf: boolean;
}

/** The revisions of a document whose bodies a compaction keeps. */
export const keptBodies = (record: StoredDocument | undefined): ReadonlyMap<string, KeptBody> =>
  new Map(keptRevisions(record).map((kept) => [kept.rev, kept]));

interface KeptRevision extends KeptBody {
  readonly rev: string;
}

function keptRevisions(record: StoredDocument | undefined): readonly KeptRevision[] {
  const kept: KeptRevision[] = [];
  if (record === undefined) return kept;
  let last = false;
  for (const rev of record.leafRevs()) {
    const seq = record.bodySeqs.get(rev);
    if (seq === undefined) continue;
    kept.push({ rev, seq, isLeaf: true });
    last ||= seq === record.seq;
  }
  if (last) return kept;
  // PouchDB's feed finds a document by the body at its last change, whichever revision that was of.
  for (const [rev, seq] of record.bodySeqs) if (seq === record.seq) kept.push({ rev, seq, isLeaf: false });
  return kept;
}

/** How a body joins those that a compaction keeps, or leaves them. */
export interface KeptChange {
  readonly seq: number;
  /** 1 where it joins, -1 where it leaves, 0 where only its being a leaf changes. */
  readonly by: number;
  /** The same of leaves alone. */
  readonly leavesBy: number;
  /** 1 where it is kept for merges from now on, -1 where it is no more; left out where that stays as it is. */
  readonly basesBy?: 1 | -1;
}

/**
 * What a change of a document does to the bodies that a compaction keeps. What stands at a sequence never changes; a
 * revision that was stemmed may come again, with another body.
 */
export function keptChanges(
  before: StoredDocument | undefined,
  after: StoredDocument | undefined,
): readonly KeptChange[] {
  if (before === undefined)
    return keptRevisions(after).map(({ seq, isLeaf }) => ({ seq, by: 1, leavesBy: Number(isLeaf) }));
  const [was, is] = [keptRevisions(before), keptRevisions(after)];
  const [then, now] = [finder(was), finder(is)];
  const changes: KeptChange[] = [];
  for (const { seq, isLeaf } of was) {
    const kept = now(seq);
    if (kept === undefined) changes.push({ seq, by: -1, leavesBy: -Number(isLeaf) });
    else if (kept.isLeaf !== isLeaf) changes.push({ seq, by: 0, leavesBy: isLeaf ? -1 : 1 });
  }
  for (const { seq, isLeaf } of is) {
    if (then(seq) === undefined) changes.push({ seq, by: 1, leavesBy: Number(isLeaf) });
  }
  return changes;
}

/** Among so many bodies one is found without a map: mostly there is one. */
const FEW = 8;

function finder(kept: readonly KeptBody[]): (seq: number) => KeptBody | undefined {
  if (kept.length <= FEW) return (seq) => kept.find((one) => one.seq === seq);
  const bySeq = new Map(kept.map((one) => [one.seq, one]));
  return (seq) => bySeq.get(seq);
}

/** Puts and deletes of the commit that is being put together. */
interface Batch {
  put(key: string, value: string): void;
  del(key: string): void;
}

/**
 * Adds up what joins the bodies that a compaction keeps, and what leaves them: the bodies themselves, and the
 * attachments that at least one of them names.
 */
export class KeptSizes {
  /** Bytes of kept bodies that came less those that went. */
  bodies = 0;
  /** The same of leaves, with each one's attachments uncompressed. */
  external = 0;
  /** Digest → its length, and by how many more bodies it is named. */
  readonly #uses = new Map<string, { readonly length: number; by: number }>();

  note(facts: BodyFacts, { by, leavesBy }: KeptChange): void {
    this.bodies += by * facts.length;
    this.external += leavesBy * (facts.length + facts.attached);
    if (by !== 0) this.hold(facts.attachments, by);
  }

  /** Attachments are named by so many more bodies, or leaves that the journal has. */
  hold(forms: readonly AttachmentForm[], by: number): void {
    for (const { digest, length } of forms) {
      const use = this.#uses.get(digest);
      if (use === undefined) this.#uses.set(digest, { length, by });
      else use.by += by;
    }
  }

  /** Writes how many bodies name each attachment now. @returns bytes of attachments that are kept now less those that were */
  async finish(level: ClassicLevel, batch: Batch): Promise<number> {
    const changed = [...this.#uses].filter(([, { by }]) => by !== 0);
    if (changed.length === 0) return 0;
    const keys = changed.map(([digest]) => layout.attachmentUses.key(digest));
    const before = await level.getMany(keys);
    let bytes = 0;
    changed.forEach(([digest, { length, by }], at) => {
      const key = layout.attachmentUses.key(digest);
      const was = Number(before[at] ?? 0);
      const is = was + by;
      if (is > 0) batch.put(key, String(is));
      else batch.del(key);
      bytes += length * (Number(is > 0) - Number(was > 0));
    });
    return bytes;
  }
}

/** So many bodies are read without waking a thread for them, if none is large. */
const AT_ONCE = 4;

/** By how much the bytes change that a compaction keeps, and those that clients could read. */
export interface ActiveChange {
  readonly active: number;
  readonly external: number;
}

/**
 * What a commit does to the bodies and attachments that a compaction keeps.
 * @param bodies those that the commit puts; others are read
 * @param held what becomes of the attachments that the journal has
 * @param onBase is told of each body that is kept for merges from now on, or no more
 */
export async function activeChange(
  { level, largeBodies }: { readonly level: ClassicLevel; readonly largeBodies: LargeBodies },
  changes: readonly KeptChange[],
  bodies: BodyWrites,
  batch: Batch,
  held: readonly HeldChange[],
  onBase: (base: BaseBody, by: 1 | -1) => void,
): Promise<ActiveChange> {
  const sizes = new KeptSizes();
  for (const { forms, by } of held) sizes.hold(forms, by);
  const note = (facts: BodyFacts, change: KeptChange): void => {
    sizes.note(facts, change);
    if (change.basesBy !== undefined) onBase([change.seq, facts.length + facts.attached], change.basesBy);
  };
  const unread: KeptChange[] = [];
  for (const change of changes) {
    const facts = bodies.factsAt(change.seq);
    if (facts === undefined) unread.push(change);
    else note(facts, change);
  }
  if (unread.length <= AT_ONCE && !unread.some(({ seq }) => largeBodies.has(seq))) {
    for (const change of unread) note(factsOf(bodies.at(change.seq)), change);
  } else {
    for await (const page of readFacts(level, largeBodies, unread, ({ seq }) => seq)) {
      for (const { item, facts } of page) note(facts, item);
    }
  }
  const attachments = await sizes.finish(level, batch);
  return { active: sizes.bodies + attachments, external: sizes.external };
}

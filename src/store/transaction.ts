import type { ClassicLevel } from 'classic-level';
import { applyEdit } from './apply.js';
import { BLOCK, blockOf, type ChangeCounts } from './change-counts.js';
import { compactRecord } from './compact.js';
import { storedText } from './document.js';
import type { Epochs } from './epochs.js';
import { LARGE, type LargeBodies, largeBodyKey } from './large-bodies.js';
import * as layout from './layout.js';
import type { LivingDelta } from './positions.js';
import { parseRecord, type StoredDocument } from './record.js';
import { STATE, type State } from './state.js';
import type { ChangeRow, DocumentEdit } from './types.js';

/** A document that the transaction has looked at or changed. */
interface Touched {
  /** As it is on disk. */
  readonly before: StoredDocument | undefined;
  /** As the edits so far leave it; `before` while there were none. */
  after: StoredDocument | undefined;
}

/** The parts of an open database that a transaction works with. */
export interface TransactionContext {
  readonly level: ClassicLevel;
  readonly state: State;
  readonly epochs: Epochs;
  readonly counts: ChangeCounts;
  readonly largeBodies: LargeBodies;
  readonly revsLimit: number;
}

/**
 * Everything that one group commit writes. Nothing is visible before `commit` resolves: bodies, metadata, counters and
 * the changes index go in one batch.
 */
export class Transaction {
  readonly #touched = new Map<string, Touched>();
  /** Sequence → body, for those that this transaction puts. */
  readonly #bodies = new Map<number, string>();
  /** Sequence → length, for the large ones that this transaction puts. */
  readonly #largeBodies = new Map<number, number>();
  readonly #batch;
  #updateSeq: number;
  #bodyBytes: number;
  #operations = 0;

  constructor(private readonly context: TransactionContext) {
    this.#batch = context.level.batch();
    this.#updateSeq = context.state.updateSeq;
    this.#bodyBytes = context.state.bodyBytes;
  }

  /** Whether anything would be written. */
  get empty(): boolean {
    return this.#operations === 0;
  }

  get changesDocuments(): boolean {
    return this.#updateSeq !== this.context.state.updateSeq;
  }

  /** Reads what `edit` will need, in one look-up. */
  async load(ids: readonly string[]): Promise<void> {
    const wanted = ids.filter((id) => !this.#touched.has(id));
    if (wanted.length === 0) return;
    const texts = await this.context.level.getMany(wanted.map((id) => layout.documents.key(id)));
    wanted.forEach((id, at) => {
      const text = texts[at];
      const before = text === undefined ? undefined : parseRecord(text);
      this.#touched.set(id, { before, after: before });
    });
  }

  /** @returns the revision that stands now, or undefined for a conflict. */
  edit(edit: DocumentEdit, newEdits: boolean): string | undefined {
    const touched = this.#touched.get(edit.id);
    if (touched === undefined) throw new Error('edit of a document that was not loaded');
    const seq = this.#updateSeq + 1;
    const applied = applyEdit(touched.after, edit, { newEdits, revsLimit: this.context.revsLimit, seq });
    if (applied.kind === 'conflict') return undefined;
    if (applied.kind === 'unchanged') return applied.rev;
    this.#updateSeq = seq;
    const { movedFrom } = applied;
    const kept = movedFrom === undefined ? undefined : this.#bodyAt(movedFrom);
    if (movedFrom !== undefined) this.#dropBody(movedFrom);
    for (const gone of applied.dropped) this.#dropBody(gone);
    this.#putBody(seq, kept ?? storedText(edit.id, applied.rev, edit.deleted, edit.body));
    touched.after = applied.record;
    return applied.rev;
  }

  /**
   * Drops the bodies of a document's revisions that are no leaves; its place in the feed stays.
   * @param lengths of bodies by their sequences, as far as they are known; the others are read
   */
  compact(id: string, lengths: ReadonlyMap<number, number>): void {
    const touched = this.#touched.get(id);
    const compacted = touched?.after === undefined ? undefined : compactRecord(touched.after);
    if (touched === undefined || compacted === undefined) return;
    for (const seq of compacted.dropped) this.#dropBody(seq, lengths.get(seq));
    touched.after = compacted.record;
  }

  #bodyAt(seq: number): string | undefined {
    return this.#bodies.get(seq) ?? this.context.level.getSync(layout.bodies.key(layout.seqKey(seq)));
  }

  #putBody(seq: number, text: string): void {
    this.#bodyBytes += text.length;
    this.#bodies.set(seq, text);
    this.put(layout.bodies.key(layout.seqKey(seq)), text);
    if (text.length <= LARGE) return;
    this.#largeBodies.set(seq, text.length);
    this.put(largeBodyKey(seq), String(text.length));
  }

  #dropBody(seq: number, length = this.#bodyAt(seq)?.length ?? 0): void {
    this.#bodyBytes -= length;
    this.#bodies.delete(seq);
    this.del(layout.bodies.key(layout.seqKey(seq)));
    if (this.#largeBodies.has(seq) || this.context.largeBodies.has(seq)) this.del(largeBodyKey(seq));
  }

  put(key: string, value: string): void {
    this.#operations++;
    this.#batch.put(key, value);
  }

  del(key: string): void {
    this.#operations++;
    this.#batch.del(key);
  }

  /** Writes and syncs. Resolves with the new counters and the rows that joined the feed, oldest first. */
  async commit(sync: boolean): Promise<Committed> {
    const committed = this.#finish();
    await this.#batch.write({ sync });
    return committed;
  }

  /** Gives up; nothing was written. */
  async abandon(): Promise<void> {
    await this.#batch.close();
  }

  #finish(): Committed {
    const blocks = new Map<number, number>();
    const rows: ChangeRow[] = [];
    const changed: string[] = [];
    const living: LivingDelta[] = [];
    let { docCount, deletedCount } = this.context.state;
    for (const [id, { before, after }] of this.#touched) {
      if (after === undefined || after === before) continue;
      this.put(layout.documents.key(id), after.serialise());
      if (after.seq === before?.seq) continue;
      changed.push(id);
      if (before !== undefined) {
        if (before.deleted) deletedCount--;
        else docCount--;
        this.del(layout.changes.key(layout.seqKey(before.seq)));
        addTo(blocks, blockOf(before.seq), -1);
      }
      if (after.deleted) deletedCount++;
      else docCount++;
      const by = Number(!after.deleted) - Number(before?.deleted === false);
      if (by !== 0) living.push({ id, by });
      rows.push({ seq: after.seq, id, text: after.changeRow(this.context.epochs.token(after.seq)) });
      addTo(blocks, blockOf(after.seq), 1);
    }
    rows.sort((a, b) => a.seq - b.seq);
    for (const row of rows) this.put(layout.changes.key(layout.seqKey(row.seq)), row.text);
    const state = { updateSeq: this.#updateSeq, docCount, deletedCount, bodyBytes: this.#bodyBytes };
    if (this.changesDocuments || state.bodyBytes !== this.context.state.bodyBytes)
      this.#putCounters(state, blocks);
    return { state, rows, blocks, changed, living, largeBodies: this.#largeBodies };
  }

  #putCounters(state: State, blocks: ReadonlyMap<number, number>): void {
    for (const [block, delta] of blocks) {
      this.put(
        layout.changeCounts.key(layout.seqKey(block * BLOCK)),
        String(this.context.counts.get(block) + delta),
      );
    }
    this.put(layout.meta.key(STATE), JSON.stringify(state));
    this.put(layout.pouchMeta.key(layout.POUCH_UPDATE_SEQ), String(state.updateSeq));
    this.put(layout.pouchMeta.key(layout.POUCH_DOC_COUNT), String(state.docCount));
  }
}

/** What a commit changed. */
export interface Committed {
  readonly state: State;
  readonly rows: readonly ChangeRow[];
  /** Block of sequences → by how much its count of rows changed. */
  readonly blocks: ReadonlyMap<number, number>;
  /** Ids of the documents that changed. */
  readonly changed: readonly string[];
  readonly living: readonly LivingDelta[];
  /** Sequence → length of each large body that was put. */
  readonly largeBodies: ReadonlyMap<number, number>;
}

function addTo(counts: Map<number, number>, block: number, by: number): void {
  counts.set(block, (counts.get(block) ?? 0) + by);
}

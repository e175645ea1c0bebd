import type { ClassicLevel } from 'classic-level';
import { missingStub } from '../errors.js';
import { inTurns, type Work } from '../json/turns.js';
import { purge } from '../revtree/purge.js';
import type { RevTree } from '../revtree/tree.js';
import { summaryOf } from './attachments/resolve.js';
import type { Holds } from './attachments/holds.js';
import type { Holder, Staged } from './attachments/uploads.js';
import { applyEdit } from './apply.js';
import type { BodyFacts } from './body-facts.js';
import type { ChangeCounts } from './change-counts.js';
import { type CompactionScope, compactRecord } from './compact.js';
import { Contents } from './contents.js';
import { putCounters } from './counters.js';
import type { Epochs } from './epochs.js';
import { type ActiveChange, activeChange } from './kept.js';
import type { LargeBodies } from './large-bodies.js';
import { BaseWrites } from './conflicts/base-writes.js';
import { JournalWrites } from './conflicts/journal-writes.js';
import type { Tally } from './conflicts/tally.js';
import type { BaseLimits } from './conflicts/types.js';
import { ConflictWrites } from './conflicts/writes.js';
import * as layout from './layout.js';
import { LocalWrites } from './local-writes.js';
import type { RecentDocuments } from './recent.js';
import { parseRecord, StoredDocument } from './record.js';
import { putRecords, type RecordChanges, type Touched } from './record-writes.js';
import type { State } from './state.js';
import type { DocumentEdit, Origin } from './types/edits.js';
import type { UnsentState } from './unsent-state.js';
import { UnsentWrites } from './unsent-writes.js';
import type { WriteGate } from './write-gate.js';

/** The parts of an open database that a transaction works with. */
export interface TransactionContext {
  readonly level: ClassicLevel;
  readonly gate: WriteGate;
  readonly recent: RecentDocuments;
  readonly state: State;
  readonly epochs: Epochs;
  readonly counts: ChangeCounts;
  readonly largeBodies: LargeBodies;
  readonly holds: Holds;
  readonly revsLimit: number;
  /** Undefined where no account is kept of what the upstream has not got. */
  readonly unsent: UnsentState | undefined;
  readonly journal: Tally;
  readonly bases: Tally;
  /** Undefined where no bodies are kept for merges from now on. */
  readonly baseLimits: BaseLimits | undefined;
}

/** How an edit is written. */
export interface EditOptions {
  /** This database's own when left out. */
  readonly revsLimit?: number | undefined;
  /** `local` when left out. */
  readonly origin?: Origin | undefined;
}

/**
 * Everything that one group commit writes. Nothing is visible before `commit` resolves: bodies, metadata, counters and
 * the changes index go in one batch.
 */
export class Transaction implements Holder {
  readonly locals: LocalWrites;
  readonly unsent: UnsentWrites;
  readonly conflicts: ConflictWrites;
  readonly journal: JournalWrites;
  readonly bases: BaseWrites;
  readonly #touched = new Map<string, Touched>();
  readonly #contents: Contents;
  readonly #batch;
  #updateSeq: number;
  #purgeSeq: number;
  /** Bytes whose space LevelDB gave back. */
  #tidied = 0;
  #operations = 0;
  #sizes: ActiveChange = { active: 0, external: 0 };
  #unsent: UnsentState | undefined;
  #journal: Tally;
  #bases: Tally;

  constructor(private readonly context: TransactionContext) {
    this.#batch = context.level.batch();
    this.locals = new LocalWrites(context.level, this);
    this.unsent = new UnsentWrites(context);
    this.conflicts = new ConflictWrites(context);
    this.bases = new BaseWrites(context, this);
    this.#contents = new Contents(context, this.bases, this);
    this.journal = new JournalWrites(context, this, this.#contents.refs);
    this.#journal = context.journal;
    this.#bases = context.bases;
    this.#updateSeq = context.state.updateSeq;
    this.#purgeSeq = context.state.purgeSeq;
  }

  /** Whether anything would be written. */
  get empty(): boolean {
    return this.#operations === 0 && this.conflicts.empty && this.journal.empty;
  }

  get changesDocuments(): boolean {
    return this.#updateSeq !== this.context.state.updateSeq;
  }

  /** Reads what `edit` will need, as far as it is not known, in one look-up. */
  async load(ids: readonly string[]): Promise<void> {
    const unread: string[] = [];
    for (const id of ids) {
      if (this.#touched.has(id)) continue;
      const known = this.context.recent.branched(id);
      if (known === undefined) unread.push(id);
      else this.#touch(id, known.record, known.bytes);
    }
    if (unread.length === 0) return;
    const texts = await this.#read(unread.map((id) => layout.documents.key(id)));
    for (const [at, id] of unread.entries()) {
      const text = texts[at];
      if (text === undefined) this.#touch(id, undefined, 0);
      else this.#touch(id, parseRecord(text), Buffer.byteLength(text));
    }
  }

  #touch(id: string, before: StoredDocument | undefined, bytes: number): void {
    this.#touched.set(id, { before, bytes, after: before, isLocal: false });
  }

  /** A few are read without waking a thread for them: a single write waits for nothing but its sync. */
  #read(keys: string[]): Promise<(string | undefined)[]> | (string | undefined)[] {
    const { level } = this.context;
    return keys.length <= FEW ? keys.map((key) => level.getSync(key)) : level.getMany(keys);
  }

  /** Reads what the attachments of edits will need; there may be thousands. Their documents must be loaded. */
  loadAttachments(edits: readonly DocumentEdit[], newEdits: boolean): Promise<void> {
    return this.#contents.load(edits, newEdits, (id) => this.#touched.get(id)?.after);
  }

  /** A document that was loaded, as the edits so far leave it. */
  record(id: string): StoredDocument | undefined {
    return this.#touchedOf(id).after;
  }

  #touchedOf(id: string): Touched {
    const touched = this.#touched.get(id);
    if (touched === undefined) throw new Error('a document that was not loaded');
    return touched;
  }

  /**
   * @returns the revision that stands now, or undefined for a conflict.
   * @throws CouchError 412 for an attachment that is not there, 503 for one whose bytes were lost on the way; nothing
   * was done then
   */
  edit(edit: DocumentEdit, newEdits: boolean, options: EditOptions = {}): string | undefined {
    const { revsLimit = this.context.revsLimit, origin } = options;
    const touched = this.#touchedOf(edit.id);
    const seq = this.#updateSeq + 1;
    const resolved = this.#contents.resolve(edit, touched.after, newEdits);
    const { attachments } = resolved;
    const applied = applyEdit(touched.after, edit, {
      newEdits,
      revsLimit,
      seq,
      attachments: summaryOf(attachments),
    });
    if (applied.kind === 'conflict') return undefined;
    if (applied.kind === 'unchanged') return applied.rev;
    const { movedFrom } = applied;
    if (movedFrom === undefined) this.#contents.requireBytes(edit.id, resolved);
    this.#updateSeq = seq;
    for (const gone of applied.dropped) this.#contents.drop(edit.id, gone);
    if (movedFrom === undefined) this.#contents.put(seq, edit, applied.rev, attachments);
    else this.#contents.move(movedFrom, seq);
    touched.after = applied.record;
    touched.isLocal ||= origin !== 'upstream';
    return applied.rev;
  }

  /**
   * An attachment that is not there spoils the edit.
   * @throws CouchError 412
   */
  requireAttachments(edit: DocumentEdit, newEdits: boolean): void {
    const record = this.#touched.get(edit.id)?.after;
    const { missing } = this.#contents.resolve(edit, record, newEdits);
    if (missing === undefined) return;
    const { revsLimit } = this.context;
    const applied = applyEdit(record, edit, {
      newEdits,
      revsLimit,
      seq: this.#updateSeq + 1,
      attachments: '',
    });
    // What is refused anyway, or is there already, needs none.
    if (applied.kind === 'written' && applied.movedFrom === undefined) throw missingStub(edit.id, missing);
  }

  /**
   * Takes leaves of a document away, as if they had never been; what is left gets a new place in the feed. The request
   * is remembered, whether or not there is anything to take away, and moves the update sequence, as in CouchDB.
   * @param facts about bodies by their sequences, as far as they are known; the others are read
   * @returns the leaves that went
   */
  purge(id: string, revs: readonly string[], facts: ReadonlyMap<number, BodyFacts>): readonly string[] {
    const touched = this.#touchedOf(id);
    const seq = ++this.#updateSeq;
    this.put(layout.purges.key(layout.seqKey(++this.#purgeSeq)), JSON.stringify({ id, revs }));
    const record = touched.after;
    if (record === undefined) return [];
    const { tree, leaves, gone } = purge(record.tree, new Set(revs));
    if (leaves.length === 0) return leaves;
    this.journal.purge(id, gone);
    const bodySeqs = new Map(record.bodySeqs);
    for (const rev of gone) {
      const at = bodySeqs.get(rev);
      if (at !== undefined) this.#contents.drop(id, at, facts.get(at));
      bodySeqs.delete(rev);
    }
    touched.after = tree.length === 0 ? undefined : this.#relabelled(id, seq, tree, bodySeqs);
    return leaves;
  }

  /** PouchDB's feed finds a document by the body at its last change: that of its winner. */
  #relabelled(id: string, seq: number, tree: RevTree, bodySeqs: Map<string, number>): StoredDocument {
    const { winner } = new StoredDocument(id, seq, tree, bodySeqs);
    const from = bodySeqs.get(winner);
    if (from !== undefined) {
      this.#contents.move(from, seq);
      bodySeqs.set(winner, seq);
    }
    return new StoredDocument(id, seq, tree, bodySeqs);
  }

  /** Forgets the oldest purges. */
  forgetPurges(numbers: readonly number[]): void {
    for (const number of numbers) this.del(layout.purges.key(layout.seqKey(number)));
  }

  /**
   * Takes away what a compaction does not keep of a document; its place in the feed stays.
   * @param facts about bodies by their sequences, as far as they are known; the others are read
   */
  compact(
    id: string,
    facts: ReadonlyMap<number, BodyFacts>,
    scope: CompactionScope = { revsLimit: this.context.revsLimit },
  ): void {
    const touched = this.#touchedOf(id);
    const isBase = (seq: number): boolean => this.bases.keeps(touched.before, seq);
    const compacted = touched.after && compactRecord(touched.after, scope, isBase);
    if (compacted === undefined) return;
    for (const seq of compacted.dropped) this.#contents.drop(id, seq, facts.get(seq));
    touched.after = compacted.record;
  }

  /** LevelDB was told to give back the space of what had been dropped by then. */
  tidied(bytes: number): void {
    this.#operations++;
    this.#tidied += bytes;
  }

  hold(mark: string, staged: readonly Staged[]): void {
    this.#contents.refs.hold(this, mark, staged);
  }

  letGo(mark: string, digests: readonly string[]): void {
    this.#contents.refs.letGo(this, mark, digests);
  }

  put(key: string, value: string): void {
    this.#operations++;
    this.#batch.put(key, value);
  }

  putBytes(key: string, value: Buffer): void {
    this.#operations++;
    this.#batch.put(key, value, { keyEncoding: 'utf8', valueEncoding: 'buffer' });
  }

  del(key: string): void {
    this.#operations++;
    this.#batch.del(key);
  }

  /**
   * Counts what becomes of the sizes, and of what waits for the upstream; to be called when everything is put. Reads
   * bodies that are replaced.
   */
  async measure(): Promise<void> {
    this.#unsent = await this.unsent.finish(this.#touched.values(), this.#updateSeq, this);
    const { journal, held, facts } = await this.journal.finish();
    this.#journal = journal;
    this.#contents.bodies.know(facts);
    const changes = await this.bases.changes(this.#touched.values());
    this.#sizes = await activeChange(this.context, changes, this.#contents.bodies, this, held, (base, by) => {
      this.bases.count(base, by);
    });
    this.#bases = this.bases.finish();
  }

  /** Writes and syncs. Resolves with the new counters and the rows that joined the feed, oldest first. */
  async commit(sync: boolean): Promise<Committed> {
    const committed = await inTurns(this.#finish(this.#sizes));
    const { gate, recent } = this.context;
    if (committed.records.length > 0) recent.beginWrite(committed.records);
    await gate.run(() => this.#batch.write({ sync }));
    if (committed.records.length > 0) recent.endWrite();
    return committed;
  }

  /** Gives up; nothing was written. */
  async abandon(): Promise<void> {
    await this.#batch.close();
  }

  /** Nobody else writes meanwhile. */
  *#finish(sizes: ActiveChange): Work<Committed> {
    const changes = yield* putRecords(this.#touched, this.context.epochs, this);
    const { metadata, blocks } = changes;
    const attachments = yield* this.#contents.refs.finish(this);
    const known = this.context.state;
    const conflicts = this.conflicts.finish(this.#touched, this);
    const state = {
      updateSeq: this.#updateSeq,
      docCount: known.docCount + changes.docs,
      deletedCount: known.deletedCount + changes.deleted,
      bodyBytes: known.bodyBytes + this.#contents.bodies.bytes,
      attachmentBytes: known.attachmentBytes + attachments.bytes,
      metadataBytes: known.metadataBytes + metadata,
      activeBytes: known.activeBytes + sizes.active + metadata,
      externalBytes: known.externalBytes + sizes.external,
      droppedBytes: known.droppedBytes + this.#contents.bodies.dropped + attachments.dropped - this.#tidied,
      chunked: known.chunked + attachments.chunked,
      purgeSeq: this.#purgeSeq,
      ...conflicts,
    };
    const isCounted = (name: keyof State): boolean => state[name] !== known[name];
    if (this.changesDocuments || metadata !== 0 || COUNTED_ALONE.some(isCounted))
      putCounters(this, state, blocks, this.context.counts);
    const { orphans } = attachments;
    const purged = this.#purgeSeq > known.purgeSeq;
    return {
      ...changes,
      state,
      largeBodies: this.#contents.bodies.large,
      orphans,
      purged,
      unsent: this.#unsent,
      journal: this.#journal,
      bases: this.#bases,
    };
  }
}

/** What changes where no document does. */
const COUNTED_ALONE = ['activeBytes', 'droppedBytes', 'notedConflicts'] as const;

/** What a commit changed. */
export interface Committed extends RecordChanges {
  readonly state: State;
  readonly unsent: UnsentState | undefined;
  readonly journal: Tally;
  readonly bases: Tally;
  /** Sequence → length of each large body that was put. */
  readonly largeBodies: ReadonlyMap<number, number>;
  /** Whether rows that were in the feed may be as if they had never been. */
  readonly purged: boolean;
  /** Uploads whose chunks can be removed. */
  readonly orphans: readonly string[];
}

/** So many documents of a commit are looked up at once. */
const FEW = 4;

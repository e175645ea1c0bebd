import type { ClassicLevel } from 'classic-level';
import { unavailable } from '../errors.js';
import { LevelAttachments } from './attachments/content.js';
import { type BodyFacts, factsBySeq } from './body-facts.js';
import { folderSize } from './folder-size.js';
import * as layout from './layout.js';
import { readRecord } from './line-record.js';
import { countLiving, listDocuments, listLocals } from './list.js';
import type { Loaded } from './opening.js';
import { countPartition } from './partitions.js';
import { rowsAfter } from './pending.js';
import type { Positions } from './positions.js';
import { listPurges } from './purges.js';
import type { RecentDocuments } from './recent.js';
import { readTexts } from './read-texts.js';
import { bodySeq, StoredDocument, type StoredRecord } from './record.js';
import type { ChangeRow, ChangesRange } from './types/changes.js';
import type { PurgeRequest } from './types/database.js';
import type { Listing, ListRange, LocalDocument } from './types/listings.js';
import type { DatabaseInfo, PartitionInfo } from './types/properties.js';
import type { DocumentRecord, StoredRevision } from './types/records.js';
import type { Rules } from './types/rules.js';
import { entriesOf, type KeyRange } from './view.js';

/** Milliseconds for which the size of the files is not looked at again. */
const FILE_SIZE_AGE = 1000;

/** What of a database in LevelDB only reads; the host (level-host.ts) opens it and writes. */
export abstract class LevelReader {
  #fileSize: { readonly bytes: Promise<number>; readonly since: number } | undefined;

  protected abstract readonly level: ClassicLevel;
  protected abstract readonly folder: string;
  protected abstract readonly positions: Positions;
  protected abstract readonly recent: RecentDocuments;
  /** Whether a compaction is running. */
  protected abstract readonly isCompacting: boolean;
  protected loaded: Loaded | undefined;

  protected get open(): Loaded {
    if (this.loaded === undefined) throw unavailable('The database is not open.');
    return this.loaded;
  }

  get rules(): Rules {
    return this.open.rulebook.current;
  }

  get security(): string {
    return this.rules.security;
  }

  get revsLimit(): number {
    return this.open.settings.revsLimit;
  }

  get purgedInfosLimit(): number {
    return this.open.settings.purgedInfosLimit;
  }

  get isPartitioned(): boolean {
    return this.open.settings.isPartitioned;
  }

  get updateSeq(): number {
    return this.open.state.updateSeq;
  }

  get instanceStartTime(): string {
    return this.open.copy.instanceStartTime;
  }

  get purgeSeq(): number {
    return this.open.state.purgeSeq;
  }

  /** Number of living documents. */
  get docCount(): number {
    return this.open.state.docCount;
  }

  /** What PouchDB calls the database by in its checkpoints. */
  get pouchId(): string {
    return JSON.parse(this.level.getSync(layout.pouchMeta.key(layout.POUCH_UUID)) ?? '""') as string;
  }

  async info(): Promise<DatabaseInfo> {
    const { state, copy } = this.open;
    const { docCount, deletedCount, updateSeq, purgeSeq, activeBytes, externalBytes } = state;
    const { instanceStartTime } = copy;
    const file = await this.#measured();
    return {
      docCount,
      deletedCount,
      updateSeq,
      purgeSeq,
      instanceStartTime,
      compactRunning: this.isCompacting,
      sizes: { file, external: externalBytes, active: activeBytes },
    };
  }

  /** Bytes of the files. Replicators ask often, and look at other things: for a moment what was found is good. */
  #measured(): Promise<number> {
    const now = performance.now();
    if (this.#fileSize === undefined || now - this.#fileSize.since > FILE_SIZE_AGE) {
      const bytes = folderSize(this.folder);
      this.#fileSize = { bytes, since: now };
      bytes.catch(() => {
        this.forgetFileSize();
      });
    }
    return this.#fileSize.bytes;
  }

  /** Files were made smaller. */
  protected forgetFileSize(): void {
    this.#fileSize = undefined;
  }

  /** Bytes that are stored, or were until they were dropped, and those of them that a compaction would keep. */
  get weight(): { readonly stored: number; readonly active: number } {
    const { bodyBytes, attachmentBytes, metadataBytes, droppedBytes, activeBytes } = this.open.state;
    return { stored: bodyBytes + attachmentBytes + metadataBytes + droppedBytes, active: activeBytes };
  }

  token(seq: number): string {
    return this.open.epochs.token(seq);
  }

  parseToken(token: string): number {
    return this.open.epochs.parse(token, this.updateSeq);
  }

  get(id: string): StoredRecord | undefined {
    const known = this.recent.branched(id);
    if (known !== undefined) return known.record;
    const text = this.level.getSync(layout.documents.key(id));
    if (text === undefined) return undefined;
    const record = readRecord(text);
    // Whoever resolves a conflict asks for it again.
    if (record instanceof StoredDocument)
      this.recent.putBranched(id, { record, bytes: Buffer.byteLength(text) });
    return record;
  }

  async getMany(ids: readonly string[]): Promise<(StoredRecord | undefined)[]> {
    const texts = await this.recent.records(ids, (unknown) =>
      readTexts(
        this.level,
        unknown.map((id) => layout.documents.key(id)),
      ),
    );
    return texts.map((text) => (text === undefined ? undefined : readRecord(text)));
  }

  read(record: DocumentRecord, rev: string): string | undefined {
    const seq = bodySeq(record, rev);
    return seq === undefined ? undefined : this.level.getSync(bodyKey(seq));
  }

  async readMany(
    wanted: readonly (StoredRevision | undefined)[],
    once = false,
  ): Promise<(string | undefined)[]> {
    const found = wanted.map((one) => one && bodySeq(one.record, one.rev));
    const seqs = found.filter((seq) => seq !== undefined);
    const read = (all: readonly number[]): Promise<readonly (string | undefined)[]> =>
      readTexts(this.level, all.map(bodyKey));
    const texts = await (once ? read(seqs) : this.recent.bodies(seqs, read));
    let next = 0;
    return found.map((seq) => (seq === undefined ? undefined : texts[next++]));
  }

  bodyBound(wanted: StoredRevision | undefined): number {
    const seq = wanted && bodySeq(wanted.record, wanted.rev);
    return seq === undefined ? 0 : this.open.largeBodies.bound(seq);
  }

  list(range: ListRange): Promise<Listing> {
    const { state, largeBodies } = this.open;
    return listDocuments(this.level, this.positions, range, state.docCount, largeBodies);
  }

  countRange(start: string, end: string): Promise<number> {
    return countLiving(this.level, { gte: layout.documents.key(start), lt: layout.documents.key(end) });
  }

  partitionInfo(partition: string): Promise<PartitionInfo> {
    return countPartition(this.level, this.open.largeBodies, partition);
  }

  getLocal(id: string): LocalDocument | undefined {
    const text = this.level.getSync(layout.locals.key(id));
    return text === undefined ? undefined : { id, rev: (JSON.parse(text) as { _rev: string })._rev, text };
  }

  listLocal(range: ListRange): AsyncIterable<readonly LocalDocument[]> {
    return listLocals(this.level, range);
  }

  async *changes({
    since,
    until,
    descending = false,
    pageSize = 1000,
  }: ChangesRange): AsyncGenerator<readonly ChangeRow[]> {
    const upTo = (seq: number): KeyRange => ({ lte: layout.changes.key(layout.seqKey(seq)) });
    const range = { gt: layout.changes.key(layout.seqKey(since)), ...upTo(until ?? this.updateSeq) };
    // A document that is changed while a slow reader is on the way is further behind from then on.
    const extend = descending ? undefined : () => upTo(this.updateSeq);
    const options = { size: pageSize, reverse: descending, ...(extend && { extend }) };
    for await (const page of entriesOf(this.level, range, options)) {
      yield page.map(([key, text]) => ({ seq: layout.parseSeqKey(layout.changes.strip(key)), text }));
    }
  }

  pending(since: number): Promise<number> {
    return rowsAfter(this.level, this.open.counts, since, this.updateSeq);
  }

  /** What a compaction must know of bodies beforehand, by their sequences; see `Transaction.compact`. */
  bodyFacts(seqs: readonly number[]): Promise<ReadonlyMap<number, BodyFacts>> {
    return factsBySeq(this.level, this.open.largeBodies, seqs);
  }

  openAttachments(): LevelAttachments {
    return new LevelAttachments(this.level);
  }

  purges(): AsyncIterable<readonly PurgeRequest[]> {
    return listPurges(this.level);
  }
}

const bodyKey = (seq: number): string => layout.bodies.key(layout.seqKey(seq));

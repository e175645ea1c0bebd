import type { AttachmentReader, AttachmentStaging } from './types/attachments.js';
import type { ChangeEvents, ChangeRow, ChangesRange } from './types/changes.js';
import type { Database, PurgeRequest } from './types/database.js';
import type { DocumentEdit, EditResult, WriteOptions } from './types/edits.js';
import type { Listing, ListRange, LocalDocument } from './types/listings.js';
import type { DatabaseInfo, PartitionInfo } from './types/properties.js';
import type { DocumentRecord, StoredRevision } from './types/records.js';
import type { Rules } from './types/rules.js';
import type { Unsent } from './types/unsent.js';
import type { CompactionProgress } from './compact.js';
import type {
  Bases,
  Conflicts,
  Journal,
  Resolved,
  ResolveOptions,
  ResolvingWrites,
} from './conflicts/types.js';
import type { IndexStore } from './indexes.js';

/** A database as somebody may see it: everything is passed on, but for what a subclass has rules for. */
export class DatabaseView implements Database {
  constructor(protected readonly inner: Database) {}

  get name(): string {
    return this.inner.name;
  }

  get events(): ChangeEvents {
    return this.inner.events;
  }

  get updateSeq(): number {
    return this.inner.updateSeq;
  }

  get instanceStartTime(): string {
    return this.inner.instanceStartTime;
  }

  get purgeSeq(): number {
    return this.inner.purgeSeq;
  }

  get security(): string {
    return this.inner.security;
  }

  get revsLimit(): number {
    return this.inner.revsLimit;
  }

  get purgedInfosLimit(): number {
    return this.inner.purgedInfosLimit;
  }

  get isPartitioned(): boolean {
    return this.inner.isPartitioned;
  }

  get rules(): Rules {
    return this.inner.rules;
  }

  get indexes(): IndexStore {
    return this.inner.indexes;
  }

  get conflicts(): Conflicts {
    return this.inner.conflicts;
  }

  get journal(): Journal {
    return this.inner.journal;
  }

  get bases(): Bases {
    return this.inner.bases;
  }

  get unsent(): Unsent {
    return this.inner.unsent;
  }

  info(): Promise<DatabaseInfo> {
    return this.inner.info();
  }

  token(seq: number): string {
    return this.inner.token(seq);
  }

  parseToken(token: string): number {
    return this.inner.parseToken(token);
  }

  get(id: string): DocumentRecord | undefined {
    return this.inner.get(id);
  }

  getMany(ids: readonly string[]): Promise<(DocumentRecord | undefined)[]> {
    return this.inner.getMany(ids);
  }

  read(record: DocumentRecord, rev: string): string | undefined {
    return this.inner.read(record, rev);
  }

  readMany(wanted: readonly (StoredRevision | undefined)[], once?: boolean): Promise<(string | undefined)[]> {
    return this.inner.readMany(wanted, once);
  }

  bodyBound(wanted: StoredRevision | undefined): number {
    return this.inner.bodyBound(wanted);
  }

  list(range: ListRange): Promise<Listing> {
    return this.inner.list(range);
  }

  countRange(start: string, end: string): Promise<number> {
    return this.inner.countRange(start, end);
  }

  partitionInfo(partition: string): Promise<PartitionInfo> {
    return this.inner.partitionInfo(partition);
  }

  stageAttachments(): AttachmentStaging {
    return this.inner.stageAttachments();
  }

  openAttachments(): AttachmentReader {
    return this.inner.openAttachments();
  }

  write(edits: readonly DocumentEdit[], options: WriteOptions): Promise<EditResult[]> {
    return this.inner.write(edits, options);
  }

  resolve(writes: ResolvingWrites, options?: ResolveOptions): Promise<Resolved> {
    return this.inner.resolve(writes, options);
  }

  getLocal(id: string): LocalDocument | undefined {
    return this.inner.getLocal(id);
  }

  putLocal(id: string, rev: string | undefined, body: string): Promise<string> {
    return this.inner.putLocal(id, rev, body);
  }

  deleteLocal(id: string): Promise<boolean> {
    return this.inner.deleteLocal(id);
  }

  listLocal(range: ListRange): AsyncIterable<readonly LocalDocument[]> {
    return this.inner.listLocal(range);
  }

  setSecurity(text: string): Promise<void> {
    return this.inner.setSecurity(text);
  }

  setRevsLimit(limit: number): Promise<void> {
    return this.inner.setRevsLimit(limit);
  }

  setPurgedInfosLimit(limit: number): Promise<void> {
    return this.inner.setPurgedInfosLimit(limit);
  }

  purge(requests: ReadonlyMap<string, readonly string[]>): Promise<ReadonlyMap<string, readonly string[]>> {
    return this.inner.purge(requests);
  }

  purges(): AsyncIterable<readonly PurgeRequest[]> {
    return this.inner.purges();
  }

  compact(report?: (progress: CompactionProgress) => void): Promise<void> {
    return this.inner.compact(report);
  }

  ensureFullCommit(): Promise<void> {
    return this.inner.ensureFullCommit();
  }

  changes(range: ChangesRange): AsyncIterable<readonly ChangeRow[]> {
    return this.inner.changes(range);
  }

  pending(since: number): Promise<number> {
    return this.inner.pending(since);
  }

  trackUnsent(on: boolean): Promise<void> {
    return this.inner.trackUnsent(on);
  }
}

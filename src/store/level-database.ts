import { ClassicLevel } from 'classic-level';
import { syncFolder } from '../config/files.js';
import { conflict, CouchError, internalError, unavailable } from '../errors.js';
import { LevelAttachments } from './attachments/content.js';
import { Staging } from './attachments/staging.js';
import { Uploads } from './attachments/uploads.js';
import { BLOCK, blockOf } from './change-counts.js';
import { compactDatabase, type CompactionPortion } from './compact.js';
import { type CopyPlace, newRunName, writeMarker } from './copy.js';
import { localRev } from './document.js';
import { Events } from './events.js';
import { folderSize } from './folder-size.js';
import * as layout from './layout.js';
import { countLiving, listDocuments, listLocals } from './list.js';
import { load, type Loaded } from './opening.js';
import { type Portion, portions } from './portions.js';
import { Positions } from './positions.js';
import { listPurges, purgesUpTo } from './purges.js';
import { parseRecord, StoredDocument } from './record.js';
import * as keys from './state.js';
import { Transaction } from './transaction.js';
import type {
  ChangeRow,
  ChangesRange,
  Database,
  DatabaseInfo,
  DocumentEdit,
  DocumentRecord,
  EditResult,
  Listing,
  ListRange,
  LocalDocument,
  PurgeRequest,
  StoredRevision,
  WriteOptions,
} from './types.js';
import { Validators } from './validators.js';
import { Writer, type WriterHost, type WriteTask } from './writer.js';

export interface LevelOptions {
  /** Bytes that LevelDB gathers in memory before it writes a table. */
  readonly writeBuffer: number;
  /** Bytes of blocks that LevelDB keeps in memory. */
  readonly cache: number;
  /** Attachments with more bytes are stored in chunks. */
  readonly chunkAbove: number;
  /** false gives up durability: only for the test that must see its proof fail. */
  readonly sync: boolean;
}

/** A database in a LevelDB folder of PouchDB's layout. The only one that may have the folder open. */
export class LevelDatabase implements Database, WriterHost {
  readonly #level: ClassicLevel;
  readonly #writer: Writer;
  #loaded: Loaded | undefined;
  #uploads: Uploads | undefined;
  #events = new Events(0);
  #positions: Positions;
  /** The name this run will write under; the first write of the run puts it into the database. */
  readonly #run = newRunName();
  #validators = new Validators();
  /** Why nothing can be written any more. */
  #broken: unknown;
  #closing = false;
  /** The compaction that is running. */
  #compaction: Promise<void> | undefined;
  readonly #stopCompaction = new AbortController();

  private constructor(
    readonly name: string,
    private readonly folder: string,
    /** Tells this copy from older ones (copy.ts). */
    private readonly markerFile: string,
    private readonly options: LevelOptions,
  ) {
    this.#level = new ClassicLevel(folder, {
      keyEncoding: 'utf8',
      valueEncoding: 'utf8',
      cacheSize: options.cache,
      writeBufferSize: options.writeBuffer,
    });
    this.#writer = new Writer(this);
    this.#positions = this.#newPositions();
  }

  /** Opens a database, making it where the folder is empty or missing. */
  static async open(
    name: string,
    folder: string,
    markerFile: string,
    options: LevelOptions,
  ): Promise<LevelDatabase> {
    const database = new LevelDatabase(name, folder, markerFile, options);
    try {
      await database.#load();
    } catch (error) {
      await database.#level.close();
      throw error;
    }
    return database;
  }

  /** Whether it is closed, or is being closed. */
  get isClosed(): boolean {
    return this.#closing;
  }

  /** Lets running writes finish, ends the feeds and closes the files. */
  async close(): Promise<void> {
    this.#events.close();
    // It writes, too; whoever asked for it hears of its failure.
    this.#stopCompaction.abort();
    await this.#compaction?.catch(() => undefined);
    this.#closing = true;
    await this.#writer.drain();
    await this.#uploads?.close();
    await this.#renewMarker();
    await this.#level.close();
  }

  /** A copy of all files that was made during this run names a marker file that is no more. */
  async #renewMarker(): Promise<void> {
    if (this.#broken !== undefined || this.#loaded?.copy.run !== this.#run) return;
    // Where this fails the old one is still good.
    await writeMarker(this.#place, [this.#run]).catch(() => undefined);
  }

  // ---- opening ------------------------------------------------------------------------------------------------

  async #load(): Promise<void> {
    await this.#level.open();
    // LevelDB makes files without putting their names on the disk.
    await syncFolder(this.folder);
    const { sync, chunkAbove } = this.options;
    const uploads = new Uploads({
      level: this.#level,
      sync,
      chunkAbove,
      submit: (weight, run) => this.#submit({ weight, run }),
    });
    this.#uploads = uploads;
    this.#loaded = await load({ level: this.#level, place: this.#place, run: this.#run, sync });
    this.#validators = await Validators.load(this.#level);
    this.#positions = this.#newPositions();
    this.#events.close();
    this.#events = new Events(this.#loaded.state.updateSeq);
    await uploads.sweep();
  }

  get #place(): CopyPlace {
    return { folder: this.folder, marker: this.markerFile };
  }

  /** Its snapshots are taken by the writer, between two commits. */
  #newPositions(): Positions {
    return new Positions(this.#level, (taken) =>
      this.#submit({
        run: () => {
          taken(this.#level.snapshot());
        },
      }),
    );
  }

  get #open(): Loaded {
    if (this.#loaded === undefined) throw unavailable('The database is not open.');
    return this.#loaded;
  }

  get #openUploads(): Uploads {
    if (this.#uploads === undefined) throw unavailable('The database is not open.');
    return this.#uploads;
  }

  // ---- the writer's host --------------------------------------------------------------------------------------

  begin(): Transaction {
    if (this.#broken !== undefined)
      throw unavailable('The database could not be opened again after a failed write.');
    const { state, epochs, counts, largeBodies, settings } = this.#open;
    const { revsLimit } = settings;
    const { holds } = this.#openUploads;
    return new Transaction({ level: this.#level, state, epochs, counts, largeBodies, holds, revsLimit });
  }

  async commit(transaction: Transaction): Promise<void> {
    const open = this.#open;
    const begins = transaction.changesDocuments && open.copy.run !== this.#run;
    if (begins) await this.#beginRun(open, transaction);
    const { state, rows, blocks, changed, living, largeBodies, orphans, purged } = await transaction.commit(
      this.options.sync,
    );
    if (begins) await writeMarker(this.#place, [this.#run]);
    open.state = state;
    for (const [seq, length] of largeBodies) open.largeBodies.add(seq, length);
    for (const [block, delta] of blocks) open.counts.add(block, delta);
    this.#positions.note(living);
    for (const id of changed) if (id.startsWith('_design/')) this.#checkValidator(id);
    if (purged) this.#events.forget(state.updateSeq);
    if (rows.length > 0) this.#events.publish(rows, state.updateSeq);
    for (const upload of orphans) this.#openUploads.remove(upload);
  }

  /** The first write of a run: its sequences get an epoch, and the copy its name. */
  async #beginRun(open: Loaded, transaction: Transaction): Promise<void> {
    await writeMarker(this.#place, [open.copy.run, this.#run]);
    open.epochs.begin(open.state.updateSeq + 1);
    open.copy = { ...open.copy, run: this.#run };
    transaction.put(layout.meta.key(keys.EPOCHS), JSON.stringify(open.epochs));
    transaction.put(layout.meta.key(keys.COPY), JSON.stringify(open.copy));
  }

  #checkValidator(id: string): void {
    const record = this.get(id);
    const alive = record !== undefined && !record.deleted;
    this.#validators.note(id, alive ? this.read(record, record.winner) : undefined);
  }

  /** LevelDB takes no more writes after one failed: it is closed, opened and looked through again. */
  async recover(error: unknown): Promise<void> {
    if (this.#closing) return;
    await this.#uploads?.close();
    try {
      await this.#level.close();
      await this.#load();
      this.#broken = undefined;
    } catch (failure) {
      this.#broken = new AggregateError([error, failure], 'reopening failed');
      this.#events.close();
    }
  }

  // ---- writing ------------------------------------------------------------------------------------------------

  async write(edits: readonly DocumentEdit[], options: WriteOptions): Promise<EditResult[]> {
    const attached = edits.filter(({ attachments }) => attachments !== undefined);
    if (attached.length > 0) await this.#requireAttachments(attached, options);
    const results = await Promise.all(portions(edits).map((portion) => this.#writePortion(portion, options)));
    return results.flat();
  }

  /** An attachment that is not there spoils the whole batch, of which nothing is written then. @throws CouchError 412 */
  async #requireAttachments(edits: readonly DocumentEdit[], { newEdits }: WriteOptions): Promise<void> {
    const transaction = this.begin();
    try {
      await transaction.load(edits.map(({ id }) => id));
      await transaction.loadAttachments(edits, newEdits);
      for (const edit of edits) transaction.requireAttachments(edit, newEdits);
    } finally {
      await transaction.abandon();
    }
  }

  async #writePortion(
    { edits, weight }: Portion,
    { newEdits }: WriteOptions,
  ): Promise<readonly EditResult[]> {
    const results: EditResult[] = [];
    const attached = edits.filter(({ attachments }) => attachments !== undefined);
    await this.#submit({
      ids: edits.map(({ id }) => id),
      ...(attached.length > 0 && { attached: { edits: attached, newEdits } }),
      weight,
      run: (transaction) => {
        for (const edit of edits) {
          results.push(resultOf(transaction, edit, newEdits));
        }
      },
    });
    return results;
  }

  stageAttachments(): Staging {
    if (this.#closing) throw unavailable('The database is being closed.');
    return new Staging(this.#openUploads);
  }

  openAttachments(): LevelAttachments {
    return new LevelAttachments(this.#level);
  }

  async #submit(task: Partial<WriteTask> & Pick<WriteTask, 'run'>): Promise<void> {
    if (this.#closing) throw unavailable('The database is being closed.');
    try {
      await this.#writer.submit({ ids: [], weight: 0, ...task });
    } catch (error) {
      if (error instanceof CouchError) throw error;
      throw internalError('The write failed; whether any of it was stored is not known.', error);
    }
  }

  async putLocal(id: string, rev: string | undefined, body: string): Promise<string> {
    const next = rev === undefined ? '0-1' : `0-${String(Number(localRev(rev).slice(2)) + 1)}`;
    const head = `{"_id":${JSON.stringify(id)},"_rev":"${next}"`;
    const text = body === '' ? `${head}}` : `${head},${body}}`;
    await this.#submit({
      weight: text.length,
      run: (transaction) => {
        transaction.put(layout.locals.key(id), text);
      },
    });
    return next;
  }

  async deleteLocal(id: string): Promise<boolean> {
    if (this.getLocal(id) === undefined) return false;
    await this.#submit({
      run: (transaction) => {
        transaction.del(layout.locals.key(id));
      },
    });
    return true;
  }

  async setSecurity(text: string): Promise<void> {
    await this.#putMeta(keys.SECURITY, text);
    this.#open.settings.security = text;
  }

  async setRevsLimit(limit: number): Promise<void> {
    await this.#putMeta(keys.REVS_LIMIT, String(limit));
    this.#open.settings.revsLimit = limit;
  }

  async setPurgedInfosLimit(limit: number): Promise<void> {
    await this.#putMeta(keys.PURGED_INFOS_LIMIT, String(limit));
    this.#open.settings.purgedInfosLimit = limit;
  }

  async #putMeta(key: string, value: string): Promise<void> {
    await this.#submit({
      run: (transaction) => {
        transaction.put(layout.meta.key(key), value);
      },
    });
  }

  async purge(
    requests: ReadonlyMap<string, readonly string[]>,
  ): Promise<ReadonlyMap<string, readonly string[]>> {
    const purged = new Map<string, readonly string[]>();
    if (requests.size === 0) return purged;
    await this.#submit({
      ids: [...requests.keys()],
      run: (transaction) => {
        for (const [id, revs] of requests) purged.set(id, transaction.purge(id, revs));
      },
    });
    return purged;
  }

  purges(): AsyncIterable<readonly PurgeRequest[]> {
    return listPurges(this.#level);
  }

  compact(): Promise<void> {
    if (this.#stopCompaction.signal.aborted)
      return Promise.reject(unavailable('The database is being closed.'));
    this.#compaction ??= this.#compactOnce().finally(() => (this.#compaction = undefined));
    return this.#compaction;
  }

  async #compactOnce(): Promise<void> {
    const { largeBodies } = this.#open;
    const compactAll = ({ ids, facts }: CompactionPortion): Promise<void> =>
      this.#submit({
        ids,
        weight: facts.size * 64,
        run: (transaction) => {
          for (const id of ids) transaction.compact(id, facts);
        },
      });
    const { signal } = this.#stopCompaction;
    await compactDatabase(this.#level, compactAll, largeBodies, this.updateSeq, signal);
    await this.#forgetPurges(signal);
  }

  /** Purges beyond the limit are remembered until the next compaction. */
  async #forgetPurges(signal: AbortSignal): Promise<void> {
    const last = this.#open.state.purgeSeq - this.purgedInfosLimit;
    for await (const numbers of purgesUpTo(this.#level, last)) {
      if (signal.aborted) return;
      await this.#submit({
        run: (transaction) => {
          transaction.forgetPurges(numbers);
        },
      });
    }
  }

  async ensureFullCommit(): Promise<void> {
    await this.#writer.drain();
  }

  // ---- reading ------------------------------------------------------------------------------------------------

  get security(): string {
    return this.#open.settings.security;
  }

  get revsLimit(): number {
    return this.#open.settings.revsLimit;
  }

  get purgedInfosLimit(): number {
    return this.#open.settings.purgedInfosLimit;
  }

  get validators(): ReadonlySet<string> {
    return this.#validators.ids;
  }

  get events(): Events {
    return this.#events;
  }

  get updateSeq(): number {
    return this.#open.state.updateSeq;
  }

  async info(): Promise<DatabaseInfo> {
    const { state, copy } = this.#open;
    const { docCount, deletedCount, updateSeq, purgeSeq, bodyBytes, attachmentBytes } = state;
    // What PouchDB wrote was only estimated.
    const bytes = Math.max(0, bodyBytes) + Math.max(0, attachmentBytes);
    const { instanceStartTime } = copy;
    const file = await folderSize(this.folder);
    return {
      docCount,
      deletedCount,
      updateSeq,
      purgeSeq,
      instanceStartTime,
      compactRunning: this.#compaction !== undefined,
      sizes: { file, external: bytes, active: bytes },
    };
  }

  token(seq: number): string {
    return this.#open.epochs.token(seq);
  }

  parseToken(token: string): number {
    return this.#open.epochs.parse(token, this.updateSeq);
  }

  get(id: string): StoredDocument | undefined {
    const text = this.#level.getSync(layout.documents.key(id));
    return text === undefined ? undefined : parseRecord(text);
  }

  async getMany(ids: readonly string[]): Promise<(StoredDocument | undefined)[]> {
    const texts = await this.#level.getMany(ids.map((id) => layout.documents.key(id)));
    return texts.map((text) => (text === undefined ? undefined : parseRecord(text)));
  }

  read(record: DocumentRecord, rev: string): string | undefined {
    const seq = bodySeq(record, rev);
    return seq === undefined ? undefined : this.#level.getSync(bodyKey(seq));
  }

  async readMany(wanted: readonly (StoredRevision | undefined)[]): Promise<(string | undefined)[]> {
    const found = wanted.map((one) => one && bodySeq(one.record, one.rev));
    const texts = await this.#level.getMany(found.filter((seq) => seq !== undefined).map(bodyKey));
    let next = 0;
    return found.map((seq) => (seq === undefined ? undefined : texts[next++]));
  }

  bodyBound(wanted: StoredRevision | undefined): number {
    const seq = wanted && bodySeq(wanted.record, wanted.rev);
    return seq === undefined ? 0 : this.#open.largeBodies.bound(seq);
  }

  list(range: ListRange): Promise<Listing> {
    const { state, largeBodies } = this.#open;
    return listDocuments(this.#level, this.#positions, range, state.docCount, largeBodies);
  }

  countRange(start: string, end: string): Promise<number> {
    return countLiving(this.#level, { gte: layout.documents.key(start), lt: layout.documents.key(end) });
  }

  getLocal(id: string): LocalDocument | undefined {
    const text = this.#level.getSync(layout.locals.key(id));
    return text === undefined ? undefined : { id, rev: (JSON.parse(text) as { _rev: string })._rev, text };
  }

  listLocal(range: ListRange): AsyncIterable<readonly LocalDocument[]> {
    return listLocals(this.#level, range);
  }

  async *changes({
    since,
    until,
    descending = false,
    pageSize = 1000,
  }: ChangesRange): AsyncGenerator<readonly ChangeRow[]> {
    const rows = this.#level.iterator({
      gt: layout.changes.key(layout.seqKey(since)),
      lte: layout.changes.key(layout.seqKey(until ?? this.#open.state.updateSeq)),
      reverse: descending,
      highWaterMarkBytes: 1 << 20,
    });
    try {
      for (let page = await rows.nextv(pageSize); page.length > 0; page = await rows.nextv(pageSize)) {
        yield page.map(([key, text]) => ({ seq: layout.parseSeqKey(layout.changes.strip(key)), text }));
      }
    } finally {
      await rows.close();
    }
  }

  async pending(since: number): Promise<number> {
    const block = blockOf(since + 1);
    const later = this.#open.counts.after(block);
    const keysInBlock = await this.#level
      .keys({
        gt: layout.changes.key(layout.seqKey(since)),
        lt: layout.changes.key(layout.seqKey((block + 1) * BLOCK)),
      })
      .all();
    return keysInBlock.length + later;
  }
}

function resultOf(transaction: Transaction, edit: DocumentEdit, newEdits: boolean): EditResult {
  try {
    const rev = transaction.edit(edit, newEdits);
    return rev === undefined ? { ok: false, error: conflict() } : { ok: true, rev };
  } catch (error) {
    if (error instanceof CouchError) return { ok: false, error };
    throw error;
  }
}

function bodySeq(record: DocumentRecord, rev: string): number | undefined {
  if (!(record instanceof StoredDocument)) throw new TypeError('a record of another store');
  return record.bodySeqs.get(rev);
}

const bodyKey = (seq: number): string => layout.bodies.key(layout.seqKey(seq));

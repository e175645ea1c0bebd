import type { ClassicLevel } from 'classic-level';
import { syncFolder } from '../config/files.js';
import { CouchError, unavailable } from '../errors.js';
import { Uploads } from './attachments/uploads.js';
import { Backoff } from './backoff.js';
import { LevelBases } from './conflicts/bases.js';
import { LevelJournal } from './conflicts/journal.js';
import { LevelConflicts } from './conflicts/conflicts.js';
import type { BaseLimits } from './conflicts/types.js';
import { type CopyPlace, newRunName, writeMarker } from './copy.js';
import { Events } from './events.js';
import { asRefusal, asWriteFailure, isNoSpace } from './failures.js';
import { LevelIndexes } from './indexes.js';
import * as layout from './layout.js';
import { droppedPart, type NewLevel, newLevel, openLevel } from './level.js';
import { LevelReader } from './level-reader.js';
import { load, type Loaded, noteTear } from './opening.js';
import { Positions } from './positions.js';
import { RecentDocuments, RecentTexts } from './recent.js';
import { hasRoom } from './room.js';
import * as keys from './state.js';
import { Transaction } from './transaction.js';
import type { DatabaseWatcher } from './types/watcher.js';
import { LevelUnsent } from './unsent.js';
import { WriteGate } from './write-gate.js';
import { Writer, type WriterHost, type WriteTask } from './writer.js';

export interface LevelOptions {
  /** Bytes that LevelDB gathers in memory before it writes a table. */
  readonly writeBuffer: number;
  /** Bytes of blocks that LevelDB keeps in memory. */
  readonly cache: number;
  /** Attachments with more bytes are stored in chunks. */
  readonly chunkAbove: number;
  /** Where it keeps what was read just now; its own where it is left out. */
  readonly texts?: RecentTexts;
  /** false gives up durability: only for the test that must see its proof fail. */
  readonly sync: boolean;
  /**
   * How long a database keeps, for merges, the bodies of revisions that are no leaves any more; undefined where it is to keep
   * none. May be another answer at any time. Where this is left out, what is kept stays so, and no more is.
   */
  readonly basesOf?: (name: string) => BaseLimits | undefined;
  /** Makes the LevelDB; the tests of failures have one of their own. */
  readonly newLevel?: NewLevel;
}

/** Opens a database in LevelDB, commits to it, opens it again after a failure, and closes it. */
export abstract class LevelHost extends LevelReader implements WriterHost {
  protected readonly level: ClassicLevel;
  readonly indexes: LevelIndexes;
  readonly unsent: LevelUnsent;
  readonly conflicts: LevelConflicts;
  readonly journal: LevelJournal;
  readonly bases: LevelBases;
  readonly #writer: Writer;
  protected uploads: Uploads | undefined;
  #events = new Events(0);
  protected positions: Positions;
  readonly #texts: RecentTexts;
  protected recent: RecentDocuments;
  /** The name this run will write under; the first write of the run puts it into the database. */
  readonly #run = newRunName();
  /** Everything that is written while it is open passes here. */
  #gate = new WriteGate();
  /** Why nothing is written until it was opened again: a write failed. */
  #failure: { readonly error: unknown } | undefined;
  readonly #backoff = new Backoff();
  /** While it is closed, opened and looked through again. */
  #reopening: Promise<void> | undefined;
  #lost = false;
  protected closing = false;

  protected constructor(
    readonly name: string,
    protected readonly folder: string,
    /** Tells this copy from older ones (copy.ts). */
    private readonly markerFile: string,
    private readonly options: LevelOptions,
    private readonly watcher: DatabaseWatcher | undefined,
  ) {
    super();
    const make = options.newLevel ?? newLevel;
    this.level = make(folder, { cacheSize: options.cache, writeBufferSize: options.writeBuffer });
    this.#writer = new Writer(this);
    this.indexes = new LevelIndexes({
      level: this.level,
      gate: () => this.#gate,
      // The writer sees to it, whatever it is asked to write.
      ready: () => this.submit({ run: () => undefined }),
    });
    this.unsent = new LevelUnsent({
      level: this.level,
      state: () => this.open.unsent,
      updateSeq: () => this.updateSeq,
      changes: (range) => this.changes(range),
      submit: (run) => this.submit({ run }),
    });
    this.conflicts = new LevelConflicts({
      level: this.level,
      state: () => this.open.state,
      seqOf: (id) => this.get(id)?.seq,
      submit: (task) => this.submit(task),
    });
    this.journal = new LevelJournal({
      level: this.level,
      state: () => this.open.journal,
      submit: (task) => this.submit(task),
    });
    this.bases = new LevelBases({
      level: this.level,
      state: () => this.open.bases,
      limits: options.basesOf && (() => this.options.basesOf?.(this.name)),
      submit: (task) => this.submit(task),
    });
    this.positions = this.#newPositions();
    this.#texts = options.texts ?? new RecentTexts();
    this.recent = this.#newRecent();
  }

  get events(): Events {
    return this.#events;
  }

  /** Whether it is closed, or is being closed. */
  get isClosed(): boolean {
    return this.closing;
  }

  /** Whether a failed write closed it, and it could not be opened again: of no more use. */
  get isLost(): boolean {
    return this.#lost;
  }

  /** Resolves once it was opened again, or is lost; undefined where that is not under way. */
  get reopening(): Promise<void> | undefined {
    return this.#reopening;
  }

  /** Lets running writes finish, ends the feeds and closes the files. */
  async close(): Promise<void> {
    this.#events.close();
    this.closing = true;
    await this.#writer.drain();
    await this.uploads?.close();
    await this.#renewMarker();
    await this.level.close();
    this.recent.clear();
  }

  /** A copy of all files that was made during this run names a marker file that is no more. */
  async #renewMarker(): Promise<void> {
    if (this.#failure !== undefined || this.loaded?.copy.run !== this.#run) return;
    // Where this fails the old one is still good.
    await writeMarker(this.#place, [this.#run]).catch(() => undefined);
  }

  // ---- opening ------------------------------------------------------------------------------------------------

  protected async load(): Promise<void> {
    await openLevel(this.level);
    const { sync, chunkAbove } = this.options;
    const gate = new WriteGate();
    const uploads = new Uploads({
      level: this.level,
      gate,
      sync,
      chunkAbove,
      submit: (weight, run) => this.submit({ weight, run }),
    });
    const { name, level } = this;
    if (await droppedPart(level)) {
      this.watcher?.lostPart(name);
      await noteTear(level, sync);
    }
    const [loaded] = await Promise.all([
      load({
        name,
        level,
        place: this.#place,
        run: this.#run,
        sync,
        lostAll: () => this.watcher?.lostAll(name),
      }),
      // LevelDB makes files without putting their names on the disk.
      syncFolder(this.folder),
    ]);
    const marks = await uploads.leftBehind();
    // All at once: a feed must not see the new sequences with the old events, nor a sweep the marks of new uploads.
    this.#gate = gate;
    this.uploads = uploads;
    this.loaded = loaded;
    this.positions = this.#newPositions();
    this.recent.clear();
    this.recent = this.#newRecent();
    this.#events.close();
    this.#events = new Events(loaded.state.updateSeq);
    uploads.sweep(marks);
  }

  protected get openUploads(): Uploads {
    if (this.uploads === undefined) throw unavailable('The database is not open.');
    return this.uploads;
  }

  get #place(): CopyPlace {
    return { folder: this.folder, marker: this.markerFile };
  }

  /** Its snapshots are taken by the writer, between two commits. */
  #newPositions(): Positions {
    return new Positions(this.level, (taken) =>
      this.submit({
        run: () => {
          taken(this.level.snapshot());
        },
      }),
    );
  }

  #newRecent(): RecentDocuments {
    return new RecentDocuments(this.#texts, () => this.updateSeq);
  }

  // ---- the writer's host --------------------------------------------------------------------------------------

  async ready(): Promise<void> {
    this.#failure ??= this.#gate.failure;
    if (this.#failure !== undefined) await this.#heal(this.#failure.error);
    if (this.#failure !== undefined) throw asRefusal(this.#failure.error);
  }

  begin(): Transaction {
    const { state, epochs, counts, largeBodies, settings, unsent, journal, bases } = this.open;
    const { revsLimit } = settings;
    const { holds } = this.openUploads;
    return new Transaction({
      level: this.level,
      gate: this.#gate,
      recent: this.recent,
      state,
      epochs,
      counts,
      largeBodies,
      holds,
      revsLimit,
      unsent,
      journal,
      bases,
      baseLimits: this.options.basesOf?.(this.name),
    });
  }

  async commit(transaction: Transaction): Promise<void> {
    const open = this.open;
    const changes = transaction.changesDocuments;
    const begins = changes && open.copy.run !== this.#run;
    if (changes) await this.watcher?.willChange(this.name);
    if (begins) await this.#beginRun(open, transaction);
    const committed = await transaction.commit(this.options.sync);
    const { state, rows, blocks, changed, living, largeBodies, orphans, purged } = committed;
    this.#backoff.succeeded();
    open.state = state;
    open.unsent = committed.unsent;
    open.journal = committed.journal;
    open.bases = committed.bases;
    for (const [seq, length] of largeBodies) open.largeBodies.add(seq, length);
    for (const [block, delta] of blocks) open.counts.add(block, delta);
    this.positions.note(living);
    const designs = [...changed].filter((id) => id.startsWith('_design/'));
    for (const id of designs) this.#noteDesign(id);
    if (purged) {
      this.recent.clear();
      this.#events.forget(state.updateSeq);
    }
    if (rows.length > 0) this.#events.publish(rows, state.updateSeq);
    if (changes) this.watcher?.didChange(this.name);
    if (designs.length > 0) this.watcher?.didChangeDesigns(this.name);
    for (const upload of orphans) this.openUploads.remove(upload);
    // Last: what is on disk is shown, even where this fails.
    if (begins) await writeMarker(this.#place, [this.#run]);
  }

  /** The first write of a run: its sequences get an epoch, and the copy its name. */
  async #beginRun(open: Loaded, transaction: Transaction): Promise<void> {
    await writeMarker(this.#place, [open.copy.run, this.#run]);
    open.epochs.begin(open.state.updateSeq + 1);
    open.copy = { ...open.copy, run: this.#run };
    transaction.put(layout.meta.key(keys.EPOCHS), JSON.stringify(open.epochs));
    transaction.put(layout.meta.key(keys.COPY), JSON.stringify(open.copy));
  }

  #noteDesign(id: string): void {
    const record = this.get(id);
    const alive = record !== undefined && !record.deleted;
    this.open.rulebook.note(id, alive ? this.read(record, record.winner) : undefined);
  }

  async recover(error: unknown): Promise<void> {
    this.#failure = { error };
    await this.#heal(error);
  }

  /**
   * LevelDB takes no more writes after one failed: it is closed, opened and looked through again. Until there is room
   * for that it stays open for readers, who see nothing of what failed.
   */
  async #heal(error: unknown): Promise<void> {
    if (this.closing || this.#lost || !this.#backoff.due) return;
    if (isNoSpace(error) && !(await hasRoom(this.folder).catch(() => false))) return;
    this.#backoff.failed();
    this.#reopening = this.#reopen(error);
    await this.#reopening;
    this.#reopening = undefined;
  }

  async #reopen(error: unknown): Promise<void> {
    await this.uploads?.close();
    try {
      await this.level.close();
      await this.load();
      this.#failure = undefined;
    } catch (failure) {
      this.#lost = true;
      const message = 'The database could not be opened again.';
      this.#failure = { error: new AggregateError([error], message, { cause: failure }) };
      await this.level.close().catch(() => undefined);
      this.#events.close();
    }
    // What failed may be there all the same.
    this.watcher?.didChange(this.name);
  }

  protected async submit(task: Partial<WriteTask> & Pick<WriteTask, 'run'>): Promise<void> {
    if (this.closing) throw unavailable('The database is being closed.');
    try {
      await this.#writer.submit({ ids: [], weight: 0, ...task });
    } catch (error) {
      throw error instanceof CouchError ? error : asWriteFailure(error);
    }
  }

  /** Resolves once everything that was submitted so far is done. */
  protected async drain(): Promise<void> {
    await this.#writer.drain();
  }
}

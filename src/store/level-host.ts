import { ClassicLevel } from 'classic-level';
import { syncFolder } from '../config/files.js';
import { CouchError, internalError, unavailable } from '../errors.js';
import { Uploads } from './attachments/uploads.js';
import { type CopyPlace, newRunName, writeMarker } from './copy.js';
import { Events } from './events.js';
import * as layout from './layout.js';
import { LevelReader } from './level-reader.js';
import { load, type Loaded } from './opening.js';
import { Positions } from './positions.js';
import * as keys from './state.js';
import { Transaction } from './transaction.js';
import type { DatabaseWatcher } from './types.js';
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

/** Opens a database in LevelDB, commits to it, opens it again after a failure, and closes it. */
export abstract class LevelHost extends LevelReader implements WriterHost {
  protected readonly level: ClassicLevel;
  readonly #writer: Writer;
  protected uploads: Uploads | undefined;
  #events = new Events(0);
  protected positions: Positions;
  /** The name this run will write under; the first write of the run puts it into the database. */
  readonly #run = newRunName();
  /** Why nothing can be written any more. */
  #broken: unknown;
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
    this.level = new ClassicLevel(folder, {
      keyEncoding: 'utf8',
      valueEncoding: 'utf8',
      cacheSize: options.cache,
      writeBufferSize: options.writeBuffer,
    });
    this.#writer = new Writer(this);
    this.positions = this.#newPositions();
  }

  get events(): Events {
    return this.#events;
  }

  /** Whether it is closed, or is being closed. */
  get isClosed(): boolean {
    return this.closing;
  }

  /** Lets running writes finish, ends the feeds and closes the files. */
  async close(): Promise<void> {
    this.#events.close();
    this.closing = true;
    await this.#writer.drain();
    await this.uploads?.close();
    await this.#renewMarker();
    await this.level.close();
  }

  /** A copy of all files that was made during this run names a marker file that is no more. */
  async #renewMarker(): Promise<void> {
    if (this.#broken !== undefined || this.loaded?.copy.run !== this.#run) return;
    // Where this fails the old one is still good.
    await writeMarker(this.#place, [this.#run]).catch(() => undefined);
  }

  // ---- opening ------------------------------------------------------------------------------------------------

  protected async load(): Promise<void> {
    await this.level.open();
    // LevelDB makes files without putting their names on the disk.
    await syncFolder(this.folder);
    const { sync, chunkAbove } = this.options;
    const uploads = new Uploads({
      level: this.level,
      sync,
      chunkAbove,
      submit: (weight, run) => this.submit({ weight, run }),
    });
    this.uploads = uploads;
    const { name, level } = this;
    this.loaded = await load({ name, level, place: this.#place, run: this.#run, sync });
    this.positions = this.#newPositions();
    this.#events.close();
    this.#events = new Events(this.loaded.state.updateSeq);
    await uploads.sweep();
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

  // ---- the writer's host --------------------------------------------------------------------------------------

  begin(): Transaction {
    if (this.#broken !== undefined)
      throw unavailable('The database could not be opened again after a failed write.');
    const { state, epochs, counts, largeBodies, settings } = this.open;
    const { revsLimit } = settings;
    const { holds } = this.openUploads;
    return new Transaction({ level: this.level, state, epochs, counts, largeBodies, holds, revsLimit });
  }

  async commit(transaction: Transaction): Promise<void> {
    const open = this.open;
    const changes = transaction.changesDocuments;
    const begins = changes && open.copy.run !== this.#run;
    if (changes) await this.watcher?.willChange(this.name);
    if (begins) await this.#beginRun(open, transaction);
    const { state, rows, blocks, changed, living, largeBodies, orphans, purged } = await transaction.commit(
      this.options.sync,
    );
    if (begins) await writeMarker(this.#place, [this.#run]);
    open.state = state;
    for (const [seq, length] of largeBodies) open.largeBodies.add(seq, length);
    for (const [block, delta] of blocks) open.counts.add(block, delta);
    this.positions.note(living);
    for (const id of changed) if (id.startsWith('_design/')) this.#checkValidator(id);
    if (purged) this.#events.forget(state.updateSeq);
    if (rows.length > 0) this.#events.publish(rows, state.updateSeq);
    if (changes) this.watcher?.didChange(this.name);
    for (const upload of orphans) this.openUploads.remove(upload);
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
    this.open.validators.note(id, alive ? this.read(record, record.winner) : undefined);
  }

  /** LevelDB takes no more writes after one failed: it is closed, opened and looked through again. */
  async recover(error: unknown): Promise<void> {
    if (this.closing) return;
    await this.uploads?.close();
    try {
      await this.level.close();
      await this.load();
      this.#broken = undefined;
    } catch (failure) {
      this.#broken = new AggregateError([error, failure], 'reopening failed');
      this.#events.close();
    }
  }

  protected async submit(task: Partial<WriteTask> & Pick<WriteTask, 'run'>): Promise<void> {
    if (this.closing) throw unavailable('The database is being closed.');
    try {
      await this.#writer.submit({ ids: [], weight: 0, ...task });
    } catch (error) {
      if (error instanceof CouchError) throw error;
      throw internalError('The write failed; whether any of it was stored is not known.', error);
    }
  }

  /** Resolves once everything that was submitted so far is done. */
  protected async drain(): Promise<void> {
    await this.#writer.drain();
  }
}

import { createHash, randomBytes } from 'node:crypto';
import type { ClassicLevel } from 'classic-level';
import { type CouchError, unavailable } from '../../errors.js';
import * as layout from '../layout.js';
import type { WriteGate } from '../write-gate.js';
import { CHUNK_SIZE } from './chunks.js';
import { Holds } from './holds.js';
import { Removal } from './removal.js';

/** Chunks are written, and synced, so many bytes at a time; until then they are in memory. */
export const FLUSH_SIZE = 1024 * 1024;

/** Bytes that are taken in, but belong to no document yet. */
export interface Staged {
  /** `md5-` and base64. */
  readonly digest: string;
  /** Bytes. */
  readonly length: number;
  /** The bytes themselves, until they are moved to the disk. */
  content: Buffer | StoredContent;
}

/** Bytes that are on the disk, under a mark that says that nobody has them yet. */
export interface StoredContent {
  /** Whether they are the chunks of an upload of the mark's name, or the value of their digest. */
  readonly form: 'chunks' | 'value';
  readonly mark: string;
}

/** What the writer does for uploads, in one commit with whatever else it does. */
export interface Holder {
  /** Stores bytes under their digests before any document has them. */
  hold(mark: string, staged: readonly Staged[]): void;
  /** Lets go of such bytes: they go unless somebody else has or holds them. */
  letGo(mark: string, digests: readonly string[]): void;
}

/** What uploads need of their database. */
export interface UploadsContext {
  readonly level: ClassicLevel;
  readonly gate: WriteGate;
  readonly sync: boolean;
  /** More bytes than these go into chunks. */
  readonly chunkAbove: number;
  /** Has the writer do something. @param weight bytes that it adds to a batch */
  readonly submit: (weight: number, run: (holder: Holder) => void) => Promise<void>;
}

/**
 * Takes in attachments. Large ones are written in chunks as they come, each synced at once: LevelDB begins a new log
 * now and then, and the sync of the commit that gives the attachment to a document would not reach into the old one.
 * Others are held in memory, or stored under their digest where a request brings many. Until a commit gives them to a
 * document a mark says that what is stored is nobody's, so that a crash leaves nothing behind.
 */
export class Uploads {
  readonly holds = new Holds();
  readonly #removal: Removal;
  #closed = false;

  constructor(readonly context: UploadsContext) {
    this.#removal = new Removal(context.level, context.gate);
  }

  /** Reads the marks that a crash left behind. To be called before anything is taken in. */
  leftBehind(): Promise<readonly (readonly [string, string])[]> {
    return this.context.level.iterator({ gte: layout.uploads.start, lt: layout.uploads.end }).all();
  }

  /** Begins to remove what such marks stand for. */
  sweep(marks: readonly (readonly [string, string])[]): void {
    for (const [key, digests] of marks) {
      const mark = layout.uploads.strip(key);
      if (digests === '') this.#removal.add(mark);
      else void this.#letGo(mark, JSON.parse(digests) as string[]);
    }
  }

  /** Begins to take in bytes. */
  receive(): Receiver {
    return new Receiver(this);
  }

  /** Moves bytes from memory to the disk. */
  async store(staged: readonly Staged[]): Promise<void> {
    this.#requireOpen();
    const mark = newMark();
    const weight = staged.reduce((sum, { length }) => sum + length, 0);
    await this.context.submit(weight, (holder) => holder.hold(mark, staged));
    for (const one of staged) one.content = { form: 'value', mark };
  }

  /** Lets go of what no commit took. May be called of anything that was staged, whatever became of it. */
  async release(staged: readonly Staged[]): Promise<void> {
    const values = new Map<string, string[]>();
    for (const { digest, content } of staged) {
      if (Buffer.isBuffer(content)) continue;
      const { form, mark } = content;
      if (form === 'chunks') this.remove(mark);
      else values.set(mark, [...(values.get(mark) ?? []), digest]);
    }
    // Also where it was opened again: they may have been stored after that.
    for (const [mark, digests] of values) await this.#letGo(mark, digests);
  }

  /** Where this fails the mark stays, and is looked at when the database is opened again. */
  async #letGo(mark: string, digests: readonly string[]): Promise<void> {
    await this.context.submit(0, (holder) => holder.letGo(mark, digests)).catch(() => undefined);
  }

  /** Removes the chunks of an upload by and by, unless they belong to an attachment. */
  remove(upload: string): void {
    this.holds.remove(upload);
    if (!this.#closed) this.#removal.add(upload);
  }

  /** Resolves when the chunks of everything that was dropped so far are removed. */
  settled(): Promise<void> {
    return this.#removal.settled();
  }

  /** Uploads that are under way can go no further: when the database opens again, what they left is removed. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#removal.close();
  }

  /**
   * Resolves where something can be written. After a write that failed it is the writer who sees to that; what was
   * under way here is over then.
   * @throws CouchError
   */
  async ready(): Promise<void> {
    const { gate, submit } = this.context;
    if (gate.failure !== undefined) await submit(0, () => undefined);
    this.#requireOpen();
  }

  /** @throws CouchError 503 where what was staged here may be gone */
  #requireOpen(): void {
    if (this.#closed) throw interrupted();
  }
}

const newMark = (): string => randomBytes(12).toString('hex');

/** What was taken in before the database was opened again is gone. */
export const interrupted = (): CouchError =>
  unavailable('The database was closed while an attachment was being sent.');

/** One run of bytes that is being taken in. */
export class Receiver {
  readonly #md5 = createHash('md5');
  #held: Buffer[] = [];
  #heldBytes = 0;
  #length = 0;
  #upload: string | undefined;
  #chunks = 0;

  constructor(private readonly uploads: Uploads) {}

  /** Bytes so far. */
  get length(): number {
    return this.#length;
  }

  /** Takes bytes in; the caller waits before it gives more. */
  async write(bytes: Buffer): Promise<void> {
    this.#md5.update(bytes);
    this.#length += bytes.length;
    this.#held.push(bytes);
    this.#heldBytes += bytes.length;
    if (this.#heldBytes > this.#limit) await this.#flush(false);
  }

  /** Everything is there. */
  async finish(): Promise<Staged> {
    if (this.#upload !== undefined) await this.#flush(true);
    const digest = `md5-${this.#md5.digest('base64')}`;
    const content: Staged['content'] =
      this.#upload === undefined ? Buffer.concat(this.#held) : { form: 'chunks', mark: this.#upload };
    this.#held = [];
    return { digest, length: this.#length, content };
  }

  /** There will be no more. */
  abandon(): void {
    this.#held = [];
    if (this.#upload !== undefined) this.uploads.remove(this.#upload);
  }

  get #limit(): number {
    return this.#upload === undefined ? this.uploads.context.chunkAbove : FLUSH_SIZE;
  }

  async #flush(last: boolean): Promise<void> {
    await this.uploads.ready();
    await this.uploads.context.gate.run(() => this.#writeChunks(last));
  }

  /** Writes whole chunks; the last one, too, which may be shorter. */
  async #writeChunks(last: boolean): Promise<void> {
    const { level, sync } = this.uploads.context;
    const held = Buffer.concat(this.#held);
    const end = last ? held.length : held.length - (held.length % CHUNK_SIZE);
    const batch = level.batch();
    if (this.#upload === undefined) {
      this.#upload = newMark();
      this.uploads.holds.add(this.#upload);
      batch.put(layout.uploads.key(this.#upload), '');
    }
    for (let at = 0; at < end; at += CHUNK_SIZE) {
      const chunk = held.subarray(at, Math.min(end, at + CHUNK_SIZE));
      batch.put(layout.chunkKey(this.#upload, this.#chunks++), chunk, { valueEncoding: 'buffer' });
    }
    this.#held = end === held.length ? [] : [Buffer.from(held.subarray(end))];
    this.#heldBytes = held.length - end;
    await batch.write({ sync });
  }
}

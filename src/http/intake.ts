import { badRequest, CouchError, documentTooLarge } from '../errors.js';
import { Turns } from '../json/turns.js';
import { decoded, type GivenAttachment } from '../store/attachments/given.js';
import type { Source, StagedAttachment } from '../store/attachments/stage.js';
import { FLUSH_SIZE } from '../store/attachments/uploads.js';
import { isWhole, type ParsedDocument } from '../store/document.js';
import type { AttachmentStaging } from '../store/types/attachments.js';
import type { Database } from '../store/types/database.js';
import type { AttachmentEdit, DocumentEdit } from '../store/types/edits.js';
import type { Exchange } from './exchange.js';

/** Attachments of one document. */
const MOST = 10_000;

/** Takes in the attachments of one request, and lets go of those that no document took. */
export class Intake {
  /** Tiny attachments are taken in without waiting for anything. */
  readonly #turns = new Turns();
  /** Bytes of memory that are counted. */
  #held = 0;
  /** What comes and what that unpacks to are counted one after the other: a request waits for room in one place. */
  #counted: Promise<void> = Promise.resolve();

  private constructor(
    private readonly exchange: Exchange,
    private readonly staging: AttachmentStaging,
  ) {}

  /** Does work that takes attachments in, and tidies up behind it. */
  static async during<T>(exchange: Exchange, db: Database, work: (intake: Intake) => Promise<T>): Promise<T> {
    const staging = db.stageAttachments();
    try {
      return await work(new Intake(exchange, staging));
    } finally {
      await staging.release();
    }
  }

  /** @throws CouchError 413 where a client says that it is going to send too much */
  requireSize(name: string, bytes: number): void {
    if (bytes > this.exchange.server.config.limits.maxAttachmentSize) throw tooLarge(name);
  }

  /** @throws CouchError 413 where a document has too many: what is said of each is read with the document */
  requireCount(id: string, attachments: number): void {
    if (attachments > MOST) throw documentTooLarge(id);
  }

  /**
   * Takes bytes in that come from the client; those of a type that shrinks are stored compressed as well, as CouchDB
   * does.
   * @param gzip whether they come compressed
   * @throws CouchError 413
   */
  async stage(
    name: string,
    contentType: string,
    source: AsyncIterable<Buffer>,
    gzip = false,
  ): Promise<StagedAttachment> {
    return this.#stage(name, contentType, this.#count(source), gzip);
  }

  /** Counts the memory that bytes need while they are taken in. */
  async *#count(source: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
    const { chunkAbove } = this.exchange.server.config.store;
    let taken = 0;
    for await (const bytes of source) {
      // Beyond that it goes to the disk as it comes.
      if (taken <= chunkAbove) {
        taken += bytes.length;
        await this.#hold(this.#held + bytes.length);
        if (taken > chunkAbove) await this.#hold(this.#held - Math.max(0, taken - FLUSH_SIZE));
      }
      yield bytes;
    }
  }

  /** Counts so many bytes of memory from now on. */
  #hold(bytes: number): Promise<void> {
    const more = bytes - this.#held;
    this.#held = bytes;
    this.#counted = this.#counted.then(() =>
      more > 0 ? this.exchange.hold(more) : this.exchange.drop(-more),
    );
    return this.#counted;
  }

  async #stage(name: string, contentType: string, source: Source, gzip: boolean): Promise<StagedAttachment> {
    const { server } = this.exchange;
    const { limits, attachments } = server.config;
    const shrinks = server.compressible.test(contentType) && attachments.compressionLevel > 0;
    await this.#turns.pass();
    const staged = await this.staging.take(source, {
      limit: limits.maxAttachmentSize,
      tooLarge: () => tooLarge(name),
      unpacked: (bytes) => this.#count(bytes),
      ...(gzip ? { gzip: 'given' } : shrinks ? { gzip: { level: attachments.compressionLevel } } : {}),
    });
    // What is on the disk by now needs none; the other form of it does, where it is in memory.
    await this.#hold(this.staging.heldBytes);
    return staged;
  }

  /** A document with those of its attachments taken in that stand in it. @throws CouchError 400, 413 */
  async edit(parsed: ParsedDocument, newEdits: boolean): Promise<DocumentEdit> {
    if (isWhole(parsed)) return parsed;
    const { id, attachments = NONE } = parsed;
    this.requireCount(id, attachments.size);
    const edits = new Map<string, AttachmentEdit>();
    for (const [name, given] of attachments) edits.set(name, await this.take(name, given, newEdits));
    return { ...parsed, attachments: edits };
  }

  /** Takes in what a document says of an attachment. @throws CouchError 400 for one that would have to follow it */
  async take(name: string, given: GivenAttachment, newEdits: boolean): Promise<AttachmentEdit> {
    if (given.kind === 'stub') return given;
    if (given.kind === 'follows') throw badRequest(`Invalid attachment data for ${name}`);
    const { contentType, revpos, data } = given;
    // They are counted already, with the text that they stood in.
    const staged = await this.#stage(name, contentType, decoded(name, data), false);
    return { kind: 'staged', contentType, revpos: newEdits ? undefined : revpos, staged };
  }
}

const NONE: ReadonlyMap<string, GivenAttachment> = new Map();

const tooLarge = (name: string): CouchError => new CouchError(413, 'attachment_too_large', name);

/** The content types that match one of CouchDB's patterns, in which the first `*` stands for anything. */
export function typePattern(patterns: readonly string[]): RegExp {
  const alternatives = patterns.map((pattern) =>
    pattern.replace(/[.+?^${}()|[\]\\]/g, '\\$&').replace('*', '.*'),
  );
  // None matches nothing.
  return new RegExp(`^\\s*(?:${alternatives.join('|') || '(?!)'})\\s*(?:;.*)?$`, 'i');
}

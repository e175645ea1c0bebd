import { badRequest, CouchError, documentTooLarge } from '../errors.js';
import { Turns } from '../json/turns.js';
import { decoded, type GivenAttachment } from '../store/attachments/given.js';
import type { Source, StagedAttachment } from '../store/attachments/stage.js';
import type { ParsedDocument } from '../store/document.js';
import type { AttachmentEdit, AttachmentStaging, Database, DocumentEdit } from '../store/types.js';
import type { Server } from './server.js';

/** Attachments of one document. */
const MOST = 10_000;

/** Takes in the attachments of one request, and lets go of those that no document took. */
export class Intake {
  /** Tiny attachments are taken in without waiting for anything. */
  readonly #turns = new Turns();

  private constructor(
    private readonly server: Server,
    private readonly staging: AttachmentStaging,
  ) {}

  /** Does work that takes attachments in, and tidies up behind it. */
  static async during<T>(server: Server, db: Database, work: (intake: Intake) => Promise<T>): Promise<T> {
    const staging = db.stageAttachments();
    try {
      return await work(new Intake(server, staging));
    } finally {
      await staging.release();
    }
  }

  /** @throws CouchError 413 where a client says that it is going to send too much */
  requireSize(name: string, bytes: number): void {
    if (bytes > this.server.config.limits.maxAttachmentSize) throw tooLarge(name);
  }

  /** @throws CouchError 413 where a document has too many: what is said of each is read with the document */
  requireCount(id: string, attachments: number): void {
    if (attachments > MOST) throw documentTooLarge(id);
  }

  /**
   * Takes bytes in; those of a type that shrinks are stored compressed as well, as CouchDB does.
   * @param gzip whether they come compressed
   */
  async stage(name: string, contentType: string, source: Source, gzip = false): Promise<StagedAttachment> {
    const { limits, attachments } = this.server.config;
    const shrinks = this.server.compressible.test(contentType) && attachments.compressionLevel > 0;
    await this.#turns.pass();
    return this.staging.take(source, {
      limit: limits.maxAttachmentSize,
      tooLarge: () => tooLarge(name),
      ...(gzip ? { gzip: 'given' } : shrinks ? { gzip: { level: attachments.compressionLevel } } : {}),
    });
  }

  /** A document with those of its attachments taken in that stand in it. @throws CouchError 400, 413 */
  async edit({ attachments, ...document }: ParsedDocument, newEdits: boolean): Promise<DocumentEdit> {
    if (attachments === undefined) return document;
    this.requireCount(document.id, attachments.size);
    const edits = new Map<string, AttachmentEdit>();
    for (const [name, given] of attachments) edits.set(name, await this.take(name, given, newEdits));
    return { ...document, attachments: edits };
  }

  /** Takes in what a document says of an attachment. @throws CouchError 400 for one that would have to follow it */
  async take(name: string, given: GivenAttachment, newEdits: boolean): Promise<AttachmentEdit> {
    if (given.kind === 'stub') return given;
    if (given.kind === 'follows') throw badRequest(`Invalid attachment data for ${name}`);
    const { contentType, revpos, data } = given;
    const staged = await this.stage(name, contentType, decoded(name, data));
    return { kind: 'staged', contentType, revpos: newEdits ? undefined : revpos, staged };
  }
}

/** What was sent has to be what the client says of it. @param digest `md5-` and base64 @throws CouchError 400 */
export function requireDigest({ plain, gzip }: StagedAttachment, isGzip: boolean, digest: string): void {
  const sent = isGzip ? gzip : plain;
  if (sent?.digest !== digest) {
    throw new CouchError(400, 'content_md5_mismatch', 'Possible message corruption.');
  }
}

const tooLarge = (name: string): CouchError => new CouchError(413, 'attachment_too_large', name);

/** The content types that match one of CouchDB's patterns, in which the first `*` stands for anything. */
export function typePattern(patterns: readonly string[]): RegExp {
  const alternatives = patterns.map((pattern) =>
    pattern.replace(/[.+?^${}()|[\]\\]/g, '\\$&').replace('*', '.*'),
  );
  // None matches nothing.
  return new RegExp(`^\\s*(?:${alternatives.join('|') || '(?!)'})\\s*(?:;.*)?$`, 'i');
}

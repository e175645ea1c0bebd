import { BAD_ARG, createError, MISSING_STUB } from 'pouchdb-errors';
import type { LevelAttachments } from '../store/attachments/content.js';
import { type Attachment, readAttachments } from '../store/attachments/members.js';
import type { StageOptions } from '../store/attachments/stage.js';
import type { Staging } from '../store/attachments/staging.js';
import type { LevelDatabase } from '../store/level-database.js';
import type { AttachmentEdit } from '../store/types/edits.js';
import type { Revisions } from '../store/types/records.js';
import { revOf } from '../revtree/tree.js';
import type { Doc, DocAttachment } from './api.js';

// ---- out ------------------------------------------------------------------------------------------------------

/** An attachment as PouchDB knows it: not how it is stored besides. */
export function shownAttachment({
  content_type,
  revpos,
  digest,
  length,
  stub,
}: DocAttachment): DocAttachment {
  const shown = { content_type, revpos, digest, length, stub };
  return Object.fromEntries(Object.entries(shown).filter(([, value]) => value !== undefined));
}

/** The bytes of an attachment: in base64, or as a buffer that names their type as a browser's blob does. */
export async function readBytes(
  reader: LevelAttachments,
  { digest = '', length, content_type: type }: DocAttachment,
  binary: boolean,
): Promise<string | Buffer> {
  const end = length ?? (await reader.length(digest)) ?? 0;
  const pieces: Buffer[] = [];
  for await (const piece of reader.read(digest, { start: 0, end })) pieces.push(piece);
  const bytes = Buffer.concat(pieces);
  return binary ? Object.assign(bytes, { type }) : bytes.toString('base64');
}

/** Puts the bytes of all attachments into documents that were just read. */
export async function fillAttachments(
  database: LevelDatabase,
  docs: Iterable<Doc | null | undefined>,
  binary: boolean,
): Promise<void> {
  const attachments = Array.from(docs, (doc) => Object.values(doc?._attachments ?? {})).flat();
  if (attachments.length === 0) return;
  await withReader(database, async (reader) => {
    for (const attachment of attachments) {
      attachment.data = await readBytes(reader, attachment, binary);
      delete attachment.stub;
      delete attachment.length;
    }
  });
}

/** Reads attachments of one moment. */
export async function withReader<T>(
  database: LevelDatabase,
  work: (reader: LevelAttachments) => Promise<T>,
): Promise<T> {
  const reader = database.openAttachments();
  try {
    return await work(reader);
  } finally {
    await reader.close();
  }
}

// ---- in -------------------------------------------------------------------------------------------------------

/** No limit but the memory that the bytes are in already. */
const UNLIMITED: StageOptions = {
  limit: Infinity,
  tooLarge: () => new RangeError('an attachment is too large'),
};

/** The attachments of one batch, let go of when it is written. */
export class Intake {
  readonly #staging: Staging;

  constructor(private readonly database: LevelDatabase) {
    this.#staging = database.stageAttachments();
  }

  /**
   * @param revisions the new revision, and the one that it is made of
   * @throws PouchError 412 for a stub whose bytes are not here, 500 for what is no base64
   */
  async take(
    id: string,
    revisions: Revisions,
    attachments: Readonly<Record<string, DocAttachment>>,
  ): Promise<ReadonlyMap<string, AttachmentEdit>> {
    const edits = new Map<string, AttachmentEdit>();
    const all = Object.entries(attachments);
    const inherited = all.some(([, one]) => one.stub) ? this.#inherited(id, revisions) : NONE;
    for (const [name, one] of all) {
      edits.set(name, one.stub ? await this.#keep(revisions, inherited, one) : await this.#stage(one));
    }
    return edits;
  }

  /** PouchDB takes a stub for any attachment that is here, whichever document has it. */
  async #keep(
    revisions: Revisions,
    inherited: ReadonlyMap<string, Attachment>,
    { digest, content_type: contentType = DEFAULT_TYPE, revpos = revisions.start }: DocAttachment,
  ): Promise<AttachmentEdit> {
    if (typeof digest !== 'string') throw missingStub(digest);
    const known = inherited.get(digest);
    const length = await this.#lengthOf(digest, known);
    if (length === undefined) throw missingStub(digest);
    return { kind: 'shared', attachment: { ...known, contentType, revpos, digest, length } };
  }

  /** The attachments of the edited revision, by their digests: they may be stored compressed as well. */
  #inherited(id: string, { start, ids: [, parent] }: Revisions): ReadonlyMap<string, Attachment> {
    const record = parent === undefined ? undefined : this.database.get(id);
    const text = record && this.database.read(record, revOf(start - 1, parent ?? ''));
    if (text === undefined) return NONE;
    return new Map(Array.from(readAttachments(text).values(), (one) => [one.digest, one]));
  }

  #lengthOf(digest: string, known: Attachment | undefined): number | Promise<number | undefined> {
    // PouchDB stores a stub as it was given it: its length may not stand there.
    if (known !== undefined && known.length > 0) return known.length;
    return withReader(this.database, (reader) => reader.length(digest));
  }

  async #stage({ data, content_type: contentType = DEFAULT_TYPE }: DocAttachment): Promise<AttachmentEdit> {
    const staged = await this.#staging.take([bytesOf(data)], UNLIMITED);
    return { kind: 'staged', contentType, revpos: undefined, staged };
  }

  /** Lets go of what no document took. */
  release(): Promise<void> {
    return this.#staging.release();
  }
}

const NONE: ReadonlyMap<string, Attachment> = new Map();

/** CouchDB's where none is given. */
const DEFAULT_TYPE = 'application/octet-stream';

const missingStub = (digest: unknown): Error =>
  createError(MISSING_STUB, `unknown stub attachment with digest ${String(digest)}`);

function bytesOf(data: unknown): Buffer {
  if (data instanceof Uint8Array) return Buffer.from(data.buffer, data.byteOffset, data.byteLength);
  if (typeof data === 'string') {
    const bytes = Buffer.from(data, 'base64');
    // Node passes over what is no base64.
    if (bytes.toString('base64') === data) return bytes;
  }
  throw createError(BAD_ARG, 'Attachment is not a valid base64 string');
}

import { badRequest, CouchError, internalError } from '../../errors.js';
import { JsonError, JsonReader } from '../../json/reader.js';
import { inTurns, type Work } from '../../json/turns.js';
import type { FollowingAttachment } from '../../multipart/writer.js';
import { decoded, type GivenAttachment } from '../../store/attachments/given.js';
import { isWhole, type ParsedDocument, readDocument } from '../../store/document.js';
import { requireInPartition } from '../../store/partitions.js';
import type { AttachmentStaging } from '../../store/types/attachments.js';
import type { Database } from '../../store/types/database.js';
import type { AttachmentEdit, DocumentEdit, WriteOptions } from '../../store/types/edits.js';
import type { RevisionText, RevisionWithAttachments, WriteFailure } from '../peer.js';
import type { LocalPeerOptions } from './options.js';

type WriteRules = Pick<LocalPeerOptions, 'documents' | 'attachments' | 'origin'>;

const replicated = ({ origin }: WriteRules): WriteOptions => ({
  newEdits: false,
  ...(origin !== undefined && { origin }),
});

/** Stores revisions as they are. @returns those that were refused */
export async function writeRevisions(
  db: Database,
  documents: readonly RevisionText[],
  rules: WriteRules,
): Promise<readonly WriteFailure[]> {
  const failures: WriteFailure[] = [];
  const { edits, taken } = await inTurns(parseAll(db, documents, rules, failures));
  if (edits.length === 0) return failures;
  const staging = edits.every(isWhole) ? undefined : db.stageAttachments();
  try {
    const whole = staging === undefined ? (edits as DocumentEdit[]) : await staged(edits, staging, rules);
    const results = await db.write(whole, replicated(rules));
    for (const [at, result] of results.entries()) {
      const document = taken[at];
      if (!result.ok && document !== undefined) failures.push(failure(document, result.error));
    }
  } finally {
    await staging?.release();
  }
  return failures;
}

interface Parsed {
  readonly edits: readonly ParsedDocument[];
  /** What each edit was read from. */
  readonly taken: readonly RevisionText[];
}

/** One that has no place in a partitioned database fails alone: the store would write none of them. */
function* parseAll(
  db: Pick<Database, 'isPartitioned'>,
  documents: readonly RevisionText[],
  { documents: limits }: WriteRules,
  failures: WriteFailure[],
): Work<Parsed> {
  const edits: ParsedDocument[] = [];
  const taken: RevisionText[] = [];
  for (const document of documents) {
    try {
      const edit = yield* parse(document.text, limits);
      requireInPartition(db, edit.id);
      edits.push(edit);
      taken.push(document);
    } catch (error) {
      failures.push(failure(document, asRefusal(error)));
    }
    yield;
  }
  return { edits, taken };
}

function* parse(text: string, limits: LocalPeerOptions['documents']): Work<ParsedDocument> {
  const reader = new JsonReader(text);
  const document = yield* readDocument(reader, { ...limits, newEdits: false });
  reader.end();
  return document;
}

function asRefusal(error: unknown): CouchError {
  if (error instanceof CouchError) return error;
  if (error instanceof JsonError) return badRequest('invalid UTF-8 JSON');
  throw error;
}

const failure = ({ id, rev }: RevisionText, error: CouchError): WriteFailure => ({ id, rev, error });

/** The edits with what stands in them as base64 taken in. */
async function staged(
  documents: readonly ParsedDocument[],
  staging: AttachmentStaging,
  rules: WriteRules,
): Promise<readonly DocumentEdit[]> {
  const edits: DocumentEdit[] = [];
  for (const document of documents) {
    edits.push(isWhole(document) ? document : await withAttachments(document, [], staging, rules));
  }
  return edits;
}

/** Stores one revision with what follows it. @throws CouchError */
export async function writeRevision(
  db: Database,
  { text, attachments }: RevisionWithAttachments,
  rules: WriteRules,
): Promise<void> {
  const document = await inTurns(parse(text, rules.documents));
  const staging = db.stageAttachments();
  try {
    const edit = await withAttachments(document, attachments, staging, rules);
    const [result] = await db.write([edit], replicated(rules));
    if (result === undefined) throw internalError('the store gave no result for an edit');
    if (!result.ok) throw result.error;
  } finally {
    await staging.release();
  }
}

async function withAttachments(
  document: ParsedDocument,
  following: readonly FollowingAttachment[],
  staging: AttachmentStaging,
  { attachments: rules }: WriteRules,
): Promise<DocumentEdit> {
  const { attachments, ...rest } = document;
  if (attachments === undefined) return rest;
  const edits = new Map<string, AttachmentEdit>();
  const bodies = following.values();
  for (const [name, given] of attachments) {
    const source = given.kind === 'follows' ? bodies.next().value : undefined;
    edits.set(name, await take(name, given, source, staging, rules));
  }
  return { ...rest, attachments: edits };
}

async function take(
  name: string,
  given: GivenAttachment,
  source: FollowingAttachment | undefined,
  staging: AttachmentStaging,
  { maxSize, compressible, compressionLevel }: LocalPeerOptions['attachments'],
): Promise<AttachmentEdit> {
  if (given.kind === 'stub') return given;
  const { contentType, revpos } = given;
  const isPacked = source?.encoding === 'gzip';
  const bytes = given.kind === 'data' ? decoded(name, given.data) : source?.body();
  if (bytes === undefined) throw badRequest(`Invalid attachment data for ${name}`);
  const shrinks = compressionLevel > 0 && compressible.test(contentType);
  const staged = await staging.take(bytes, {
    limit: maxSize,
    tooLarge: () => new CouchError(413, 'attachment_too_large', name),
    ...(isPacked ? { gzip: 'given' } : shrinks ? { gzip: { level: compressionLevel } } : {}),
  });
  if (given.kind === 'data') return { kind: 'staged', contentType, revpos, staged };
  const sent = isPacked ? staged.gzip : staged.plain;
  if (given.digest !== undefined && sent?.digest !== given.digest)
    throw new CouchError(400, 'content_md5_mismatch', 'Possible message corruption.');
  return {
    kind: 'staged',
    contentType,
    revpos,
    staged,
    shownLength: isPacked ? given.length : undefined,
  };
}

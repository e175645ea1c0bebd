import { badContentType, badRequest, CouchError, invalidJson } from '../errors.js';
import { decodeInTurns } from '../json/text.js';
import type { GivenPart } from '../store/attachments/given.js';
import type { ParsedDocument } from '../store/document.js';
import type { AttachmentEdit, DocumentEdit } from '../store/types/edits.js';
import type { Exchange } from './exchange.js';
import type { Intake } from './intake.js';
import { MultipartError } from '../multipart/errors.js';
import { parseHeaderParameters, parseMultipartType } from '../multipart/parameters.js';
import { type MultipartPart, MultipartReader } from '../multipart/reader.js';

/** The boundary of a `multipart/related` body; undefined for bodies of another type. @throws CouchError 400 */
export function relatedBoundary(exchange: Exchange): string | undefined {
  const header = exchange.header('content-type');
  if (header === undefined || !/^multipart\/related\s*;/i.test(header)) return undefined;
  const type = parseMultipartType(header);
  if (type === undefined) throw badRequest('The multipart body has no boundary.');
  return type.boundary;
}

/**
 * A document whose attachments follow it, as CouchDB's replicator sends them: parts belong to attachments by their
 * order, and what their heads say does not matter.
 * @param judge reads the document, and refuses it before any attachment is taken in
 * @throws CouchError
 */
export async function relatedEdit(
  exchange: Exchange,
  intake: Intake,
  boundary: string,
  judge: (text: string) => Promise<ParsedDocument>,
  newEdits: boolean,
): Promise<DocumentEdit> {
  const reader = new MultipartReader(exchange.bodyStream(), boundary);
  try {
    const { attachments, ...document } = await judge(await documentPart(exchange, reader));
    intake.requireCount(document.id, attachments?.size ?? 0);
    const edits = new Map<string, AttachmentEdit>();
    for (const [name, given] of attachments ?? []) {
      if (given.kind === 'follows') edits.set(name, await takePart(intake, reader, name, given, newEdits));
      else edits.set(name, await intake.take(name, given, newEdits));
    }
    // Parts that nobody asked for.
    await reader.drain();
    return edits.size === 0 ? document : { ...document, attachments: edits };
  } catch (error) {
    throw error instanceof MultipartError ? brokenBody(error) : error;
  } finally {
    await reader.cancel();
  }
}

async function documentPart(exchange: Exchange, reader: MultipartReader): Promise<string> {
  const part = await reader.next();
  if (part === undefined) throw badRequest('The multipart body has no document.');
  const { value: type } = parseHeaderParameters(part.headers.get('content-type') ?? '');
  if (type !== 'application/json') throw badContentType('Content-Type must be application/json');
  return partText(exchange, part);
}

/** A part as text, which may not be longer than the JSON body of a request. @throws CouchError 400, 413 */
export async function partText(exchange: Exchange, part: MultipartPart): Promise<string> {
  const limit = exchange.maxText;
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of part.body) {
    size += chunk.length;
    if (size > limit) throw new CouchError(413, 'too_large', 'the request entity is too large');
    chunks.push(chunk);
    await exchange.hold(chunk.length);
  }
  try {
    return await decodeInTurns(chunks);
  } catch {
    throw invalidJson();
  }
}

async function takePart(
  intake: Intake,
  reader: MultipartReader,
  name: string,
  { contentType, revpos, partLength, gzip, length, digest }: GivenPart,
  newEdits: boolean,
): Promise<AttachmentEdit> {
  intake.requireSize(name, partLength ?? 0);
  const body = await reader.nextBody();
  if (body === undefined) throw shorter();
  const staged = await intake.stage(name, contentType, measured(body, partLength), gzip);
  const sent = gzip ? staged.gzip : staged.plain;
  if (digest !== undefined && sent?.digest !== digest) {
    throw new CouchError(400, 'content_md5_mismatch', 'Possible message corruption.');
  }
  return {
    kind: 'staged',
    contentType,
    revpos: newEdits ? undefined : revpos,
    staged,
    shownLength: gzip ? length : undefined,
  };
}

/** A part that has to have as many bytes as its document says. */
async function* measured(body: AsyncIterable<Buffer>, length: number | undefined): AsyncGenerator<Buffer> {
  let size = 0;
  for await (const chunk of body) {
    size += chunk.length;
    if (length !== undefined && size > length) throw badRequest('attachment longer than expected');
    yield chunk;
  }
  if (length !== undefined && size < length) throw shorter();
}

const shorter = (): CouchError => badRequest('attachment shorter than expected');

export function brokenBody({ code, message }: MultipartError): CouchError {
  if (code === 'headers') return badRequest('bad part header');
  return code === 'truncated' ? shorter() : badRequest(message);
}

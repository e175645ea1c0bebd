import { ElementStream } from '../../json/elements.js';
import { JsonError } from '../../json/reader.js';
import { decodeInTurns, members } from '../../json/text.js';
import { MultipartError } from '../../multipart/errors.js';
import { parseHeaderParameters, parseMultipartType } from '../../multipart/parameters.js';
import { type MultipartPart, MultipartReader } from '../../multipart/reader.js';
import type { FollowingAttachment } from '../../multipart/writer.js';
import { type MissingRevisions, type OpenedRevision, PeerUnreachable } from '../peer.js';
import { attachmentsIn, revisionText } from '../revision-text.js';
import { bytes, type HttpAnswer, type HttpClient } from './client.js';
import { documentPath, queryString } from './paths.js';

/** Bytes of a document in a multipart body: as many as a server takes at the very most. */
const TEXT_LIMIT = 512 << 20;
/** Revisions in one URL: servers limit its length, some to 8,000 characters. */
const REVS_IN_URL = 50;
const ANCESTORS_IN_URL = 50;

/** Reads revisions of one document with what is attached to them, by `open_revs`. */
export async function* openRevs(
  client: HttpClient,
  { id, missing, possibleAncestors }: MissingRevisions,
  signal: AbortSignal,
): AsyncGenerator<OpenedRevision> {
  for (let at = 0; at < missing.length; at += REVS_IN_URL) {
    const query = queryString({
      open_revs: JSON.stringify(missing.slice(at, at + REVS_IN_URL)),
      revs: true,
      latest: true,
      attachments: true,
      atts_since:
        possibleAncestors.length > 0
          ? JSON.stringify(possibleAncestors.slice(0, ANCESTORS_IN_URL))
          : undefined,
    });
    // Whoever may choose sends JSON where it is as good.
    const accept = 'multipart/mixed, application/json;q=0.5';
    const path = `${documentPath(id)}${query}`;
    const answer = await client.send({ method: 'GET', path, accept, signal });
    try {
      yield* readRevisions(answer, id);
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof MultipartError || error instanceof JsonError || error instanceof SyntaxError)
        throw new PeerUnreachable('the answer to open_revs is not what it should be', { cause: error });
      throw error;
    }
  }
}

async function* readRevisions({ contentType, body }: HttpAnswer, id: string): AsyncGenerator<OpenedRevision> {
  const multipart = parseMultipartType(contentType);
  if (multipart === undefined) {
    yield* readJson(bytes(body), id);
    return;
  }
  for await (const part of new MultipartReader(bytes(body), multipart.boundary)) {
    const header = part.headers.get('content-type');
    const related = parseMultipartType(header);
    if (related !== undefined) yield* readRelated(part, related.boundary);
    else if (parseHeaderParameters(header ?? '').parameters.has('error'))
      yield missed(id, await textOf(part));
    else yield whole(await textOf(part));
  }
}

/** What a server answers that has no multipart: attachments stand in the documents. */
async function* readJson(chunks: AsyncIterable<Buffer>, id: string): AsyncGenerator<OpenedRevision> {
  const stream = new ElementStream(1);
  for await (const chunk of chunks) {
    for (const text of stream.take(chunk)) {
      const ok = members(text)?.get('ok');
      yield ok === undefined ? missed(id, text) : whole(ok);
    }
  }
  stream.end();
}

const whole = (text: string): OpenedRevision => ({
  kind: 'document',
  document: { ...revisionText(text), attachments: [] },
});

function missed(id: string, text: string): OpenedRevision {
  const { missing } = JSON.parse(text) as Record<string, unknown>;
  if (typeof missing !== 'string') throw new JsonError('neither a document nor a missing revision');
  return { kind: 'missing', id, rev: missing };
}

async function* readRelated(part: MultipartPart, boundary: string): AsyncGenerator<OpenedRevision> {
  const reader = new MultipartReader(part.body, boundary);
  const first = await reader.next();
  if (first === undefined) throw new JsonError('a multipart body without a document');
  const text = await textOf(first);
  const attachments = Array.from(attachmentsIn(text) ?? []).flatMap(([name, entry]) => {
    const described = JSON.parse(entry) as Record<string, unknown>;
    return described.follows === true ? [following(reader, name, described)] : [];
  });
  yield { kind: 'document', document: { ...revisionText(text), attachments } };
  await reader.drain();
}

function following(
  reader: MultipartReader,
  name: string,
  described: Readonly<Record<string, unknown>>,
): FollowingAttachment {
  const { content_type: type, encoding, length, encoded_length: encodedLength } = described;
  const bytesSent = encoding === 'gzip' ? encodedLength : length;
  if (typeof bytesSent !== 'number') throw new JsonError('an attachment without a length');
  return {
    name,
    type: typeof type === 'string' ? type : 'application/octet-stream',
    length: bytesSent,
    encoding: encoding === 'gzip' ? 'gzip' : undefined,
    body: () => nextBody(reader),
  };
}

async function* nextBody(reader: MultipartReader): AsyncGenerator<Buffer> {
  try {
    const body = await reader.nextBody();
    if (body === undefined) throw new PeerUnreachable('an attachment is missing');
    yield* body;
  } catch (error) {
    if (error instanceof MultipartError)
      throw new PeerUnreachable('an attachment ended early', { cause: error });
    throw error;
  }
}

async function textOf({ body }: MultipartPart): Promise<string> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of body) {
    length += chunk.length;
    if (length > TEXT_LIMIT) throw new PeerUnreachable('a document is too long');
    chunks.push(chunk);
  }
  return decodeInTurns(chunks);
}

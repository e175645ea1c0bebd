import { CHUNK_SIZE } from './stream.js';
import {
  documentEntity,
  singleLine,
  type Chunk,
  type Entity,
  type FollowingAttachment,
} from '../multipart/writer.js';

type Entities = AsyncIterable<Entity> | Iterable<Entity>;

/** The `multipart/mixed` of `open_revs`. It ends without a line end: CouchDB's replicator insists on that. */
export function openRevsBody(revisions: Entities, boundary: string): AsyncGenerator<Chunk> {
  return gathered(openRevs(revisions, boundary));
}

async function* openRevs(revisions: Entities, boundary: string): AsyncGenerator<Chunk> {
  yield `--${boundary}`;
  for await (const revision of revisions) {
    yield headOf(revision);
    yield* revision.chunks();
    yield `\r\n--${boundary}`;
  }
  yield '--';
}

/** The multipart body of `_bulk_get`, which is nothing at all where nothing was asked for. */
export function bulkGetBody(rows: Entities, boundary: string): AsyncGenerator<Chunk> {
  return gathered(bulkGet(rows, boundary));
}

async function* bulkGet(rows: Entities, boundary: string): AsyncGenerator<Chunk> {
  let closing = '';
  for await (const row of rows) {
    yield `\r\n--${boundary}${headOf(row)}`;
    yield* row.chunks();
    closing = `\r\n--${boundary}--\r\n`;
  }
  yield closing;
}

/** A document in `_bulk_get`: CouchDB names it in headers where attachments follow, and does not quote the boundary. */
export function bulkGetDocument(
  id: string,
  rev: string,
  text: string,
  attachments: readonly FollowingAttachment[],
  boundary: string,
): Entity {
  const entity = documentEntity(text, attachments, boundary);
  if (attachments.length === 0) return entity;
  return {
    ...entity,
    type: `multipart/related; boundary=${boundary}`,
    headers: [`X-Doc-Id: ${singleLine(id)}`, `X-Rev-Id: ${rev}`],
  };
}

const headOf = ({ type, headers = [] }: Entity): string =>
  [...headers, `Content-Type: ${type}`].map((line) => `\r\n${line}`).join('') + '\r\n\r\n';

/** Puts texts together, so that not each delimiter is sent by itself. */
async function* gathered(chunks: AsyncIterable<Chunk>): AsyncGenerator<Chunk> {
  let text = '';
  for await (const chunk of chunks) {
    if (typeof chunk === 'string') {
      text += chunk;
      if (text.length < CHUNK_SIZE) continue;
    }
    if (text !== '') yield text;
    text = '';
    if (typeof chunk !== 'string') yield chunk;
  }
  if (text !== '') yield text;
}

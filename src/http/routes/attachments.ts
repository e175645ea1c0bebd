import { bodyOf, type DocumentHandler, living, redirectDesign, refuseAttachment } from './documents.js';
import type { AddResource } from './index.js';
import { editedRevisions } from './revisions.js';
import { badContentType, conflict, CouchError, notFound } from '../../errors.js';
import { requireAttachmentName } from '../../store/attachments/given.js';
import { type Attachment, type EncodedForm, readAttachments } from '../../store/attachments/members.js';
import { editOf, parseRev, validateDocid } from '../../store/document.js';
import { requireColon } from '../../store/partitions.js';
import type { AttachmentReader } from '../../store/types/attachments.js';
import type { Database } from '../../store/types/database.js';
import type { AttachmentEdit, DocumentEdit } from '../../store/types/edits.js';
import type { Revisions } from '../../store/types/records.js';
import { acceptedEncodings } from '../accept.js';
import { withReader } from '../../store/attachments/text.js';
import { CAGE } from '../caged.js';
import { matches } from '../etag.js';
import type { Exchange } from '../exchange.js';
import { Intake } from '../intake.js';
import { newBoundary } from '../../multipart/writer.js';
import { parseRanges, type Range } from '../ranges.js';
import { onDatabase } from '../resource.js';
import { sendStream } from '../stream.js';
import { encodeSegment } from '../url.js';
import { checkWrite, isDesign, isLocal, writeOne } from '../writes.js';

/** Attachments by paths of their own; their names may have slashes. */
export function attachmentRoutes(add: AddResource): void {
  addAttachment(add, '/:db/:docid/*', (exchange) => exchange.param('docid'));
  addAttachment(add, '/:db/_design/:name/*', (exchange) => `_design/${exchange.param('name')}`);
}

function addAttachment(add: AddResource, path: string, idOf: (exchange: Exchange) => string): void {
  const on = (handler: DocumentHandler): ReturnType<typeof onDatabase> =>
    onDatabase('member', (exchange, db) => {
      const id = idOf(exchange);
      requireColon(db, id);
      return isLocal(id) ? refuseAttachment() : handler(exchange, db, id);
    });
  add({
    path,
    allow: 'DELETE,GET,HEAD,PUT',
    methods: { GET: on(get), PUT: on(put), DELETE: on(remove) },
    other: onDatabase('member'),
  });
}

const nameOf = (exchange: Exchange): string => exchange.param('*');

/** Clients choose it: what could not be a header is not sent as one. */
const typeOf = ({ contentType }: Attachment): string =>
  /^[\x20-\x7e\x80-\xff]*$/.test(contentType) ? contentType : 'application/octet-stream';

const missing = (): CouchError => notFound('Document is missing attachment');

// ---- reading --------------------------------------------------------------------------------------------------

async function get(exchange: Exchange, db: Database, id: string): Promise<void> {
  if (isDesign(id) && exchange.params.docid !== undefined) {
    redirectDesign(exchange);
    return;
  }
  const attachment = find(exchange, db, id);
  const etag = `"${(attachment.encoded?.digest ?? attachment.digest).slice('md5-'.length)}"`;
  if (matches(exchange.header('if-none-match'), etag)) {
    exchange.empty(304, ['ETag', etag]);
    return;
  }
  await withReader(db, (reader) => send(exchange, reader, attachment, etag));
}

function find(exchange: Exchange, db: Database, id: string): Attachment {
  const parameter = exchange.parameter('rev');
  const rev = parameter === undefined ? undefined : parseRev(parameter);
  const record = db.get(id);
  const found = rev === undefined || record === undefined ? living(record) : record;
  const text = bodyOf(db, found, rev ?? found.winner);
  const attachment = readAttachments(text).get(nameOf(exchange));
  if (attachment === undefined) throw missing();
  return attachment;
}

async function send(
  exchange: Exchange,
  reader: AttachmentReader,
  attachment: Attachment,
  etag: string,
): Promise<void> {
  const { digest, length, encoded } = attachment;
  const type = typeOf(attachment);
  const headers = ['ETag', etag, 'Accept-Ranges', encoded === undefined ? 'bytes' : 'none', ...CAGE];
  const packed = acceptedEncodings(exchange.header('accept-encoding')).gzip ? encoded : undefined;
  const ranges = rangesOf(exchange, attachment, packed);
  const [range] = ranges ?? [];
  if (ranges !== undefined && range === undefined) {
    throw new CouchError(416, 'requested_range_not_satisfiable', 'Requested range not satisfiable');
  }
  if (packed !== undefined) {
    const whole = { start: 0, end: packed.length };
    await sendStream(exchange, () => reader.read(packed.digest, whole), {
      type,
      length: packed.length,
      headers: [...headers, 'Content-Encoding', packed.encoding],
    });
  } else if (ranges === undefined || range === undefined || encoded !== undefined) {
    await sendStream(exchange, () => reader.read(digest, { start: 0, end: length }), {
      type,
      length,
      headers,
    });
  } else if (ranges.length === 1) {
    await sendStream(exchange, () => part(reader, attachment, range), {
      status: 206,
      type,
      length: range.last - range.first + 1,
      headers: [...headers, 'Content-Range', contentRange(range, length)],
    });
  } else {
    const boundary = newBoundary();
    await sendStream(exchange, () => byteRanges(reader, attachment, ranges, boundary), {
      status: 206,
      type: `multipart/byteranges; boundary="${boundary}"`,
      headers: CAGE,
    });
  }
}

/**
 * The parts that are asked for; of what is stored packed none is sent, but one that cannot be had is refused. What a
 * client packed has no length that CouchDB would know until it is unpacked.
 */
function rangesOf(
  exchange: Exchange,
  { length, encoded }: Attachment,
  packed: EncodedForm | undefined,
): readonly Range[] | undefined {
  if (encoded !== undefined && packed === undefined && encoded.shownLength === encoded.length)
    return undefined;
  return parseRanges(exchange.header('range'), (packed ?? { length }).length);
}

const part = (
  reader: AttachmentReader,
  { digest }: Attachment,
  { first, last }: Range,
): AsyncIterable<Buffer> => reader.read(digest, { start: first, end: last + 1 });

const contentRange = ({ first, last }: Range, length: number): string =>
  `bytes ${String(first)}-${String(last)}/${String(length)}`;

async function* byteRanges(
  reader: AttachmentReader,
  attachment: Attachment,
  ranges: readonly Range[],
  boundary: string,
): AsyncGenerator<string | Buffer> {
  const type = typeOf(attachment);
  yield `--${boundary}`;
  for (const range of ranges) {
    yield `\r\nContent-Type: ${type}\r\nContent-Range: ${contentRange(range, attachment.length)}\r\n\r\n`;
    yield* part(reader, attachment, range);
    yield `\r\n--${boundary}`;
  }
  yield '--';
}

// ---- writing --------------------------------------------------------------------------------------------------

async function put(exchange: Exchange, db: Database, id: string): Promise<void> {
  const name = nameOf(exchange);
  requireAttachmentName(name);
  const gzip = isGzip(exchange);
  const revisions = editedRevisions(exchange, { start: 0, ids: [] });
  if (revisions.ids.length === 0) validateDocid(id, exchange.server.documents.maxIdLength);
  const edit = revisedEdit(db, id, revisions);
  requireLeaf(db, edit);
  await checkWrite(exchange, db, edit);
  const contentType = exchange.header('content-type') ?? 'application/octet-stream';
  await Intake.during(exchange, db, async (intake) => {
    intake.requireCount(id, (edit.attachments?.size ?? 0) + 1);
    intake.requireSize(name, Number(exchange.header('content-length') ?? 0));
    const staged = await intake.stage(name, contentType, exchange.bodyStream(), gzip);
    // Clients that compress themselves do not say how much it was before.
    const shownLength = gzip ? staged.gzip?.length : undefined;
    const own: AttachmentEdit = { kind: 'staged', contentType, revpos: undefined, staged, shownLength };
    const others = new Map(edit.attachments);
    others.delete(name);
    await answer(exchange, db, { ...edit, attachments: new Map([[name, own], ...others]) }, 201);
  });
}

function isGzip(exchange: Exchange): boolean {
  const encoding = exchange.header('content-encoding')?.trim().toLowerCase() ?? 'identity';
  if (encoding !== 'gzip' && encoding !== 'identity') {
    throw badContentType('Only gzip and identity content-encodings are supported');
  }
  return encoding === 'gzip';
}

/** What the revision says that is given, with its attachments; nothing where none is. @throws CouchError 409 */
export function revisedEdit(db: Database, id: string, revisions: Revisions): DocumentEdit {
  const [hash] = revisions.ids;
  const record = db.get(id);
  if (hash === undefined) {
    if (record !== undefined && !record.deleted) throw conflict();
    return { id, revisions, deleted: false, body: '' };
  }
  const text = record && db.read(record, `${String(revisions.start)}-${hash}`);
  if (text === undefined) throw new CouchError(409, 'not_found', 'missing_rev');
  return { ...editOf(text, 'stub'), id, revisions };
}

/** What cannot but end in a conflict is refused before its bytes come. @throws CouchError 409 */
function requireLeaf(db: Database, { id, revisions: { start, ids } }: DocumentEdit): void {
  const [hash] = ids;
  if (hash === undefined) return;
  const rev = `${String(start)}-${hash}`;
  if (
    db
      .get(id)
      ?.leaves()
      .some((leaf) => leaf.rev === rev) !== true
  )
    throw conflict();
}

async function remove(exchange: Exchange, db: Database, id: string): Promise<void> {
  const name = nameOf(exchange);
  requireAttachmentName(name);
  const revisions = editedRevisions(exchange, { start: 0, ids: [] });
  if (revisions.ids.length === 0) {
    find(exchange, db, id);
    throw conflict();
  }
  const edit = revisedEdit(db, id, revisions);
  const attachments = new Map(edit.attachments);
  if (!attachments.delete(name)) throw missing();
  await checkWrite(exchange, db, edit);
  await answer(exchange, db, { ...edit, attachments }, 200);
}

async function answer(exchange: Exchange, db: Database, edit: DocumentEdit, status: number): Promise<void> {
  const rev = await writeOne(db, edit, true);
  const name = encodeSegment(nameOf(exchange));
  const path = `/${encodeSegment(db.name)}/${encodeSegment(edit.id)}/${name}`;
  exchange.json(
    status,
    `{"ok":true,"id":${JSON.stringify(edit.id)},"rev":${JSON.stringify(rev)}}`,
    status === 201 ? ['Location', exchange.absolute(path)] : [],
  );
}

import { revisedEdit } from './attachments.js';
import { refuseAttachment, writeAndAnswer } from './documents.js';
import { editedRevisions, revisionsOf } from './revisions.js';
import { badRequest } from '../../errors.js';
import { requireAttachmentName } from '../../store/attachments/given.js';
import { parseDocument, parseRev, validateDocid } from '../../store/document.js';
import type { Database } from '../../store/types/database.js';
import type { AttachmentEdit, DocumentEdit } from '../../store/types/edits.js';
import { requireContentType } from '../body.js';
import type { Exchange } from '../exchange.js';
import { Intake } from '../intake.js';
import { MultipartError } from '../../multipart/errors.js';
import { parseHeaderParameters, parseMultipartType } from '../../multipart/parameters.js';
import { type MultipartPart, MultipartReader } from '../../multipart/reader.js';
import { brokenBody, partText } from '../related.js';
import { checkWrite, isLocal } from '../writes.js';

/** Browsers' forms, with which CouchDB's own pages sent attachments: files, and the document that they are of. */
export async function postForm(exchange: Exchange, db: Database, id: string): Promise<void> {
  requireReferer(exchange);
  validateDocid(id, exchange.server.documents.maxIdLength);
  if (isLocal(id)) refuseAttachment();
  const header = exchange.header('content-type');
  requireContentType(header, 'multipart/form-data');
  const type = parseMultipartType(header);
  if (type === undefined) throw badRequest('The multipart body has no boundary.');
  // Who may not write the document need not send any of it.
  await checkWrite(exchange, db, { id, deleted: true, body: '' });
  await Intake.during(exchange, db, async (intake) => {
    const form = await readForm(exchange, intake, type.boundary);
    const edit = await formEdit(exchange, db, intake, id, form);
    await checkWrite(exchange, db, edit);
    const attachments = new Map(form.files);
    for (const [name, one] of edit.attachments ?? []) if (!attachments.has(name)) attachments.set(name, one);
    await writeAndAnswer(exchange, db, { ...edit, attachments }, true, false);
  });
}

/** Pages of other sites must not send forms in the name of their readers. */
function requireReferer(exchange: Exchange): void {
  const referer = exchange.header('referer');
  if (referer === undefined) throw badRequest('Referer header required.');
  if (!URL.canParse(referer) || new URL(referer).host !== exchange.header('host')) {
    throw badRequest('Referer header must match host.');
  }
}

interface Form {
  /** Texts by the names of their fields. */
  readonly texts: ReadonlyMap<string, string>;
  readonly files: ReadonlyMap<string, AttachmentEdit>;
}

/** Fields may come in any order: files are taken in before it is known what they are attached to. */
async function readForm(exchange: Exchange, intake: Intake, boundary: string): Promise<Form> {
  const reader = new MultipartReader(exchange.bodyStream(), boundary);
  const texts = new Map<string, string>();
  const files = new Map<string, AttachmentEdit>();
  try {
    for await (const part of reader) {
      const { parameters } = parseHeaderParameters(part.headers.get('content-disposition') ?? '');
      const field = parameters.get('name') ?? '';
      if (field === '_doc' || field === '_rev') texts.set(field, await partText(exchange, part));
      // Browsers send one without a name where no file was chosen.
      const name = parameters.get('filename') ?? '';
      if (field === '_attachments' && name !== '') files.set(name, await takeFile(intake, name, part));
    }
  } catch (error) {
    throw error instanceof MultipartError ? brokenBody(error) : error;
  }
  return { texts, files };
}

async function takeFile(intake: Intake, name: string, part: MultipartPart): Promise<AttachmentEdit> {
  requireAttachmentName(name);
  const contentType = part.headers.get('content-type') ?? 'application/octet-stream';
  const staged = await intake.stage(name, contentType, part.body);
  return { kind: 'staged', contentType, revpos: undefined, staged };
}

/** The document of a form without its files: the one that it holds, or the revision that it names. */
async function formEdit(
  exchange: Exchange,
  db: Database,
  intake: Intake,
  id: string,
  { texts }: Form,
): Promise<DocumentEdit> {
  const text = texts.get('_doc');
  if (text !== undefined) {
    const given = await parseDocument(text, { newEdits: true, id, ...exchange.server.documents });
    return intake.edit({ ...given, revisions: editedRevisions(exchange, given.revisions) }, true);
  }
  const rev = texts.get('_rev');
  if (rev === undefined) throw badRequest('The form has neither a `_doc` nor a `_rev`.');
  return revisedEdit(db, id, revisionsOf(parseRev(rev.trim())));
}

import type { Attachment } from './members.js';
import { shownLength, stub, withAttachments } from './shown.js';
import type { DocumentExtras } from '../document.js';
import type { AttachmentReader } from '../types/attachments.js';
import type { Database } from '../types/database.js';
import type { DocumentRecord } from '../types/records.js';
import type { FollowingAttachment } from '../../multipart/writer.js';

/** Whether an attachment is sent with its bytes, or is but named. */
export type Wanted = (attachment: Attachment) => boolean;

export const ALL: Wanted = () => true;
export const NONE: Wanted = () => false;

/** `atts_since`: what is newer than the youngest of these revisions among the ancestors. */
export function newerThan(record: DocumentRecord, rev: string, known: readonly string[]): Wanted {
  const { start, ids } = record.revisions(rev) ?? { start: 0, ids: [] };
  const since = new Set(known);
  const at = ids.findIndex((hash, index) => since.has(`${String(start - index)}-${hash}`));
  const generation = at < 0 ? 0 : start - at;
  return ({ revpos }) => revpos > generation;
}

/** Sends what is read of attachments. They stay to its end, also where they are dropped meanwhile. */
export async function withReader(
  db: Database,
  send: (reader: AttachmentReader) => Promise<void>,
): Promise<void> {
  const reader = db.openAttachments();
  try {
    await send(reader);
  } finally {
    await reader.close();
  }
}

/** How the attachments of a document are shown. */
export interface Shown {
  readonly wanted: Wanted;
  /** With how they are compressed: `att_encoding_info=true`. */
  readonly encodingInfo: boolean;
}

export const STUBS: Shown = { wanted: NONE, encodingInfo: false };

/** A stored text as clients get it. Bytes of attachments are but marked in it: `filled` puts them there. */
export function shownText(stored: string, extras: DocumentExtras, { wanted, encodingInfo }: Shown): string {
  return withAttachments(stored, extras, (one) => {
    const content = wanted(one) ? `"data":"${mark(one)}"` : stub(one);
    return content + encoding(one, encodingInfo);
  });
}

/** A document and those of its attachments that follow it in a multipart body, in the same order. */
export function followedText(
  reader: AttachmentReader,
  stored: string,
  extras: DocumentExtras,
  wanted: Wanted,
): { readonly text: string; readonly following: readonly FollowingAttachment[] } {
  const following: FollowingAttachment[] = [];
  const text = withAttachments(stored, extras, (one, name) => {
    if (!wanted(one)) return stub(one) + encoding(one, true);
    following.push(followingAttachment(reader, name, one));
    return `"length":${String(shownLength(one))},"follows":true${encoding(one, true)}`;
  });
  return { text, following };
}

/** Multipart bodies carry what is stored compressed as it is: its digest is that of the compressed bytes. */
function followingAttachment(reader: AttachmentReader, name: string, one: Attachment): FollowingAttachment {
  const { digest, length } = one.encoded ?? one;
  return {
    name,
    type: one.contentType,
    length,
    encoding: one.encoded?.encoding,
    body: () => reader.read(digest, { start: 0, end: length }),
  };
}

const encoding = ({ encoded }: Attachment, asked: boolean): string =>
  asked && encoded !== undefined
    ? `,"encoding":"${encoded.encoding}","encoded_length":${String(encoded.length)}`
    : '';

// ---- bytes ----------------------------------------------------------------------------------------------------

/** No JSON text has this character in it. */
const MARK = '\0';

const mark = ({ digest, length }: Attachment): string => `${MARK}${digest} ${String(length)}${MARK}`;

/** Texts with the bytes of attachments where `shownText` marked them, in pieces: they may be large. */
export async function* filled(
  reader: AttachmentReader,
  texts: AsyncIterable<string> | Iterable<string>,
): AsyncGenerator<string> {
  for await (const text of texts) yield* filledOne(reader, text);
}

/**
 * The same for listings and feeds, which may go on for ever. What is dropped between the reading of a page and the
 * moment when a slow client has come to its end is missing then, and ends the answer.
 */
export async function* filledListing(db: Database, texts: AsyncIterable<string>): AsyncGenerator<string> {
  for await (const text of texts) {
    if (!text.includes(MARK)) {
      yield text;
      continue;
    }
    const reader = db.openAttachments();
    try {
      yield* filledOne(reader, text);
    } finally {
      await reader.close();
    }
  }
}

async function* filledOne(reader: AttachmentReader, text: string): AsyncGenerator<string> {
  // Texts and marks by turns.
  for (const [index, part] of text.split(MARK).entries()) {
    if (index % 2 === 0) yield part;
    else yield* base64(reader, part);
  }
}

async function* base64(reader: AttachmentReader, marked: string): AsyncGenerator<string> {
  const [digest = '', length] = marked.split(' ');
  let rest: Buffer = Buffer.alloc(0);
  for await (const bytes of reader.read(digest, { start: 0, end: Number(length) })) {
    const all = rest.length === 0 ? bytes : Buffer.concat([rest, bytes]);
    // Three bytes make four characters.
    const whole = all.length - (all.length % 3);
    yield all.toString('base64', 0, whole);
    rest = all.subarray(whole);
  }
  if (rest.length > 0) yield rest.toString('base64');
}

import { members } from '../../json/text.js';

/** An attachment as the body of a revision names it. Digests are `md5-` and base64, lengths bytes. */
export interface Attachment {
  readonly contentType: string;
  /** Generation of the revision that it came with. */
  readonly revpos: number;
  /** Of the plain bytes: what they are stored under. */
  readonly digest: string;
  readonly length: number;
  /** Where it is stored compressed as well. */
  readonly encoded?: EncodedForm;
}

/** The compressed form of an attachment; clients are shown its digest, as CouchDB's are. */
export interface EncodedForm {
  readonly encoding: 'gzip';
  readonly digest: string;
  readonly length: number;
  /** The length that is shown for the plain bytes: clients that compress themselves do not always say it. */
  readonly shownLength: number;
}

/** As it stands in a body. PouchDB knows the first five, and needs `digest` to be that of the plain bytes. */
interface StoredAttachment {
  content_type?: string;
  revpos?: number;
  digest: string;
  length?: number;
  stub?: true;
  encoding?: 'gzip';
  encoded_digest?: string;
  encoded_length?: number;
  shown_length?: number;
}

const NAME = '"_attachments":';
const RARE_START = '_attachments":{';

/** The attachments of a stored text, and what else is in it. */
interface Parts {
  /** The text without them. */
  readonly before: string;
  readonly attachments: ReadonlyMap<string, StoredAttachment>;
}

/** Takes a stored text apart; undefined where the revision has no attachments. */
export function splitAttachments(text: string): Parts | undefined {
  // Mostly there are none: what begins with a rare character is looked for in a tenth of the time.
  if (!text.includes(RARE_START)) return undefined;
  const at = text.lastIndexOf(`${NAME}{`);
  if (at < 0) return undefined;
  return splitLast(text, at) ?? splitAnywhere(text);
}

/** We write it last: whatever is nested deeper ends with more brackets than one. */
function splitLast(text: string, at: number): Parts | undefined {
  // The quote may belong to a longer name.
  if (text[at - 1] !== ',') return undefined;
  const attachments = parseStored(text.slice(at + NAME.length, -1));
  return attachments && { before: `${text.slice(0, at - 1)}}`, attachments };
}

/** Names that a JavaScript object would put before all others. */
const NUMBER = /"[0-9]+":\{/;

/** Undefined where the text is not one whole object. There may be thousands in it: mostly they are read at once. */
function parseStored(text: string): ReadonlyMap<string, StoredAttachment> | undefined {
  let all: object;
  try {
    all = JSON.parse(text) as object;
  } catch {
    return undefined;
  }
  if (!NUMBER.test(text)) return new Map(Object.entries(all));
  const each = Array.from(members(text) ?? [], ([name, value]): [string, StoredAttachment] => [
    name,
    JSON.parse(value) as StoredAttachment,
  ]);
  return new Map(each);
}

/** PouchDB writes it where it was in the document. */
function splitAnywhere(text: string): Parts | undefined {
  const all = members(text);
  const attachments = all?.get('_attachments');
  if (all === undefined || attachments === undefined) return undefined;
  all.delete('_attachments');
  const others = Array.from(all, ([name, value]) => `${JSON.stringify(name)}:${value}`);
  return { before: `{${others.join(',')}}`, attachments: parseStored(attachments) ?? new Map() };
}

/** The attachments of a stored revision by their names, in their order. */
export function readAttachments(text: string): ReadonlyMap<string, Attachment> {
  const parts = splitAttachments(text);
  return parts === undefined ? NONE : parseAttachments(parts);
}

/** The same of a text that may be damaged; undefined where it is. */
export function readableAttachments(text: string): ReadonlyMap<string, Attachment> | undefined {
  try {
    const attachments = readAttachments(text);
    const isWhole = [...attachments.values()].every(({ digest }) => typeof digest === 'string');
    return isWhole ? attachments : undefined;
  } catch {
    return undefined;
  }
}

const NONE: ReadonlyMap<string, Attachment> = new Map();

export function parseAttachments({ before, attachments }: Parts): ReadonlyMap<string, Attachment> {
  return new Map(Array.from(attachments, ([name, stored]) => [name, parseAttachment(stored, before)]));
}

function parseAttachment(stored: StoredAttachment, body: string): Attachment {
  const { digest, length = 0 } = stored;
  const plain = {
    // PouchDB stores stubs as it was given them.
    contentType: typeof stored.content_type === 'string' ? stored.content_type : 'application/octet-stream',
    revpos: stored.revpos ?? generationOf(body),
    digest,
    length,
  };
  if (stored.encoded_digest === undefined) return plain;
  const { encoded_digest: encodedDigest, encoded_length: encodedLength = 0, shown_length: shown } = stored;
  return {
    ...plain,
    encoded: {
      encoding: 'gzip',
      digest: encodedDigest,
      length: encodedLength,
      shownLength: shown ?? length,
    },
  };
}

const generationOf = (body: string): number =>
  Number.parseInt((JSON.parse(body) as { _rev: string })._rev, 10);

/** The member to be put behind the others of a body, with a comma where there are some. */
export function attachmentsMember(attachments: ReadonlyMap<string, Attachment>): string {
  if (attachments.size === 0) return '';
  const all = Array.from(attachments, ([name, one]) => `${JSON.stringify(name)}:${storedAttachment(one)}`);
  return `${NAME}{${all.join(',')}}`;
}

function storedAttachment({ contentType, revpos, digest, length, encoded }: Attachment): string {
  const stored: StoredAttachment = { content_type: contentType, revpos, digest, length, stub: true };
  if (encoded !== undefined) {
    stored.encoding = encoded.encoding;
    stored.encoded_digest = encoded.digest;
    stored.encoded_length = encoded.length;
    if (encoded.shownLength !== length) stored.shown_length = encoded.shownLength;
  }
  return JSON.stringify(stored);
}

import { badRequest, docValidation } from '../../errors.js';
import { members } from '../../json/text.js';

/** What a client says of one attachment of a document. */
export type GivenAttachment = GivenStub | GivenData | GivenPart;

/** The attachment of this name that the edited revision has. */
export interface GivenStub {
  readonly kind: 'stub';
  /** Has to be that of the stored one where it is given; of whatever type. */
  readonly revpos: unknown;
}

/** Bytes that stand in the document. */
export interface GivenData {
  readonly kind: 'data';
  readonly contentType: string;
  readonly revpos: number;
  readonly data: Buffer;
}

/** Bytes that follow the document in a multipart body. */
export interface GivenPart {
  readonly kind: 'follows';
  readonly contentType: string;
  readonly revpos: number;
  /** Bytes of the part, where the client says how many there are. */
  readonly partLength: number | undefined;
  /** The part is compressed. */
  readonly gzip: boolean;
  /** Bytes of what it unpacks to, as the client says. */
  readonly length: number | undefined;
  /** `md5-…` of the part. */
  readonly digest: string | undefined;
}

/**
 * Reads the `_attachments` member of a document, as CouchDB's `couch_att` does: entries that are no objects are
 * passed over, and what stands beside `data` or a stub is not believed.
 * @throws CouchError 400
 */
export function parseGivenAttachments(text: string): ReadonlyMap<string, GivenAttachment> {
  const given = members(text);
  if (given === undefined) throw docValidation('Bad special document member: _attachments');
  const found = new Map<string, GivenAttachment>();
  for (const [name, value] of given) {
    if (value.startsWith('{'))
      found.set(name, parseGiven(name, JSON.parse(value) as Record<string, unknown>));
  }
  return found;
}

function parseGiven(name: string, given: Record<string, unknown>): GivenAttachment {
  if (given.stub === true) return { kind: 'stub', revpos: given.revpos };
  const contentType = given.content_type ?? 'application/octet-stream';
  if (typeof contentType !== 'string') throw badRequest(`Invalid content type of attachment ${name}`);
  const revpos = count(given.revpos) ?? 0;
  if (given.follows !== true)
    return { kind: 'data', contentType, revpos, data: decodeData(name, given.data) };
  const { encoding = 'identity', digest } = given;
  if (encoding !== 'gzip' && encoding !== 'identity')
    throw badRequest(`Invalid encoding of attachment ${name}`);
  const gzip = encoding === 'gzip';
  const length = count(given.length);
  return {
    kind: 'follows',
    contentType,
    revpos,
    partLength: gzip ? (count(given.encoded_length) ?? length) : length,
    gzip,
    length,
    digest: typeof digest === 'string' && digest.startsWith('md5-') ? digest : undefined,
  };
}

const count = (value: unknown): number | undefined =>
  typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 ? value : undefined;

/** Standard alphabet, padded, white space anywhere, as Erlang decodes base64. */
function decodeData(name: string, data: unknown): Buffer {
  if (typeof data === 'string') {
    const text = /[ \t\r\n]/.test(data) ? data.replace(/[ \t\r\n]/g, '') : data;
    const padding = text.endsWith('==') ? 2 : text.endsWith('=') ? 1 : 0;
    const bytes = Buffer.from(text, 'base64');
    // Node passes over what is not of the alphabet: then bytes are missing.
    const isWhole = text.length % 4 === 0 && bytes.length === (text.length / 4) * 3 - padding;
    if (isWhole && !/[-_]/.test(text)) return bytes;
  }
  throw badRequest(`Invalid attachment data for ${name}`);
}

/** @throws CouchError 400 */
export function requireAttachmentName(name: string): void {
  if (name.startsWith('_')) {
    throw badRequest(`Attachment name '${name}' starts with prohibited character '_'`);
  }
}

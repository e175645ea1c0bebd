import { badRequest, type CouchError, docValidation } from '../../errors.js';
import { JsonReader } from '../../json/reader.js';

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
  /** In base64, not looked at yet: `decoded` makes bytes of it. */
  readonly data: string;
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
  const reader = new JsonReader(text);
  if (reader.peek() !== 'object') throw docValidation('Bad special document member: _attachments');
  const found = new Map<string, GivenAttachment>();
  reader.openObject();
  for (let name = reader.nextMember(); name !== undefined; name = reader.nextMember()) {
    if (reader.peek() === 'object') found.set(name, parseGiven(name, readEntry(reader)));
    else reader.readText();
  }
  return found;
}

interface Entry {
  readonly [member: string]: unknown;
  /** As it stands in the text, which is not copied: it may be nearly all of the request. */
  data?: string | undefined;
}

function readEntry(reader: JsonReader): Entry {
  const entry = Object.create(null) as Record<string, unknown> & Entry;
  reader.openObject();
  for (let member = reader.nextMember(); member !== undefined; member = reader.nextMember()) {
    if (member === 'data') entry.data = textOf(reader.readText());
    else entry[member] = reader.readValue();
  }
  return entry;
}

/** A JSON value as the text that it is, if it is one. */
function textOf(text: string): string | undefined {
  if (!text.startsWith('"')) return undefined;
  return text.includes('\\') ? (JSON.parse(text) as string) : text.slice(1, -1);
}

function parseGiven(name: string, given: Entry): GivenAttachment {
  if (given.stub === true) return { kind: 'stub', revpos: given.revpos };
  const contentType = given.content_type ?? 'application/octet-stream';
  if (typeof contentType !== 'string') throw badRequest(`Invalid content type of attachment ${name}`);
  const revpos = count(given.revpos) ?? 0;
  if (given.follows !== true) {
    if (given.data === undefined) throw badData(name);
    return { kind: 'data', contentType, revpos, data: given.data };
  }
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

/** Characters decoded at a time. */
const PART = 65_536;

/**
 * The bytes of base64 in pieces: standard alphabet, padded, white space anywhere, as Erlang decodes it.
 * @param name of the attachment that they are of
 * @throws CouchError 400
 */
export function* decoded(name: string, base64: string): Generator<Buffer> {
  let rest = '';
  let isPadded = false;
  for (let at = 0; at < base64.length; at += PART) {
    const text = rest + withoutSpace(base64.slice(at, at + PART));
    const end = text.length - (text.length % 4);
    rest = text.slice(end);
    if (end === 0) continue;
    // Nothing follows the padding.
    const bytes = isPadded ? undefined : decodeWhole(text.slice(0, end));
    if (bytes === undefined) throw badData(name);
    isPadded = text[end - 1] === '=';
    yield bytes;
  }
  if (rest !== '') throw badData(name);
}

const withoutSpace = (text: string): string =>
  /[ \t\r\n]/.test(text) ? text.replace(/[ \t\r\n]/g, '') : text;

/** @param text of a length that four divides */
function decodeWhole(text: string): Buffer | undefined {
  const padding = text.endsWith('==') ? 2 : text.endsWith('=') ? 1 : 0;
  const bytes = Buffer.from(text, 'base64');
  // Node passes over what is not of the alphabet: then bytes are missing.
  return bytes.length === (text.length / 4) * 3 - padding && !/[-_]/.test(text) ? bytes : undefined;
}

const badData = (name: string): CouchError => badRequest(`Invalid attachment data for ${name}`);

/** @throws CouchError 400 */
export function requireAttachmentName(name: string): void {
  if (name.startsWith('_')) {
    throw badRequest(`Attachment name '${name}' starts with prohibited character '_'`);
  }
}

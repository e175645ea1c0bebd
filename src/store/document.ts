import { badRequest, docValidation, documentTooLarge, illegalDocid, invalidRev } from '../errors.js';
import { putLast } from '../json/containers.js';
import { quote } from '../json/quote.js';
import { JsonReader, type Mark } from '../json/reader.js';
import { isLarger } from '../json/size.js';
import { readMembers as readTexts } from '../json/text.js';
import { atOnce, inTurns, type Work } from '../json/turns.js';
import { type GivenAttachment, parseGivenAttachments, requireAttachmentName } from './attachments/given.js';
import { parseAttachments, splitAttachments } from './attachments/members.js';
import type { AttachmentEdit, DocumentEdit } from './types/edits.js';
import type { Revisions, RevStatus } from './types/records.js';

/** Members that CouchDB adds to answers and ignores in what is written. */
const IGNORED = new Set(['_revs_info', '_local_seq', '_conflicts', '_deleted_conflicts']);

/** Members with an underscore that belong to the body: the replicator writes them. */
const KEPT = new Set([
  '_access',
  '_replication_id',
  '_replication_state',
  '_replication_state_time',
  '_replication_state_reason',
  '_replication_stats',
]);

/** So many bytes of UTF-8 a unit of UTF-16 takes at most. */
const BYTES_OF_UNIT = 3;
const BRACES = 2;

/** Members that are put together before others may have their turn. */
const TURN = 1000;

/** @param maxLength bytes, CouchDB's `max_document_id_length`. @throws CouchError illegal_docid */
export function validateDocid(id: unknown, maxLength = Infinity): asserts id is string {
  if (typeof id !== 'string') throw illegalDocid('Document id must be a string');
  if (id === '') throw illegalDocid('Document id must not be empty');
  if (id === '_design/' || id === '_local/') throw illegalDocid(`Illegal document id \`${id}\``);
  if (id.length > maxLength || (maxLength < Infinity && Buffer.byteLength(id) > maxLength)) {
    throw illegalDocid('Document id is too long');
  }
  if (id.startsWith('_') && !id.startsWith('_design/') && !id.startsWith('_local/')) {
    throw illegalDocid('Only reserved document ids may start with underscore.');
  }
}

/** A revision as it is stored: 32 hexadecimal digits in lower case, anything else as it came. @throws CouchError */
export function parseRev(rev: unknown): string {
  const match = typeof rev === 'string' ? /^\+?([0-9]{1,15})-(.*)$/s.exec(rev) : null;
  const [, generation, hash] = match ?? [];
  if (generation === undefined || hash === undefined || hash.length > MAX_HASH_LENGTH) throw invalidRev();
  const start = Number.parseInt(generation, 10);
  if (start > 0 && hash.length === 32 && !/^[0-9a-fA-F]{32}$/.test(hash)) throw invalidRev();
  return `${String(start)}-${start > 0 ? normalHash(hash) : hash}`;
}

/** Servers make 32 characters; what a client makes up must not swell every record and answer. */
const MAX_HASH_LENGTH = 1024;

const normalHash = (hash: string): string => (hash.length === 32 ? hash.toLowerCase() : hash);

/** As servers make them. */
const NORMAL_HASH = /^[0-9a-f]{32}$/;

/** What a document may not exceed. */
export interface DocumentLimits {
  /** Bytes of body as CouchDB counts them, its `max_document_size`. */
  readonly maxSize: number;
  /** Bytes of id. */
  readonly maxIdLength?: number;
}

/** What must be known of where the document came from. */
export interface ParseOptions extends DocumentLimits {
  readonly newEdits: boolean;
  /** From the URL; wins over `_id`. */
  readonly id?: string;
  /** Makes the id of a document that has none. */
  readonly makeId?: () => string;
}

/** A document as it was sent: its attachments have yet to be taken in. */
export interface ParsedDocument extends Omit<DocumentEdit, 'attachments'> {
  readonly attachments?: ReadonlyMap<string, GivenAttachment>;
}

/** Whether nothing has to be taken in for a document: it can be written as it is. */
export const isWhole = (document: ParsedDocument): document is ParsedDocument & DocumentEdit =>
  document.attachments === undefined;

/** Reads a text that is a document, while others get their turns if it is long. @throws CouchError, JsonError */
export function parseDocument(text: string, options: ParseOptions): ParsedDocument | Promise<ParsedDocument> {
  return inTurns(readWhole(new JsonReader(text), options));
}

function* readWhole(reader: JsonReader, options: ParseOptions): Work<ParsedDocument> {
  const edit = yield* readDocument(reader, options);
  reader.end();
  return edit;
}

/** Reads the document that comes next. @throws CouchError, JsonError */
export function* readDocument(reader: JsonReader, options: ParseOptions): Work<ParsedDocument> {
  const { special, body } = yield* readMembers(reader);
  if (special.has('_id')) validateDocid(special.get('_id'), options.maxIdLength);
  const id = options.id ?? (special.has('_id') ? special.get('_id') : options.makeId?.());
  validateDocid(id, options.maxIdLength);
  const edit = {
    id,
    revisions: revisionsOf(special, options.newEdits),
    deleted: special.get('_deleted') === true,
    body,
  };
  checkSpecial(special);
  const mayBeLarger = BYTES_OF_UNIT * body.length + BRACES > options.maxSize;
  if (mayBeLarger && (yield* isLarger(body, options.maxSize)))
    throw documentTooLarge(special.has('_id') ? id : '');
  const attachments = special.get('_attachments') as ReadonlyMap<string, GivenAttachment> | undefined;
  if (attachments === undefined || attachments.size === 0) return edit;
  for (const name of attachments.keys()) requireAttachmentName(name);
  return { ...edit, attachments };
}

const isOwn = (name: string): boolean => !name.startsWith('_') || KEPT.has(name);

/**
 * Takes a document apart: members for the store are turned into values, the document's own stay text.
 * @param together whether its own may be taken in one piece
 */
function* readMembers(
  reader: JsonReader,
  together = true,
): Work<{ special: Map<string, unknown>; body: string }> {
  if (reader.peek() !== 'object') {
    yield* reader.skip();
    throw badRequest('Document must be a JSON object');
  }
  const start = reader.mark();
  const special = new Map<string, unknown>();
  const own = reader.newMembers();
  let attachments: string | undefined;
  let clean: string | undefined;
  reader.openObject();
  for (let name = reader.nextMember(); name !== undefined; name = reader.nextMember()) {
    if (clean !== undefined && isOwn(name)) {
      // There were others between them.
      reader.goBack(start);
      return yield* readMembers(reader, false);
    }
    if (together && own.isEmpty && !name.startsWith('_')) {
      clean = reader.readClean();
      if (clean !== undefined) continue;
    }
    const text = reader.readShortText() ?? (yield* reader.readLongText());
    if (isOwn(name)) reader.gather(own, name, text);
    else if (name === '_attachments') attachments = text;
    else special.set(name, JSON.parse(text));
    if (reader.isTime()) yield;
  }
  const body = own.hasRepeated ? yield* readRepeated(reader, start) : (clean ?? own.text);
  // Behind the rest: where it is wrong, the document has been read to its end.
  if (attachments !== undefined) special.set('_attachments', parseGivenAttachments(attachments));
  return { special, body };
}

/** The same for a document's own members where some come more than once. */
function* readRepeated(reader: JsonReader, start: Mark): Work<string> {
  const own = new Map<string, string>();
  reader.goBack(start);
  reader.openObject();
  for (let name = reader.nextMember(); name !== undefined; name = reader.nextMember()) {
    const text = yield* reader.readLongText();
    if (isOwn(name)) putLast(own, name, text);
    if (reader.isTime()) yield;
  }
  return yield* bodyOf(own);
}

function* bodyOf(own: Map<string, string>): Work<string> {
  let body = '';
  let count = 0;
  for (const [name, text] of own) {
    body += `${body === '' ? '' : ','}${JSON.stringify(name)}:${text}`;
    if (++count % TURN === 0) yield;
  }
  return body;
}

function checkSpecial(special: Map<string, unknown>): void {
  for (const [name, value] of special) {
    if (name === '_id' || name === '_rev' || name === '_attachments' || IGNORED.has(name)) continue;
    if (name === '_revisions' && isObject(value)) continue;
    if (name === '_deleted' && typeof value === 'boolean') continue;
    throw docValidation(`Bad special document member: ${name}`);
  }
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const NO_REVISIONS: Revisions = { start: 0, ids: [] };

/** The revision an edit is based on, or a replicated revision with its ancestors. */
function revisionsOf(special: Map<string, unknown>, newEdits: boolean): Revisions {
  const given = special.get('_revisions');
  const revisions = isObject(given) ? parseRevisions(given) : NO_REVISIONS;
  if (revisions.ids.length > 0) return revisions;
  if (special.has('_rev')) {
    const rev = parseRev(special.get('_rev'));
    return { start: Number.parseInt(rev, 10), ids: [rev.slice(rev.indexOf('-') + 1)] };
  }
  if (newEdits) return NO_REVISIONS;
  throw badRequest('When `new_edits: false`, the document needs `_rev` or `_revisions` specified');
}

function parseRevisions({ start, ids }: Record<string, unknown>): Revisions {
  if (!Number.isSafeInteger(start)) throw docValidation("_revisions.start isn't an integer.");
  if (!Array.isArray(ids)) throw docValidation("_revisions.ids isn't a array.");
  const generation = start as number;
  const hashes = ids.map((hash: unknown) => {
    if (typeof hash !== 'string') throw docValidation("RevId isn't a string");
    if (NORMAL_HASH.test(hash)) return hash;
    if (hash.length === 32 && !/^[0-9a-fA-F]{32}$/.test(hash)) {
      throw docValidation("RevId isn't a valid hexadecimal");
    }
    if (hash.length > MAX_HASH_LENGTH) throw docValidation("RevId isn't a valid hexadecimal");
    return normalHash(hash);
  });
  if (hashes.length === 0) return NO_REVISIONS;
  // Local documents have generation 0.
  if (generation < (generation === 0 ? hashes.length - 1 : hashes.length)) throw invalidRev();
  return { start: generation, ids: hashes };
}

/** What an edit says, whatever its revision is. */
export type Said = Pick<DocumentEdit, 'deleted' | 'body' | 'attachments'>;

/** A stored revision as an edit, without its revision. @param attachments whether it stays, or another document gets its attachments */
export const editOf = (text: string, attachments: 'stub' | 'shared'): Said =>
  atOnce(readEdit(text, attachments));

/** `editOf` for a text that may be long. */
export function* readEdit(text: string, attachments: 'stub' | 'shared'): Work<Said> {
  const parts = splitAttachments(text);
  const plain = parts === undefined ? plainSaid(text) : undefined;
  if (plain !== undefined) return plain;
  const own = (yield* readTexts(parts?.before ?? text)) ?? new Map<string, string>();
  const deleted = own.get('_deleted') === 'true';
  for (const name of ['_id', '_rev', '_deleted']) own.delete(name);
  const body = yield* bodyOf(own);
  if (parts === undefined) return { deleted, body };
  const kept = Array.from(parseAttachments(parts), ([name, attachment]): [string, AttachmentEdit] => [
    name,
    attachments === 'stub' ? { kind: 'stub', revpos: attachment.revpos } : { kind: 'shared', attachment },
  ]);
  return { deleted, body, attachments: new Map(kept) };
}

/** How most stored texts begin. */
const HEAD = /^\{"_id":"[^"\\]*","_rev":"[^"\\]*"(,"_deleted":true)?(?:,|\}$)/;
/** Where one of these stands behind that, in quotes, it may be another program's text. */
const ELSEWHERE = ['_id"', '_rev"', '_deleted"'];

/** Of a text that we stored, which need not be taken apart; undefined where it may be another one. */
function plainSaid(text: string): Said | undefined {
  const [head, deleted] = HEAD.exec(text) ?? [];
  if (head === undefined || ELSEWHERE.some((name) => hasName(text, name, head.length))) return undefined;
  return { deleted: deleted !== undefined, body: text.slice(head.length, -1) };
}

/** Quotes are everywhere: what begins with a rarer character is looked for in a fraction of the time. */
const hasName = (text: string, name: string, from: number): boolean =>
  text.includes(name, from) && text.includes(`"${name}`, from);

/** The text under which a revision is stored, and which is sent as it is. */
export function storedText(id: string, rev: string, deleted: boolean, body: string): string {
  const head = `{"_id":${quote(id)},"_rev":${quote(rev)}${deleted ? ',"_deleted":true' : ''}`;
  return body === '' ? `${head}}` : `${head},${body}}`;
}

/** What a client may ask to be shown beside the document's own members. */
export interface DocumentExtras {
  readonly revisions?: Revisions | undefined;
  readonly revsInfo?: readonly { readonly rev: string; readonly status: RevStatus }[] | undefined;
  /** Shown only where there are some. */
  readonly conflicts?: readonly string[] | undefined;
  readonly deletedConflicts?: readonly string[] | undefined;
  readonly localSeq?: string | number | undefined;
}

/** A stored text with what was asked for put behind its members. */
export function documentText(stored: string, extras: DocumentExtras): string {
  let more = '';
  const add = (name: string, value: unknown): void => {
    more += `,"${name}":${JSON.stringify(value)}`;
  };
  if (extras.revisions !== undefined) {
    const { start, ids } = extras.revisions;
    more = `,"_revisions":{"start":${String(start)},"ids":${JSON.stringify(ids)}}`;
  }
  if (extras.revsInfo !== undefined) add('_revs_info', extras.revsInfo);
  if (extras.conflicts?.length) add('_conflicts', extras.conflicts);
  if (extras.deletedConflicts?.length) add('_deleted_conflicts', extras.deletedConflicts);
  if (extras.localSeq !== undefined) add('_local_seq', extras.localSeq);
  return more === '' ? stored : `${stored.slice(0, -1)}${more}}`;
}

/** `0-N`, the only form of a local document's revision. @throws CouchError */
export function localRev(rev: unknown): string {
  if (typeof rev !== 'string' || !/^0-[0-9]{1,15}$/.test(rev)) throw invalidRev();
  return rev;
}

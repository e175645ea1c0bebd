/**
 * The one catalogue of errors that clients see: CouchDB's status, `error` and `reason`.
 * Anything else that is thrown is a defect here, and is answered as 500 without its text.
 */
export class CouchError extends Error {
  override readonly name = 'CouchError';

  constructor(
    /** HTTP status. */
    readonly status: number,
    /** CouchDB's word for the kind of error, such as `not_found`. */
    readonly error: string,
    /** CouchDB's sentence; not a promise to clients, who compare `error` and the status. */
    readonly reason: string,
    options?: ErrorOptions,
    /** Seconds after which it may be worth a try to ask again. */
    readonly retryAfter?: number,
  ) {
    super(`${error}: ${reason}`, options);
  }
}

const RETRY_SECONDS = 5;

export const badRequest = (reason: string): CouchError => new CouchError(400, 'bad_request', reason);
export const queryParseError = (reason: string): CouchError =>
  new CouchError(400, 'query_parse_error', reason);
export const invalidJson = (): CouchError => badRequest('invalid UTF-8 JSON');
export const invalidRev = (): CouchError => badRequest('Invalid rev format');
export const illegalDocid = (reason: string): CouchError => new CouchError(400, 'illegal_docid', reason);
export const docValidation = (reason: string): CouchError => new CouchError(400, 'doc_validation', reason);
/** What is wrong with a Mango request has a word of its own. */
export const mangoError = (error: string, reason: string): CouchError => new CouchError(400, error, reason);
export const unauthorized = (reason: string): CouchError => new CouchError(401, 'unauthorized', reason);
export const forbidden = (reason: string): CouchError => new CouchError(403, 'forbidden', reason);
export const notFound = (reason = 'missing'): CouchError => new CouchError(404, 'not_found', reason);
export const noEntry = (): CouchError => notFound('There is no such entry in the journal.');
export const databaseMissing = (): CouchError => notFound('Database does not exist.');
export const conflict = (reason = 'Document update conflict.'): CouchError =>
  new CouchError(409, 'conflict', reason);
export const illegalDatabaseName = (name: string): CouchError =>
  new CouchError(
    400,
    'illegal_database_name',
    `Name: '${name}'. Only lowercase characters (a-z), digits (0-9), and any of the characters ` +
      `_, $, (, ), +, -, and / are allowed. Must begin with a letter.`,
  );
export const databaseNameTooLong = (name: string): CouchError =>
  new CouchError(400, 'database_name_too_long', `At least one path segment of \`${name}\` is too long.`);
export const databaseExists = (): CouchError =>
  new CouchError(412, 'file_exists', 'The database could not be created, the file already exists.');
export const missingStub = (id: string, name: string): CouchError =>
  new CouchError(412, 'missing_stub', `Invalid attachment stub in ${id} for ${name}`);
export const documentTooLarge = (id: string): CouchError => new CouchError(413, 'document_too_large', id);
export const leavesTooLarge = (): CouchError =>
  new CouchError(413, 'too_large', 'The leaves are too large to be resolved together: delete some of them.');
export const badContentType = (reason: string): CouchError => new CouchError(415, 'bad_content_type', reason);
/** A design document's functions are of a language that nobody here speaks. */
export const unknownLanguage = (language: string): CouchError =>
  new CouchError(500, 'unknown_query_language', language);
/** What CouchDB has and this server does not have yet: refused clearly, never skipped. */
export const notImplemented = (reason: string): CouchError => new CouchError(501, 'not_implemented', reason);
/** The client was too slow with its request. */
export const requestTimeout = (): CouchError =>
  new CouchError(408, 'timeout', 'the request did not arrive in time');
export const uriTooLong = (): CouchError => new CouchError(414, 'too_long', 'the request uri is too long');
/** One client has too much of something. */
export const tooManyRequests = (reason: string): CouchError =>
  new CouchError(429, 'too_many_requests', reason, undefined, RETRY_SECONDS);
/** All clients together have too much of something; unlike `unavailable` it is no failure. */
export const overloaded = (reason: string): CouchError =>
  new CouchError(503, 'service_unavailable', reason, undefined, RETRY_SECONDS);
/** A database that a failed write closed, or a server that is stopping. */
export const unavailable = (reason: string, cause?: unknown): CouchError =>
  new CouchError(503, 'service_unavailable', reason, { cause });
/** The server behind this one cannot be reached. */
export const upstreamAway = (retryAfter: number, reason = 'The upstream is away.'): CouchError =>
  new CouchError(503, 'service_unavailable', reason, undefined, retryAfter);
/** The upstream, which answers for a database that is being copied from there, does not know who asks. */
export const unknownThere = (retryAfter: number): CouchError =>
  new CouchError(
    503,
    'service_unavailable',
    'The database is being copied from the upstream, which does not know you; try again.',
    undefined,
    retryAfter,
  );
/** A client that was with another gateway before. */
export const anotherGateway = (): CouchError =>
  new CouchError(503, 'service_unavailable', 'This is another gateway than before.', undefined, 1);
/** The server behind this one did not answer, and may have done what it was asked for. */
export const badGateway = (reason: string, retryAfter: number, cause?: unknown): CouchError =>
  new CouchError(502, 'bad_gateway', reason, { cause }, retryAfter);
export const internalError = (reason: string, cause?: unknown): CouchError =>
  new CouchError(500, 'internal_server_error', reason, { cause });
/** CouchDB's own words where it was set up without full-text search, which this server never has. */
export const searchMissing = (type: string): CouchError =>
  new CouchError(503, 'required index service unavailable', type);
/** The disk is full, which CouchDB answers so where it watches that itself. */
export const insufficientStorage = (cause?: unknown): CouchError =>
  new CouchError(507, 'insufficient_storage', 'There is not enough room on the disk.', { cause });

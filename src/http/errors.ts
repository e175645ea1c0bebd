import { badRequest, CouchError, internalError, invalidJson, requestTimeout } from '../errors.js';
import { JsonDepthError, JsonError } from '../json/reader.js';

/** What a client is told of something that was thrown; what is no known error is told as a bare 500. */
export function toCouchError(error: unknown): CouchError {
  if (error instanceof CouchError) return error;
  if (error instanceof JsonDepthError) return badRequest(error.message);
  if (error instanceof JsonError) return invalidJson();
  return internalError(
    'An error occurred in the server; its log has more under the id of this request.',
    error,
  );
}

export const errorBody = ({ error, reason }: CouchError): string => JSON.stringify({ error, reason });

/** A header for those who may come back. */
export const retryHeaders = ({ retryAfter }: CouchError): readonly string[] =>
  retryAfter === undefined ? [] : ['Retry-After', String(retryAfter)];

export const methodNotAllowed = (allow: string): CouchError =>
  new CouchError(405, 'method_not_allowed', `Only ${allow} allowed`);

/** What Node's HTTP parser refused, before there was a request. */
export function protocolError(code: string | undefined): CouchError {
  switch (code) {
    case 'HPE_INVALID_METHOD':
      return new CouchError(405, 'method_not_allowed', 'unknown method');
    case 'HPE_HEADER_OVERFLOW':
      return new CouchError(431, 'too_long', 'the request line and the headers are too long');
    case 'ERR_HTTP_REQUEST_TIMEOUT':
      return requestTimeout();
    case 'HPE_CHUNK_EXTENSIONS_OVERFLOW':
      return new CouchError(413, 'too_large', 'the chunk extensions are too long');
    default:
      return new CouchError(400, 'bad_request', 'not a valid HTTP request');
  }
}

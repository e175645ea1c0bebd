import { CouchError } from '../errors.js';
import { JsonError } from '../json/reader.js';
import { PeerUnreachable } from './peer.js';

/**
 * What a failure of a request means:
 * - `passing`: the same request may succeed a little later;
 * - `content`: something in the request is not taken; each part of it may be, or not;
 * - `lasting`: nothing that is asked will be answered: the database is gone, or the account may not.
 */
export type Meaning = 'passing' | 'content' | 'lasting';

const PASSING = new Set([408, 425, 429]);
const CONTENT = new Set([400, 409, 412, 413, 414, 415]);

export function meaningOf(error: unknown): Meaning {
  if (error instanceof PeerUnreachable || error instanceof JsonError) return 'passing';
  if (!(error instanceof CouchError)) return 'lasting';
  const { status } = error;
  if (PASSING.has(status) || (status >= 500 && status !== 501)) return 'passing';
  return CONTENT.has(status) ? 'content' : 'lasting';
}

/** Whether a target says no to one document for good. */
export function isRefusal({ status }: CouchError): boolean {
  return status === 400 || status === 401 || status === 403 || status === 413;
}

/** Of the answers with 400 those that are about what a document is: nothing else says them, and not for a moment. */
const ABOUT_DOCUMENTS = new Set([
  'compilation_error',
  'doc_validation',
  'illegal_docid',
  'illegal_partition',
  'invalid_design_doc',
]);

/** Whether a target says no to one document in a way that it would repeat: there is no doubt about it. */
export const isCertain = ({ status, error }: CouchError): boolean =>
  status === 400 && ABOUT_DOCUMENTS.has(error);

/** The failure of one document in the form in which it is reported. */
export function asCouchError(error: unknown): CouchError {
  if (error instanceof CouchError) return error;
  if (error instanceof PeerUnreachable)
    return new CouchError(500, 'unreachable', error.message, { cause: error });
  throw error;
}

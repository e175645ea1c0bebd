import { badRequest } from '../errors.js';
import { parseRev } from '../store/document.js';
import { jsonParameter, type Query } from './query.js';

/** The parameters of requests for documents; only `true` switches something on. */
export interface DocumentQuery {
  rev: string | undefined;
  openRevs: 'all' | readonly string[] | undefined;
  /** So many revisions of the history are shown. */
  revs: number;
  revsInfo: boolean;
  conflicts: boolean;
  deletedConflicts: boolean;
  localSeq: boolean;
  latest: boolean;
  /** A deleted document is shown like any other. */
  deleted: boolean;
  /** Attachments are shown with their bytes. */
  attachments: boolean;
  /** Those that are newer than the youngest of these revisions, where they are given. */
  attsSince: readonly string[] | undefined;
  /** How attachments are compressed is shown. */
  encodingInfo: boolean;
  newEdits: boolean;
}

/**
 * @param revsLimit of the database: no more of a history is shown, even where more is known
 * @throws CouchError 400
 */
export function readDocumentQuery(parameters: Query, revsLimit = Infinity): DocumentQuery {
  const query: DocumentQuery = {
    rev: undefined,
    openRevs: undefined,
    revs: 0,
    revsInfo: false,
    conflicts: false,
    deletedConflicts: false,
    localSeq: false,
    latest: false,
    deleted: false,
    attachments: false,
    attsSince: undefined,
    encodingInfo: false,
    newEdits: true,
  };
  for (const [key, value] of parameters) {
    if (key === 'revs' && value === 'true') query.revs = revsLimit;
    else if (value === 'true') switchOn(query, key);
    else if (key === 'new_edits' && value === 'false') query.newEdits = false;
    readRevs(query, key, value);
  }
  return query;
}

function switchOn(query: DocumentQuery, key: string): void {
  switch (key) {
    case 'meta':
      query.revsInfo = query.conflicts = query.deletedConflicts = true;
      break;
    case 'revs_info':
      query.revsInfo = true;
      break;
    case 'conflicts':
      query.conflicts = true;
      break;
    case 'deleted_conflicts':
      query.deletedConflicts = true;
      break;
    case 'local_seq':
      query.localSeq = true;
      break;
    case 'latest':
      query.latest = true;
      break;
    case 'deleted':
      query.deleted = true;
      break;
    case 'attachments':
      query.attachments = true;
      break;
    case 'att_encoding_info':
      query.encodingInfo = true;
      break;
    case 'new_edits':
      query.newEdits = true;
      break;
  }
}

function readRevs(query: DocumentQuery, key: string, value: string): void {
  if (key === 'rev') query.rev = parseRev(value);
  else if (key === 'open_revs') query.openRevs = value === 'all' ? 'all' : someRevs(jsonParameter(value));
  else if (key === 'atts_since') {
    query.attsSince = parseRevs(jsonParameter(value));
    query.attachments = true;
  }
}

/** None is as if the parameter had not been given. */
function someRevs(value: unknown): readonly string[] | undefined {
  const revs = parseRevs(value);
  return revs.length === 0 ? undefined : revs;
}

/** @throws CouchError 400 */
export function parseRevs(value: unknown): string[] {
  if (!Array.isArray(value)) throw badRequest('Invalid list of revisions');
  return value.map(parseRev);
}

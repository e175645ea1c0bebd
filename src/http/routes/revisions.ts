import { badRequest } from '../../errors.js';
import { parseRev } from '../../store/document.js';
import type { Revisions } from '../../store/types/records.js';
import type { Exchange } from '../exchange.js';

/**
 * The revision that a request is about: from the document, the query or If-Match, which must not contradict.
 * @throws CouchError 400
 */
export function editedRevisions(exchange: Exchange, given: Revisions): Revisions {
  const [hash] = given.ids;
  const own = hash === undefined ? undefined : `${String(given.start)}-${hash}`;
  const parameter = exchange.parameter('rev');
  const asked = parameter === undefined ? undefined : parseRev(parameter);
  if (own !== undefined && asked !== undefined && own !== asked) {
    throw badRequest('Document rev from request body and query string have different values');
  }
  const rev = headerRev(exchange, own ?? asked);
  return own !== undefined || rev === undefined ? given : revisionsOf(rev);
}

/** A revision of which no ancestors are known. */
export function revisionsOf(rev: string): Revisions {
  const dash = rev.indexOf('-');
  return { start: Number(rev.slice(0, dash)), ids: [rev.slice(dash + 1)] };
}

/** A revision that is known from elsewhere, or that of If-Match. @throws CouchError 400 where they differ */
export function headerRev(exchange: Exchange, explicit: string | undefined): string | undefined {
  const header = exchange.header('if-match');
  if (header === undefined) return explicit;
  const rev = parseRev(unquoted(header));
  if (explicit !== undefined && explicit !== rev)
    throw badRequest('Document rev and etag have different values');
  return rev;
}

function unquoted(text: string): string {
  let start = 0;
  let end = text.length;
  while (text[start] === '"') start++;
  while (end > start && text[end - 1] === '"') end--;
  return text.slice(start, end);
}

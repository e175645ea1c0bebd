import { badRequest } from '../errors.js';
import type { Work } from '../json/turns.js';

/** The ids of a `doc_ids` filter, of which there may be very many. @throws CouchError 400 for what is no list of texts */
export function* docIdSet(ids: unknown): Work<ReadonlySet<string>> {
  const refusal = badRequest('`doc_ids` filter parameter is not a list of doc ids.');
  if (!Array.isArray(ids)) throw refusal;
  const found = new Set<string>();
  for (const id of ids as readonly unknown[]) {
    if (typeof id !== 'string') throw refusal;
    found.add(id);
    yield;
  }
  return found;
}

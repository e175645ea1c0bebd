import { CouchError, notFound } from '../errors.js';
import type { JsonObject, Peer } from '../replication/peer.js';
import { isObject } from './endpoint.js';

/** The text of a filter function of a source. @param filter `design/name`. @throws CouchError 404 where there is none */
export async function filterCode(source: Peer, filter: string, signal: AbortSignal): Promise<string> {
  const [design = '', ...rest] = filter.split('/');
  const document = await source.get(`_design/${design}`, signal).catch(unlessMissing);
  if (document === undefined)
    throw notFound(
      `Couldn't open document \`_design/${design}\` from source database \`${source.name}\`: {error,<<"not_found">>}`,
    );
  return codeIn(document, design, rest.join('/'), source.name);
}

const unlessMissing = (error: unknown): undefined => {
  if (error instanceof CouchError && error.status === 404) return undefined;
  throw error;
};

/** @throws CouchError 404 */
function codeIn(document: JsonObject, design: string, name: string, database: string): string {
  const { filters } = document;
  const key = isObject(filters) ? name : 'filters';
  const code = isObject(filters) && Object.hasOwn(filters, name) ? filters[name] : undefined;
  if (typeof code === 'string') return code.trim();
  throw notFound(
    `Couldn't parse filter code from document ${design} on \`${database}\`  Error: {not_found,<<"missing json key: ${key}">>}`,
  );
}

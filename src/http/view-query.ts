import { badRequest, notFound, queryParseError } from '../errors.js';
import { valuesInTurns } from '../json/text.js';
import { compareIds } from '../store/order.js';
import type { Database } from '../store/types/database.js';
import { readGroup } from '../views/definition.js';
import { collationOf } from '../views/update.js';
import type { ViewDefinition, ViewGroup } from '../views/types.js';
import type { Exchange } from './exchange.js';
import {
  checkListQuery,
  emptyListQuery,
  type Listed,
  type ListQuery,
  readListQuery,
  values,
} from './list-query.js';

/** A query of a view, checked. */
export interface ViewQuery extends ListQuery {
  readonly listed: Exclude<Listed, 'documents'>;
}

/** The parameters of the URL and, with POST, of the body, which they overrule. @throws CouchError */
export async function readViewQuery(exchange: Exchange): Promise<ListQuery> {
  return viewQuery(exchange, exchange.method === 'POST' ? await exchange.bodyMembers() : undefined);
}

/** @param body the members of a body, each as JSON. @throws CouchError */
export async function viewQuery(
  exchange: Exchange,
  body: ReadonlyMap<string, string> | undefined,
): Promise<ListQuery> {
  const query = emptyListQuery();
  if (body !== undefined) readListQuery(query, await bodyParameters(body), true);
  return readListQuery(query, exchange.query);
}

async function bodyParameters(
  body: ReadonlyMap<string, string>,
): Promise<readonly (readonly [string, unknown])[]> {
  const queries = body.get('queries');
  if (queries !== undefined) {
    if (!queries.startsWith('[')) throw badRequest('`queries` member must be an array.');
    throw badRequest('The `queries` parameter is no longer supported at this endpoint');
  }
  const keys = body.get('keys');
  if (keys === undefined) return [...values(body)];
  // They may be long; the others are not.
  const parsed = await valuesInTurns(keys);
  if (parsed === undefined) throw badRequest('`keys` member must be an array.');
  return Array.from(body, ([name, text]) => [name, name === 'keys' ? parsed : (JSON.parse(text) as unknown)]);
}

/** What a query means for a view as its design document defines it. @throws CouchError 404, 400 */
export function checkedQuery(db: Database, design: string, name: string, query: ListQuery): ViewQuery {
  const { group, view } = requireView(db, design, name);
  const listed = view.reduce === undefined || query.reduce === false ? 'rows' : 'reductions';
  checkListQuery(query, listed, group.isPartitioned);
  checkRange(view, query);
  return { ...query, listed };
}

/** @throws CouchError 404 */
export function requireView(
  db: Database,
  design: string,
  name: string,
): { readonly group: ViewGroup; readonly view: ViewDefinition } {
  const group = readGroup(db, design);
  const view = group.views.find((one) => one.name === name);
  if (view === undefined) throw notFound('missing_named_view');
  return { group, view };
}

/** Ranges that end before they begin are mistakes. */
function checkRange(
  view: ViewDefinition,
  { startKey, startDocid, endKey, endDocid, descending }: ListQuery,
): void {
  if (startKey === undefined || endKey === undefined) return;
  const order = collationOf(view)(startKey, endKey);
  const ids = startDocid === undefined || endDocid === undefined ? 0 : compareIds(startDocid, endDocid);
  const isSame = JSON.stringify(startKey) === JSON.stringify(endKey);
  const difference = isSame ? 0 : order || ids;
  if (descending ? difference >= 0 : difference <= 0) return;
  throw queryParseError(
    `No rows can match your key range, reverse your start_key and end_key or set descending=${String(!descending)}`,
  );
}

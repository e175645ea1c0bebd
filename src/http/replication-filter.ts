import { randomBytes } from 'node:crypto';
import type { UserContext } from '../auth/usercontext.js';
import type { ChangesFilter } from '../changes/query.js';
import type { Sandbox } from '../design/types.js';
import { badRequest } from '../errors.js';
import type { JsonObject } from '../replication/peer.js';
import type { Database } from '../store/types/database.js';
import { functionFilter, viewFilter } from './changes-filter.js';
import { JSON_PARAMETERS, jsonOf } from './request-object.js';
import { databaseInfo } from './routes/info.js';

/** Filter functions for replications from databases here: they see what they would see of a request for changes. */
export const replicationFilter =
  (sandbox: Sandbox) =>
  async (db: Database, user: UserContext, name: string, parameters: JsonObject): Promise<ChangesFilter> => {
    if (name !== '_view')
      return functionFilter(sandbox, db, name, false, () => requestText(db, user, name, parameters));
    const { view } = parameters;
    if (typeof view !== 'string') throw badRequest('`view` filter parameter is not provided.');
    return viewFilter(sandbox, db, view, false);
  };

async function requestText(
  db: Database,
  { name, roles }: UserContext,
  filter: string,
  parameters: JsonObject,
): Promise<string> {
  const query = Object.entries(parameters).map(([key, value]) => [key, parameter(key, value)]);
  const path = [db.name, '_changes'];
  return JSON.stringify({
    info: JSON.parse(await databaseInfo(db)) as unknown,
    uuid: randomBytes(16).toString('hex'),
    id: null,
    method: 'GET',
    requested_path: path,
    path,
    raw_path: `/${path.join('/')}`,
    query: { filter, ...(Object.fromEntries(query) as object) },
    headers: {},
    body: 'undefined',
    peer: '127.0.0.1',
    form: {},
    cookie: {},
    userCtx: { db: db.name, name, roles },
    secObj: JSON.parse(db.security) as unknown,
  });
}

/** As it would be in a request to the source, where values that are no text stand as JSON. @throws CouchError 400 */
function parameter(key: string, value: unknown): unknown {
  const text = typeof value === 'string' ? value : JSON.stringify(value);
  return JSON_PARAMETERS.has(key) ? (JSON.parse(jsonOf(text)) as unknown) : text;
}

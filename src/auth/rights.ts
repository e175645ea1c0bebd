import { forbidden, unauthorized, type CouchError } from '../errors.js';
import { defaultSecurity, isDatabaseAdmin, isMember, type SecurityObject } from './security.js';
import { isServerAdmin, type UserContext } from './usercontext.js';

/**
 * What a request needs. `databaseAdmin` is for what CouchDB checks when it writes (design documents, `_security`,
 * `_revs_limit`) and `maintainer` for `_compact` and `_view_cleanup`: the same people, other answers. `lister` is for all
 * documents or changes at once: members, but for databases where not all of them are every member's. `databases` is for
 * the names of all databases: server admins, unless the configuration says otherwise.
 */
export type Right =
  | 'anyone'
  | 'authenticated'
  | 'member'
  | 'lister'
  | 'databaseAdmin'
  | 'maintainer'
  | 'serverAdmin'
  | 'databases'
  | 'metrics';

type Rule = (user: UserContext, security: SecurityObject) => CouchError | undefined;

const rules: Record<Right, Rule> = {
  anyone: () => undefined,
  authenticated: (user) =>
    user.name === null ? unauthorized('You are not an authenticated user') : undefined,
  member: refuseStranger,
  lister: refuseStranger,
  databaseAdmin: (user, security) =>
    refuseStranger(user, security) ??
    (isDatabaseAdmin(user, security) ? undefined : refuse(user, 'You are not a db or server admin.')),
  maintainer: (user, security) =>
    refuseStranger(user, security) ??
    (isDatabaseAdmin(user, security) ? undefined : unauthorized('You are not a server or db admin.')),
  serverAdmin: refuseOthers,
  databases: refuseOthers,
  metrics: (user) =>
    isServerAdmin(user) || user.roles.includes('_metrics')
      ? undefined
      : unauthorized('You are not a server admin or read-only metrics user'),
};

/**
 * Refuses a request that the user may not send.
 * @param security of the database that is asked for; without one, its rights belong to server admins.
 * @throws CouchError 401 or 403, as CouchDB answers.
 */
export function requireRight(
  right: Right,
  user: UserContext,
  security: SecurityObject = defaultSecurity,
): void {
  const refusal = refusalOf(right, user, security);
  if (refusal) throw refusal;
}

/** What a user is told who has not got a right; undefined for whoever has it. */
export const refusalOf = (
  right: Right,
  user: UserContext,
  security: SecurityObject,
): CouchError | undefined => rules[right](user, security);

function refuseOthers(user: UserContext): CouchError | undefined {
  return isServerAdmin(user) ? undefined : unauthorized('You are not a server admin.');
}

function refuseStranger(user: UserContext, security: SecurityObject): CouchError | undefined {
  if (isMember(user, security)) return undefined;
  return user.name === null
    ? unauthorized('You are not authorized to access this db.')
    : forbidden('You are not allowed to access this db.');
}

/** Logging in may help somebody who is not logged in. */
function refuse(user: UserContext, reason: string): CouchError {
  return user.name === null ? unauthorized(reason) : forbidden(reason);
}

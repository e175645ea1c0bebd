import { forbidden, type CouchError } from '../../errors.js';
import { isDatabaseAdmin, type SecurityObject } from '../security.js';
import { isServerAdmin, type UserContext } from '../usercontext.js';
import { userId } from './ids.js';

/** Members of a document by their names. */
export type Members = ReadonlyMap<string, unknown>;

/** A document that is to be written to `_users`. */
export interface UserWrite {
  readonly id: string;
  readonly deleted: boolean;
  readonly members: Members;
  /** The document that it replaces; undefined where there is none that lives. */
  readonly before: Members | undefined;
}

const SCHEMES: readonly unknown[] = ['simple', 'pbkdf2', 'simple+pbkdf2'];

/**
 * The rules of `_users`, which do what the function in its `_design/_auth` says (design.ts).
 * @returns why the document may not be written
 */
export function refuseUser(
  write: UserWrite,
  user: UserContext,
  security: SecurityObject,
): CouchError | undefined {
  const reason = write.deleted ? refuseDeletion(write, user) : refuseDocument(write, user, security);
  return reason === undefined ? undefined : forbidden(reason);
}

function refuseDeletion({ before }: UserWrite, user: UserContext): string | undefined {
  if (isServerAdmin(user) || (user.name !== null && user.name === before?.get('name'))) return undefined;
  return 'Only admins may delete other user docs.';
}

function refuseDocument(write: UserWrite, user: UserContext, security: SecurityObject): string | undefined {
  const name = write.members.get('name');
  const roles = write.members.get('roles');
  if (write.members.get('type') !== 'user') return 'doc.type must be user';
  if (!isSet(name)) return 'doc.name is required';
  if (!isSet(roles)) return 'doc.roles must exist';
  if (!Array.isArray(roles)) return 'doc.roles must be an array';
  if (!roles.every((role) => typeof role === 'string')) return 'doc.roles can only contain strings';
  if (typeof name !== 'string' || write.id !== userId(name))
    return 'Doc ID must be of the form org.couchdb.user:name';
  return (
    refusePassword(write.members) ??
    (isDatabaseAdmin(user, security) ? undefined : refuseOthers(name, roles, write.before, user)) ??
    refuseNames(name, roles)
  );
}

/** What JavaScript takes for true: that is how CouchDB asks. */
const isSet = (value: unknown): boolean => Boolean(value);

function refusePassword(members: Members): string | undefined {
  const scheme = members.get('password_scheme');
  if (isSet(members.get('password_sha')) && !isSet(members.get('salt')))
    return 'Users with password_sha must have a salt.';
  if (isSet(scheme) && !SCHEMES.includes(scheme))
    return `Password scheme \`${typeof scheme === 'string' ? scheme : JSON.stringify(scheme)}\` not supported.`;
  if (scheme !== 'pbkdf2') return undefined;
  if (typeof members.get('iterations') !== 'number') return 'iterations must be a number.';
  return typeof members.get('derived_key') === 'string' ? undefined : 'derived_key must be a string.';
}

/** What only admins may do. */
function refuseOthers(
  name: string,
  roles: readonly string[],
  before: Members | undefined,
  user: UserContext,
): string | undefined {
  if (before === undefined) return roles.length === 0 ? undefined : 'Only _admin may set roles';
  if (user.name !== name) return 'You may only update your own user document.';
  const old = before.get('roles');
  return sameRoles(Array.isArray(old) ? old : [], roles) ? undefined : 'Only _admin may edit roles';
}

/** Whether they are the same in any order. */
function sameRoles(a: readonly unknown[], b: readonly unknown[]): boolean {
  const sorted = b.toSorted();
  return a.length === b.length && a.toSorted().every((role, at) => role === sorted[at]);
}

/** What nobody may write. */
function refuseNames(name: string, roles: readonly string[]): string | undefined {
  if (roles.some((role) => role.startsWith('_') && role !== '_metrics'))
    return 'No system roles (starting with underscore) in users db.';
  if (name.startsWith('_')) return 'Username may not start with underscore.';
  return name.includes(':') ? 'Character `:` is not allowed in usernames.' : undefined;
}

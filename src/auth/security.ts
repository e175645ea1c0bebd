import { badRequest } from '../errors.js';
import { isServerAdmin, type UserContext } from './usercontext.js';

/** Names and roles to which a database grants something. */
export interface Party {
  readonly names: ReadonlySet<string>;
  readonly roles: ReadonlySet<string>;
}

/** What of a security object decides about rights. Its other keys live on in its text only. */
export interface SecurityObject {
  readonly admins: Party;
  readonly members: Party;
}

/** What applies where nothing was set: a new database is for server admins. */
export const defaultSecurity: SecurityObject = parseSecurity({
  admins: { roles: ['_admin'] },
  members: { roles: ['_admin'] },
});

/**
 * Reads a parsed security object; `readers` is the former name of `members`.
 * @throws CouchError 400 for what CouchDB refuses.
 */
export function parseSecurity(value: unknown): SecurityObject {
  if (!isObject(value)) throw badRequest('a security object must be a JSON object');
  const members = member(value, 'members', member(value, 'readers', {}));
  return { admins: parseParty(member(value, 'admins', {})), members: parseParty(members) };
}

/** Bytes of a security object: every request to its database needs it. */
export const MAX_SECURITY_LENGTH = 1_000_000;

/** Characters of the texts that are remembered. */
const RECENT_LENGTH = 10 * MAX_SECURITY_LENGTH;
const recent = new Map<string, SecurityObject>();
let recentLength = 0;

/**
 * The security object of a stored text; remembered, because every request to a database asks for it. A text that
 * `parseSecurity` would not have let in, as pouchdb-server did, leaves the database to server admins.
 */
export function securityOf(text: string): SecurityObject {
  const known = recent.get(text);
  if (known) return known;
  const security = readStored(text);
  // An entry takes more than its text.
  const length = text.length + 1000;
  if (recentLength + length > RECENT_LENGTH) {
    recent.clear();
    recentLength = 0;
  }
  recentLength += length;
  recent.set(text, security);
  return security;
}

/** Whether the user is an admin of the database; server admins are. */
export function isDatabaseAdmin(user: UserContext, security: SecurityObject): boolean {
  return isServerAdmin(user) || belongs(user, security.admins);
}

/** Whether the user may read and write documents; anybody may when members are neither named nor given by role. */
export function isMember(user: UserContext, security: SecurityObject): boolean {
  return isPublic(security) || isDatabaseAdmin(user, security) || belongs(user, security.members);
}

function isPublic({ members }: SecurityObject): boolean {
  return members.names.size === 0 && members.roles.size === 0;
}

function belongs({ name, roles }: UserContext, party: Party): boolean {
  return (name !== null && party.names.has(name)) || roles.some((role) => party.roles.has(role));
}

function readStored(text: string): SecurityObject {
  try {
    return parseSecurity(JSON.parse(text));
  } catch {
    return defaultSecurity;
  }
}

function parseParty(value: unknown): Party {
  if (!isObject(value)) throw badRequest('admins or members must be a JSON list of strings');
  return { names: parseList(value, 'names'), roles: parseList(value, 'roles') };
}

function parseList(party: Readonly<Record<string, unknown>>, key: 'names' | 'roles'): ReadonlySet<string> {
  const list = member(party, key, []);
  if (!Array.isArray(list) || !list.every((entry) => typeof entry === 'string')) {
    throw badRequest(`${key} must be a JSON list of strings`);
  }
  return new Set(list);
}

/** The value of an own key, so that nothing is read from a prototype. */
function member(object: Readonly<Record<string, unknown>>, key: string, absent: unknown): unknown {
  return Object.hasOwn(object, key) ? object[key] : absent;
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

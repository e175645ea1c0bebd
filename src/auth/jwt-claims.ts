import type { RequiredClaims } from '../config/jwt.js';
import { badRequest, notFound, unauthorized } from '../errors.js';
import { isMembers, malformedToken, type Members, type Token } from './jwt-token.js';
import { splitRoles } from './roles.js';
import type { UserContext } from './usercontext.js';

/** @throws CouchError 400 where the header says that the token is none of ours, or says too little */
export function checkType(header: Members, { names }: RequiredClaims): void {
  const type = header.typ;
  if (type === undefined && names.has('typ')) throw badRequest('Missing typ header parameter');
  if (type !== undefined && type !== 'JWT') throw badRequest('Invalid typ header parameter');
}

/**
 * Checks the claims that are required, in CouchDB's order, and whether the token has ended in any case.
 * @param now in seconds since 1970
 * @throws CouchError 400, 401
 */
export function checkClaims({ header, claims }: Token, required: RequiredClaims, now: number): void {
  const { names, issuer } = required;
  const requires = (name: string): boolean => {
    if (names.has(name) && !Object.hasOwn(claims, name)) throw badRequest(`Missing ${name} claim`);
    return names.has(name);
  };
  if (issuer !== undefined && !Object.hasOwn(claims, 'iss')) throw badRequest('Missing iss claim');
  if (issuer !== undefined && claims.iss !== issuer) throw badRequest('Invalid iss claim');
  if (requires('iat') && !Number.isInteger(claims.iat)) throw badRequest('Invalid iat claim');
  if (requires('nbf') && seconds(claims, 'nbf') >= now) throw unauthorized('nbf not in past');
  requires('exp');
  if (endOf(claims) <= now) throw unauthorized('exp not in future');
  if (names.has('kid') && !Object.hasOwn(header, 'kid')) throw badRequest('Missing kid claim');
}

/** When a token with these claims ends, in seconds since 1970. @throws CouchError 400 */
export function endOf(claims: Members): number {
  return Object.hasOwn(claims, 'exp') ? seconds(claims, 'exp') : Infinity;
}

/** @throws CouchError 400; CouchDB takes a text for a time that never comes */
function seconds(claims: Members, name: string): number {
  const value = claims[name];
  if (typeof value !== 'number') throw badRequest(`Invalid ${name} claim`);
  return value;
}

/** Names of members, from the outside to the inside: where the roles are. */
export type RolesPath = readonly string[];

/** Reads CouchDB's `roles_claim_path`. */
export function readRolesPath(text: string): RolesPath {
  return text.split(/(?<!\\)\./).map((name) => name.replaceAll('\\.', '.'));
}

/** Whom the claims name. @throws CouchError 400, 401, and 404 where a path leads nowhere, as CouchDB has it */
export function userOf(claims: Members, roles: RolesPath | string): UserContext {
  const read = readRoles(typeof roles === 'string' ? claimOr([], claims, roles) : valueAt(claims, roles));
  const name = claimOr('', claims, 'sub');
  if (name === '') throw unauthorized('Token missing sub claim.');
  if (typeof name !== 'string') throw malformedToken();
  return { name, roles: read };
}

const claimOr = (other: unknown, claims: Members, name: string): unknown =>
  Object.hasOwn(claims, name) ? claims[name] : other;

function valueAt(claims: Members, path: RolesPath): unknown {
  let value: unknown = claims;
  for (const name of path) {
    if (!isMembers(value)) throw notFound('json_mismatch');
    if (!Object.hasOwn(value, name)) throw notFound(`missing json key: ${name}`);
    value = value[name];
  }
  return value;
}

function readRoles(given: unknown): readonly string[] {
  if (typeof given === 'string') return splitRoles(given);
  if (!Array.isArray(given) || !given.every((role) => typeof role === 'string')) throw malformedToken();
  return given;
}

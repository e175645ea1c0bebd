import { forbidden, type CouchError } from '../../errors.js';
import { buildHash, type PasswordHash, type Prf } from '../password.js';
import { parseTotp } from '../totp.js';
import type { Account } from '../accounts.js';
import type { Members } from './rules.js';

/** Which hashes may be checked: others would be worthless, or take too long. */
export interface IterationLimits {
  readonly minIterations: number;
  readonly maxIterations: number;
}

/** The members of a stored or a given text. Keys are only what stands in it, whatever they are called. */
export function membersOf(text: string): Members {
  return new Map(Object.entries(JSON.parse(text) as Record<string, unknown>));
}

/** Characters of a salt. Accounts are kept in memory, and whoever may sign up writes their hashes. */
const MAX_SALT = 1024;

const PRFS: readonly unknown[] = ['sha', 'sha224', 'sha256', 'sha384', 'sha512'] satisfies Prf[];

/** The account that a user document makes; it may hold anything, for whoever wrote it need not have been checked. */
export function accountOf(name: string, rev: string, members: Members, limits: IterationLimits): Account {
  const hash = readHash(members, limits);
  return {
    user: { name, roles: readRoles(members.get('roles')) },
    rev,
    ...(members.has('totp') && { secondFactor: { totp: parseTotp(members.get('totp')) } }),
    ...('refusal' in hash ? { password: undefined, refusal: hash.refusal } : hash),
  };
}

/** A system role is the configuration's to give, but for this one. */
function readRoles(value: unknown): readonly string[] {
  if (!Array.isArray(value)) return [];
  return value.filter(
    (role): role is string => typeof role === 'string' && (!role.startsWith('_') || role === '_metrics'),
  );
}

type ReadHash = { readonly password: PasswordHash | undefined } | { readonly refusal: CouchError };

function readHash(members: Members, limits: IterationLimits): ReadHash {
  const scheme = members.get('password_scheme') ?? 'simple';
  const salt = members.get('salt');
  if (typeof salt === 'string' && salt.length > MAX_SALT)
    return { refusal: forbidden('The salt is too long for this server') };
  if (scheme === 'simple') return { password: buildHash('simple', members.get('password_sha'), salt, 0) };
  if (scheme !== 'pbkdf2' && scheme !== 'simple+pbkdf2') return { password: undefined };
  const prf = members.get('pbkdf2_prf') ?? 'sha';
  const iterations = members.get('iterations') ?? 10_000;
  if (!PRFS.includes(prf)) return { refusal: forbidden('PRF is invalid') };
  if (typeof iterations !== 'number' || !Number.isInteger(iterations)) return { password: undefined };
  if (iterations < limits.minIterations)
    return { refusal: forbidden('Iteration count is too low for this server') };
  if (iterations > limits.maxIterations)
    return { refusal: forbidden('Iteration count is too high for this server') };
  const hash = buildHash(prf as Prf, members.get('derived_key'), salt, iterations);
  return { password: hash && scheme === 'simple+pbkdf2' ? overSimple(hash) : hash };
}

const overSimple = (hash: PasswordHash): PasswordHash => ({
  ...hash,
  text: `simple+${hash.text}`,
  isOverSimple: true,
});

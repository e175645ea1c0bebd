import { hash, type KeyObject } from 'node:crypto';
import { compactVerify } from 'jose';
import { readJwtKey, readRequiredClaims, type RequiredClaims } from '../config/jwt.js';
import type { Config } from '../config/schema.js';
import { badRequest } from '../errors.js';
import { checkClaims, checkType, endOf, readRolesPath, type RolesPath, userOf } from './jwt-claims.js';
import { type Members, readToken, type Token } from './jwt-token.js';
import type { UserContext } from './usercontext.js';

const PREFIX = 'Bearer ';

/** An algorithm, and the kind of keys that it takes. One of another kind is never tried, whatever a token says. */
interface Algorithm {
  readonly name: string;
  readonly kind: string;
}

const ALGORITHMS: ReadonlyMap<unknown, Algorithm> = new Map(
  Object.entries({
    hmac: ['HS256', 'HS384', 'HS512'],
    rsa: ['RS256', 'RS384', 'RS512'],
    ec: ['ES256', 'ES384', 'ES512'],
    eddsa: ['EdDSA'],
  }).flatMap(([kind, names]) => names.map((name) => [name, { name, kind }])),
);

/** The key of tokens that name none. */
const DEFAULT_KEY = '_default';

/** What is made of the configuration. */
interface Rules {
  /** By kind and id, `rsa:KID`. */
  readonly keys: ReadonlyMap<string, KeyObject>;
  readonly required: RequiredClaims;
  /** The claim with the roles, or the path to it. */
  readonly roles: string | RolesPath;
}

/** A token that was verified. */
interface Verified {
  readonly user: UserContext;
  /** In seconds since 1970. */
  readonly end: number;
}

/**
 * Finds out whom a JSON Web Token names, as CouchDB does. Tokens that were verified are remembered until they end, so
 * that a signature is paid for once and not for every request; a hash stands for each.
 */
export class Jwt {
  #rules: Rules;
  /** The least recently used first. */
  #known = new Map<string, Verified>();

  constructor(
    settings: Config['jwt'],
    private readonly capacity = 10_000,
  ) {
    this.#rules = rulesOf(settings);
  }

  /** From now on these keys and claims count, also for tokens that were verified before. */
  replace(settings: Config['jwt']): void {
    this.#rules = rulesOf(settings);
    this.#known = new Map();
  }

  /**
   * Whom an Authorization header names; undefined when it is of another kind.
   * @throws CouchError 400, 401, 404 for a token that does not let in
   */
  authenticate(header: string | undefined): UserContext | undefined | Promise<UserContext> {
    if (!header?.startsWith(PREFIX)) return undefined;
    const text = header.slice(PREFIX.length);
    const id = hash('sha256', text, 'base64url');
    return this.#recall(id) ?? this.#verify(text, id);
  }

  #recall(id: string): UserContext | undefined {
    const verified = this.#known.get(id);
    if (verified === undefined) return undefined;
    this.#known.delete(id);
    if (verified.end <= now()) return undefined;
    this.#known.set(id, verified);
    return verified.user;
  }

  async #verify(text: string, id: string): Promise<UserContext> {
    // Those of the moment, both of them: a change meanwhile leaves them behind.
    const rules = this.#rules;
    const known = this.#known;
    const token = readToken(text);
    await requireGenuine(text, token, rules);
    const user = userOf(token.claims, rules.roles);
    known.set(id, { user, end: endOf(token.claims) });
    if (known.size > this.capacity) forgetOldest(known);
    return user;
  }
}

function rulesOf({ keys, requiredClaims, rolesClaimName, rolesClaimPath }: Config['jwt']): Rules {
  const read = Object.entries(keys).flatMap(([name, text]) => {
    const key = readJwtKey(name, text);
    return key === undefined ? [] : [[name, key] as const];
  });
  const required = readRequiredClaims(requiredClaims);
  if (required === undefined || read.length < Object.keys(keys).length)
    throw new Error('the configuration of jwt is wrong');
  const roles = rolesClaimPath === undefined ? rolesClaimName : readRolesPath(rolesClaimPath);
  return { keys: new Map(read), required, roles };
}

/** Refuses a token in the order in which CouchDB does: for its header, its claims, its key, its signature. */
async function requireGenuine(text: string, token: Token, { keys, required }: Rules): Promise<void> {
  const { header } = token;
  checkType(header, required);
  const algorithm = ALGORITHMS.get(header.alg);
  if (algorithm === undefined)
    throw badRequest(`${header.alg === undefined ? 'Missing' : 'Invalid'} alg header parameter`);
  checkClaims(token, required, now());
  const key = keyOf(header, algorithm, keys);
  try {
    await compactVerify(text, key, { algorithms: [algorithm.name] });
  } catch {
    // Also where the key's curve is not the one of the algorithm.
    throw badRequest(algorithm.kind === 'hmac' ? 'Bad HMAC' : 'Bad signature');
  }
}

function keyOf(header: Members, { kind }: Algorithm, keys: Rules['keys']): KeyObject {
  const { kid = DEFAULT_KEY } = header;
  const key = typeof kid === 'string' ? keys.get(`${kind}:${kid}`) : undefined;
  if (key === undefined) throw badRequest('Unknown kid');
  return key;
}

function forgetOldest(known: Map<string, Verified>): void {
  for (const oldest of known.keys()) {
    known.delete(oldest);
    return;
  }
}

const now = (): number => Math.floor(Date.now() / 1000);

import { z } from 'zod';
import { count, milliseconds } from './numbers.js';

/** Users: how they log in, and what they have. */

/** Sessions by cookie. */
export const session = z.strictObject({
  timeout: z
    .int()
    .min(1)
    .max(31_536_000)
    .default(600)
    .describe('Seconds after which a cookie session ends when it is not used.'),
  persistent: z
    .boolean()
    .default(true)
    .describe(
      'Whether browsers keep the cookie when they are closed (`allow_persistent_cookies` of CouchDB’s `chttpd_auth`).',
    ),
  sameSite: z
    .enum(['none', 'lax', 'strict'])
    .optional()
    .describe('The SameSite attribute of the cookie (`same_site`); not sent when it is not given.'),
  domain: z
    .string()
    .regex(/^[A-Za-z0-9.-]+$/)
    .optional()
    .meta({
      description: 'The Domain attribute of the cookie (`cookie_domain`); not sent when it is not given.',
      allowed: 'a domain such as example.org',
    }),
});

/** Who gets in, and how. */
export const auth = z.strictObject({
  handlers: z
    .array(z.enum(['cookie', 'default', 'jwt', 'proxy']))
    .min(1)
    .default(['cookie', 'default'])
    .meta({
      description:
        'The ways to log in, in the order in which they are tried; `default` is HTTP Basic (`authentication_handlers` of `chttpd`).',
      allowed: 'a list of cookie, default, jwt (which needs jwt.keys) and proxy (which needs proxy.secret)',
    }),
  requireValidUser: z
    .boolean()
    .default(false)
    .describe('Whether requests without credentials are refused (`require_valid_user` of `chttpd`).'),
  requireValidUserExceptForUp: z
    .boolean()
    .default(false)
    .describe('The same, but for `/_up` (`require_valid_user_except_for_up`).'),
  adminOnlyAllDbs: z
    .boolean()
    .default(true)
    .describe('Whether `_all_dbs` and `_dbs_info` are for server admins (`admin_only_all_dbs`).'),
  wwwAuthenticate: z
    .string()
    .regex(/^[\x20-\x7e]+$/)
    .optional()
    .meta({
      description:
        'The `WWW-Authenticate` header of answers with status 401, which makes browsers ask for a password; not sent when it is not given.',
      allowed: 'a challenge such as Basic realm="notes"',
    }),
});

const iterations = (value: number): z.ZodDefault<z.ZodInt> =>
  z.int().min(1).max(1_000_000_000).default(value);

/** What passwords are kept as. */
export const passwords = z.strictObject({
  iterations: iterations(600_000).describe(
    'The cost of hashing a new password (`iterations` of `chttpd_auth`).',
  ),
  prf: z
    .enum(['sha', 'sha224', 'sha256', 'sha384', 'sha512'])
    .default('sha256')
    .describe('The function that new passwords are hashed with (`pbkdf2_prf`).'),
  upgrade: z
    .boolean()
    .default(true)
    .describe('Whether a user who logs in gets a hash of that kind (`upgrade_hash_on_auth`).'),
  minIterations: iterations(1).describe(
    'Users whose password is hashed with fewer iterations cannot log in (`min_iterations`).',
  ),
  maxIterations: iterations(10_000_000).describe(
    'Nor can those with more (`max_iterations`): checking their passwords would take too long.',
  ),
});

/** Whoever guesses passwords. */
export const lockout = z.strictObject({
  mode: z
    .enum(['enforce', 'warn', 'off'])
    .default('enforce')
    .describe(
      'What happens to an address that sends too many wrong passwords for a name: refused with 403, logged, nothing (`mode` of `chttpd_auth_lockout`).',
    ),
  threshold: count(5).describe('So many wrong passwords are too many (`threshold`).'),
  lifetime: milliseconds(300_000).describe(
    'The time after which they are forgotten, in milliseconds (`max_lifetime`).',
  ),
  maxObjects: count(10_000).describe('For so many names and addresses they are counted (`max_objects`).'),
});

/** What is seen of users. */
export const users = z.strictObject({
  publicFields: z
    .array(z.string().min(1))
    .default([])
    .describe('Members of user documents that others may read (`public_fields` of `chttpd_auth`).'),
  public: z
    .boolean()
    .default(false)
    .describe('Whether whoever may read `_users` may list those members of all users (`users_db_public`).'),
  securityEditable: z
    .boolean()
    .default(false)
    .describe(
      'Whether the security object of `_users` can be changed (`users_db_security_editable` of `couchdb`).',
    ),
});

/** Databases that users get of their own. */
export const perUser = z.strictObject({
  enable: z
    .boolean()
    .default(false)
    .describe('Whether every user gets a database of their own (`enable` of `couch_peruser`).'),
  deleteDbs: z.boolean().default(false).describe('Whether it is deleted with the user (`delete_dbs`).'),
  databasePrefix: z
    .string()
    .regex(/^[a-z][a-z0-9_$()+/-]{0,200}$/)
    .default('userdb-')
    .meta({
      description:
        'What its name begins with; the name of the user follows, in hexadecimal digits (`database_prefix`).',
      allowed: 'the beginning of the name of a database',
    }),
});

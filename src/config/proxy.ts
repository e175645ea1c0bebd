import { z } from 'zod';

const header = (value: string, description: string): z.ZodDefault<z.ZodString> =>
  z
    .string()
    .regex(/^[\w!#$%&'*+.^`|~-]+$/)
    .default(value)
    .meta({ description, allowed: 'the name of a header' });

/** `proxy` of the configuration. */
export const proxySchema = z.strictObject({
  secret: z.string().min(16).optional().meta({
    description:
      'The secret by which a proxy that says who asks is known (in CouchDB it is that of the cookies).',
    allowed: 'a text of at least 16 characters',
    secret: true,
  }),
  usernameHeader: header(
    'X-Auth-CouchDB-UserName',
    'The header with the name (`x_auth_username` of `chttpd_auth`).',
  ),
  rolesHeader: header(
    'X-Auth-CouchDB-Roles',
    'The header with the roles, with commas between them (`x_auth_roles`).',
  ),
  tokenHeader: header(
    'X-Auth-CouchDB-Token',
    'The header with the HMAC of the name under the secret, in hexadecimal digits (`x_auth_token`).',
  ),
  hashAlgorithms: z
    .array(z.enum(['sha', 'sha224', 'sha256', 'sha384', 'sha512']))
    .min(1)
    .default(['sha256', 'sha'])
    .meta({
      description:
        'The functions that it may be made with (`hash_algorithms`, which says nothing about cookies here).',
      allowed: 'a list of sha, sha224, sha256, sha384, sha512',
    }),
});

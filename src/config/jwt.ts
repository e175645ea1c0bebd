import { createPublicKey, createSecretKey, type KeyObject } from 'node:crypto';
import { z } from 'zod';

/** What a token must have besides a signature. */
export interface RequiredClaims {
  /** Claims, or parameters of the header, that have to be there. */
  readonly names: ReadonlySet<string>;
  /** Who has to have issued it. */
  readonly issuer: string | undefined;
}

/** Reads what CouchDB's `required_claims` says, `exp, {iss, "NAME"}`; undefined where it says something else. */
export function readRequiredClaims(text: string): RequiredClaims | undefined {
  const item = /\s*(?:(exp|iat|nbf|kid|typ)|\{\s*iss\s*,\s*"([^"]+)"\s*\})\s*(?:,|$)/y;
  const names = new Set<string>();
  let issuer: string | undefined;
  while (item.lastIndex < text.length) {
    const [, name, value] = item.exec(text) ?? [];
    if (name !== undefined) names.add(name);
    else if (value !== undefined && issuer === undefined) issuer = value;
    else return undefined;
  }
  return { names, issuer };
}

/** RSA keys with fewer bits verify nothing. */
const RSA_BITS = 2048;
const CURVES = ['prime256v1', 'secp384r1', 'secp521r1'];

/** Reads a key as CouchDB's section `jwt_keys` has it: under `KIND:KID`; undefined where it is none of its kind. */
export function readJwtKey(name: string, text: string): KeyObject | undefined {
  const [kind, kid] = split(name);
  if (kid === '') return undefined;
  if (kind === 'hmac') return readSecret(text);
  const key = readPublicKey(text);
  const { modulusLength = 0, namedCurve = '' } = key?.asymmetricKeyDetails ?? {};
  const type = key?.asymmetricKeyType;
  const fits =
    (kind === 'rsa' && type === 'rsa' && modulusLength >= RSA_BITS) ||
    (kind === 'ec' && type === 'ec' && CURVES.includes(namedCurve)) ||
    (kind === 'eddsa' && type === 'ed25519');
  return fits ? key : undefined;
}

/** The kind of a key, and what tokens call it, which may have any characters. */
function split(name: string): [kind: string, kid: string] {
  const colon = name.indexOf(':');
  return colon < 0 ? ['', ''] : [name.slice(0, colon), name.slice(colon + 1)];
}

function readSecret(text: string): KeyObject | undefined {
  const bytes = Buffer.from(text, 'base64');
  return bytes.length > 0 && bytes.toString('base64') === text ? createSecretKey(bytes) : undefined;
}

/** From PEM; as in CouchDB's files, `\n` may stand for the ends of lines. */
function readPublicKey(text: string): KeyObject | undefined {
  const pem = text.replaceAll('\\n', '\n').trim();
  // Node would also take a private key, which has no business here.
  if (!/^-----BEGIN (RSA )?PUBLIC KEY-----\s/.test(pem)) return undefined;
  try {
    return createPublicKey(pem);
  } catch {
    return undefined;
  }
}

const keys = z
  .record(z.string(), z.string())
  .default({})
  .superRefine((given, context) => {
    for (const [name, text] of Object.entries(given))
      if (readJwtKey(name, text) === undefined) context.addIssue({ code: 'custom', path: [name] });
  })
  .meta({
    description:
      'Keys that tokens are signed with: the secrets and public keys of CouchDB’s section `jwt_keys`, and `eddsa:KID`.',
    allowed:
      'names hmac:KID with a secret in Base64, and rsa:KID (from 2048 bits), ec:KID (P-256, P-384, P-521), eddsa:KID (Ed25519) with a public key in PEM; KID is _default for tokens without one; in the environment as JSON',
    secret: true,
  });

const requiredClaims = z
  .string()
  .refine((text) => readRequiredClaims(text) !== undefined)
  .default('exp')
  .meta({
    description: 'What every token must have (`required_claims` of `jwt_auth`).',
    allowed: 'some of exp, iat, nbf, kid, typ, {iss, "NAME"}, with commas between them',
  });

/** `jwt` of the configuration. */
export const jwtSchema = z.strictObject({
  keys,
  requiredClaims,
  rolesClaimName: z
    .string()
    .min(1)
    .default('_couchdb.roles')
    .describe('The claim with the roles (`roles_claim_name`).'),
  rolesClaimPath: z
    .string()
    .min(1)
    .optional()
    .describe(
      'Where they are instead (`roles_claim_path`): names of members with dots between them, `\\.` for a dot in a name.',
    ),
});

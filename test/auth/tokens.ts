import { createHmac, generateKeyPairSync, type KeyObject, randomBytes, sign } from 'node:crypto';

const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 });
const p256 = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const p384 = generateKeyPairSync('ec', { namedCurve: 'P-384' });
const p521 = generateKeyPairSync('ec', { namedCurve: 'P-521' });
const ed = generateKeyPairSync('ed25519');
export const secret = randomBytes(64);

export const pemOf = (key: KeyObject): string => key.export({ type: 'spki', format: 'pem' }).toString();

/** What `jwt.keys` has of these keys. */
export const KEYS = {
  'hmac:_default': secret.toString('base64'),
  'rsa:r': pemOf(rsa.publicKey),
  'ec:p256': pemOf(p256.publicKey).replaceAll('\n', '\\n'),
  'ec:p384': pemOf(p384.publicKey),
  'ec:p521': pemOf(p521.publicKey),
  'eddsa:ed': pemOf(ed.publicKey),
};

type Signer = (message: string) => Buffer;

export const hmac =
  (bits: number, key: string | Buffer = secret): Signer =>
  (message) =>
    createHmac(`sha${bits}`, key).update(message).digest();

const signed =
  (hash: string | null, key: KeyObject): Signer =>
  (message) =>
    sign(hash, Buffer.from(message), { key, dsaEncoding: 'ieee-p1363' });

/** How each algorithm signs, and with which key. */
export const SIGNERS: Readonly<Record<string, { kid?: string; sign: Signer }>> = {
  HS256: { sign: hmac(256) },
  HS384: { sign: hmac(384) },
  HS512: { sign: hmac(512) },
  RS256: { kid: 'r', sign: signed('sha256', rsa.privateKey) },
  RS384: { kid: 'r', sign: signed('sha384', rsa.privateKey) },
  RS512: { kid: 'r', sign: signed('sha512', rsa.privateKey) },
  ES256: { kid: 'p256', sign: signed('sha256', p256.privateKey) },
  ES384: { kid: 'p384', sign: signed('sha384', p384.privateKey) },
  ES512: { kid: 'p521', sign: signed('sha512', p521.privateKey) },
  EdDSA: { kid: 'ed', sign: signed(null, ed.privateKey) },
};

export const encode = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url');

export function tokenOf(header: unknown, claims: unknown, signer: Signer = hmac(256)): string {
  const message = `${encode(header)}.${encode(claims)}`;
  return `${message}.${signer(message).toString('base64url')}`;
}

/** A good token of an algorithm. */
export function tokenBy(algorithm: string, claims: object = {}, header: object = {}): string {
  const { kid, sign: signer } = SIGNERS[algorithm] ?? { sign: hmac(256) };
  const named = { alg: algorithm, typ: 'JWT', ...(kid !== undefined && { kid }), ...header };
  return tokenOf(named, { sub: 'ann', exp: inSeconds(600), ...claims }, signer);
}

export const inSeconds = (seconds: number): number => Math.floor(Date.now() / 1000) + seconds;

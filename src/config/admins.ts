import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { replaceFile } from './files.js';
import { badConfig } from './layers.js';
import { readRuntime, writeRuntime } from './runtime.js';
import type { Config } from './schema.js';

/** How passwords are hashed; the part of the auth layer that is needed here. */
export interface PasswordHasher {
  hash(clear: string, how: Config['passwords']): Promise<string>;
  verify(clear: string, hashed: string): Promise<boolean>;
  /** Whether the text claims to be a hashed password. */
  isHashed(text: string): boolean;
  /** Whether it is one of a known form. */
  isKnown(text: string): boolean;
}

export interface ServerAdmins {
  /** Hashed passwords by name. */
  admins: Map<string, string>;
  /** The file with the password of `admin`, when the configuration names no admin. */
  passwordFile: string | undefined;
}

/**
 * The server admins: those of the configuration, or else `admin` with the password in DATA/admin-password,
 * which the first start makes. Hashes of passwords in clear text are kept in DATA/runtime.json.
 */
export async function serverAdmins(config: Config, hasher: PasswordHasher): Promise<ServerAdmins> {
  const configured = Object.entries(config.admins);
  if (configured.length > 0)
    return { admins: await hashedAdmins(config, configured, hasher), passwordFile: undefined };
  const passwordFile = adminPasswordFile(config.data);
  const password = await readOrMake(passwordFile, () => randomBytes(18).toString('base64url'));
  return { admins: await hashedAdmins(config, [[FIRST_ADMIN, password]], hasher), passwordFile };
}

/** The admin whose password the server makes where none is named. */
export const FIRST_ADMIN = 'admin';

/** Where the password is that the server made. */
export const adminPasswordFile = (data: string): string => path.resolve(data, 'admin-password');

/** The secret that signs cookies: of `secretFile`, or of DATA/secret, which the first start makes. */
export async function cookieSecret(config: Config): Promise<string> {
  if (config.secretFile === undefined)
    return await readOrMake(path.resolve(config.data, 'secret'), () => randomBytes(32).toString('hex'));
  const secret = await readIfThere(config.secretFile);
  if (!secret) throw badConfig([`secretFile names ${config.secretFile}, which is missing or empty`]);
  return secret;
}

async function hashedAdmins(
  { data, passwords }: Config,
  admins: readonly (readonly [name: string, password: string])[],
  hasher: PasswordHasher,
): Promise<Map<string, string>> {
  const bad = admins.filter(([, password]) => hasher.isHashed(password) && !hasher.isKnown(password));
  if (bad.length > 0)
    throw badConfig(bad.map(([name]) => `admins.${name} is a hashed password in no known form`));
  const runtime = readRuntime(data);
  const result = new Map<string, string>();
  const hashes = new Map<string, string>();
  for (const [name, password] of admins) {
    const known = runtime.passwordHashes.get(name);
    if (hasher.isHashed(password)) {
      result.set(name, password);
      continue;
    }
    const hash =
      known !== undefined && (await hasher.verify(password, known))
        ? known
        : await hasher.hash(password, passwords);
    result.set(name, hash);
    hashes.set(name, hash);
  }
  if (!sameEntries(hashes, runtime.passwordHashes))
    await writeRuntime(data, { ...runtime, passwordHashes: hashes });
  return result;
}

function sameEntries(a: ReadonlyMap<string, string>, b: ReadonlyMap<string, string>): boolean {
  return a.size === b.size && [...a].every(([key, value]) => b.get(key) === value);
}

/** The one line of a file; the file is made, readable by its owner alone, when it is missing or empty. */
async function readOrMake(file: string, make: () => string): Promise<string> {
  const content = await readIfThere(file);
  if (content) return content;
  const made = make();
  await replaceFile(file, `${made}\n`);
  return made;
}

async function readIfThere(file: string): Promise<string | undefined> {
  try {
    return (await readFile(file, 'utf8')).replace(/\r?\n$/, '');
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT') return undefined;
    throw badConfig([`${file} cannot be read: ${message}`], error);
  }
}

import path from 'node:path';
import { readFileSync } from 'node:fs';
import { adminName, configSchema } from './schema.js';

/** What pouchdb-server's configuration says that has a place in ours. */
export interface FormerSettings {
  /** Hashed passwords by name, or what stands in their place. */
  readonly admins: ReadonlyMap<string, string>;
  /** Origins that it names for CORS; none where it names none, or CORS is off. */
  readonly origins: readonly string[];
  /** `section.key` of what is not taken over. */
  readonly others: readonly string[];
}

type Sections = Record<string, Record<string, unknown> | undefined>;

/** What was taken over, and what every installation has of its own. */
const KNOWN = new Set(['cors.origins', 'httpd.enable_cors', 'couchdb.uuid', 'couch_httpd_auth.secret']);

/**
 * Reads `config.json` of a directory that pouchdb-server has used.
 * @returns undefined where there is none
 * @throws SyntaxError where it is not JSON
 */
export function readFormerSettings(root: string): FormerSettings | undefined {
  const text = readIfThere(path.join(root, 'config.json'));
  if (text === undefined) return undefined;
  const config = sectionsOf(JSON.parse(text));
  const admins = Object.entries(config.admins ?? {}).filter(
    (entry): entry is [string, string] => typeof entry[1] === 'string',
  );
  const others = Object.entries(config).flatMap(([section, values]) =>
    section === 'admins' ? [] : Object.keys(values ?? {}).map((key) => `${section}.${key}`),
  );
  return {
    admins: new Map(admins),
    origins: originsOf(config),
    others: others.filter((name) => !KNOWN.has(name)),
  };
}

function originsOf({ httpd = {}, cors = {} }: Sections): readonly string[] {
  if (String(httpd.enable_cors) === 'false' || typeof cors.origins !== 'string') return [];
  const origins = cors.origins.split(',').map((origin) => origin.trim());
  return origins.filter((origin) => configSchema.shape.cors.safeParse({ origins: [origin] }).success);
}

/** Whether an admin may be called so. */
export const isAdminName = (name: string): boolean => adminName.safeParse(name).success;

function sectionsOf(value: unknown): Sections {
  const sections = Object.create(null) as Sections;
  if (typeof value !== 'object' || value === null) return sections;
  for (const [name, section] of Object.entries(value as Record<string, unknown>))
    if (typeof section === 'object' && section !== null) sections[name] = section as Record<string, unknown>;
  return sections;
}

function readIfThere(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT') return undefined;
    throw error;
  }
}

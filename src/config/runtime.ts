import { readFileSync } from 'node:fs';
import path from 'node:path';
import { z } from 'zod';
import { replaceFile } from './files.js';
import { badConfig, emptyValues, isSection, type Values } from './layers.js';

/** Texts by their names, which may be any: in sections of CouchDB's configuration, what stands at their keys. */
export type Sections = ReadonlyMap<string, ReadonlyMap<string, string>>;

/**
 * What DATA/runtime.json holds: the one layer of the configuration that the server itself writes.
 * `config` has our keys, and `couchdb` what was set over HTTP, under CouchDB's names and as it was given; it counts for
 * more. `passwordHashes` are those of the admins whose passwords the configuration gives in clear text. They are
 * kept so that the salts, on which cookies depend, are the same after a restart.
 */
export interface Runtime {
  config: Values;
  couchdb: Sections;
  passwordHashes: Map<string, string>;
}

const runtimeSchema = z.strictObject({
  config: z.custom<Values>(isSection).optional(),
  couchdb: z.custom<Values>(holdsTexts).optional(),
  passwordHashes: z.record(z.string(), z.string()).optional(),
});

/** Whether a value is an object of objects of texts; a record of zod's has no place for a name like `__proto__`. */
function holdsTexts(value: unknown): boolean {
  const isText = (text: unknown): boolean => typeof text === 'string';
  return (
    isSection(value) &&
    Object.values(value).every((section) => isSection(section) && Object.values(section).every(isText))
  );
}

export function runtimeFile(data: string): string {
  return path.resolve(data, 'runtime.json');
}

/** Reads DATA/runtime.json; when there is none, it says nothing. */
export function readRuntime(data: string): Runtime {
  const file = runtimeFile(data);
  const text = readIfThere(file);
  if (text === undefined) return { config: emptyValues(), couchdb: new Map(), passwordHashes: new Map() };
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw badConfig([`${file} is not valid JSON`], error);
  }
  const parsed = runtimeSchema.safeParse(value);
  if (!parsed.success)
    throw badConfig([
      `${file} may hold only "config", "couchdb" and "passwordHashes", as the server wrote them`,
    ]);
  const { config = emptyValues(), couchdb = emptyValues(), passwordHashes = {} } = parsed.data;
  const sections = Object.entries(couchdb as Record<string, Record<string, string>>);
  return {
    config,
    couchdb: new Map(sections.map(([name, texts]) => [name, new Map(Object.entries(texts))])),
    passwordHashes: new Map(Object.entries(passwordHashes)),
  };
}

/** Replaces DATA/runtime.json, readable by its owner alone. */
export async function writeRuntime(data: string, runtime: Runtime): Promise<void> {
  const sections = Array.from(runtime.couchdb, ([name, texts]) => [name, Object.fromEntries(texts)] as const);
  const content = {
    config: runtime.config,
    couchdb: Object.fromEntries(sections),
    passwordHashes: Object.fromEntries(runtime.passwordHashes),
  };
  await replaceFile(runtimeFile(data), `${JSON.stringify(content, null, 2)}\n`);
}

function readIfThere(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined;
    throw badConfig([`${file} cannot be read: ${message}`], error);
  }
}

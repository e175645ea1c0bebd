import { readFileSync } from 'node:fs';
import path from 'node:path';
import { parse, YAMLParseError } from 'yaml';
import { exitCodes, StartError } from './exit.js';
import { type Key, keys } from './keys.js';
import { withModulesFrom } from './merge-schema.js';
import { nearest } from './nearest.js';

/** Nested values without a prototype, so that no key can mean anything but itself. */
export type Values = Record<string, unknown>;

/** What one place says about the configuration. */
export interface Layer {
  values: Values;
  /** Names the place at which the value of a key was given. */
  source(key: Key | undefined): string;
}

export function emptyValues(): Values {
  return Object.create(null) as Values;
}

export function isSection(value: unknown): value is Values {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** A YAML file. */
export function fileLayer(file: string): Layer {
  const values = sections(parseYaml(file, readText(file)), file);
  return { values: withModules(values, path.dirname(file)), source: () => file };
}

/** Modules lie beside the file that names them, wherever the server was started. */
function withModules(values: Values, folder: string): Values {
  const { databases } = values;
  if (!Array.isArray(databases)) return values;
  const locate = (file: string): string => path.resolve(folder, file);
  const rules = databases.map((rule: unknown) =>
    isSection(rule) ? { ...rule, merge: withModulesFrom(rule.merge, locate) } : rule,
  );
  return { ...values, databases: rules };
}

function readText(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    throw badConfig([`the configuration file ${file} cannot be read: ${(error as Error).message}`], error);
  }
}

function parseYaml(file: string, text: string): unknown {
  try {
    return parse(text);
  } catch (error) {
    if (!(error instanceof YAMLParseError)) throw error;
    // The message goes on with an excerpt of the file, which may hold a password.
    const [message = ''] = error.message.split(/:?\n/);
    throw badConfig([`${file} is not valid YAML: ${message}`]);
  }
}

/** Checks the outermost shape, and takes an empty file for an empty configuration. */
export function sections(value: unknown, place: string): Values {
  if (value === null || value === undefined) return emptyValues();
  if (isSection(value)) return value;
  throw badConfig([`${place} has to hold keys with values`]);
}

/** Variables that are not keys: CAUSEWAY_CONFIG names the file, and commands that ask servers take passwords so. */
const OTHER_VARIABLES = [
  'CAUSEWAY_CONFIG',
  'CAUSEWAY_PASSWORD',
  'CAUSEWAY_SOURCE_PASSWORD',
  'CAUSEWAY_TARGET_PASSWORD',
];

/** The environment, with a warning for each variable that looks like a key and is none. */
export function environmentLayer(env: NodeJS.ProcessEnv): { layer: Layer; warnings: string[] } {
  const values = emptyValues();
  for (const key of keys) {
    const text = env[key.env];
    if (text !== undefined && text !== '') put(values, key, fromText(key, text));
  }
  const known = [...keys.map((key) => key.env), ...OTHER_VARIABLES];
  const warnings = Object.keys(env)
    .filter((name) => name.startsWith('CAUSEWAY_') && !known.includes(name))
    .map((name) => {
      const near = nearest(name, known);
      return `the environment variable ${name} is not a key of the configuration${near ? `; ${near} is` : ''}`;
    });
  return { layer: { values, source: (key) => key?.env ?? 'the environment' }, warnings };
}

/** Flags by the names of their keys; `--cors`, which may be given more than once, gives a list. */
export function flagsLayer(flags: ReadonlyMap<string, string | readonly string[]>): Layer {
  const values = emptyValues();
  for (const key of keys) {
    const given = flags.get(key.name);
    if (given !== undefined) put(values, key, typeof given === 'string' ? fromText(key, given) : given);
  }
  const source = (key: Key | undefined): string =>
    key?.name === 'cors.origins' ? '--cors' : (key?.flag ?? 'the command line');
  return { values, source };
}

/** An object of a program. */
export function valuesLayer(values: object): Layer {
  const given = overlay(emptyValues(), sections(values, 'the configuration'));
  return { values: given, source: () => 'the given configuration' };
}

/** The value at a path. */
export function valueAt(values: Values, path: readonly string[]): unknown {
  return path.reduce<unknown>((at, part) => (isSection(at) ? at[part] : undefined), values);
}

/** Gives a key its value. */
export function put(values: Values, key: Key, value: unknown): void {
  let section = values;
  for (const part of key.path.slice(0, -1)) {
    const inner = section[part];
    section = isSection(inner) ? inner : (section[part] = emptyValues());
  }
  const [last = ''] = key.path.slice(-1);
  section[last] = value;
}

/** What cannot be read as the key's kind stays text, which the schema then refuses. */
export function fromText(key: Key, text: string): unknown {
  switch (key.kind) {
    case 'integer':
      return /^-?\d+$/.test(text) ? Number(text) : text;
    case 'number':
      return /^-?\d+(\.\d+)?$/.test(text) ? Number(text) : text;
    case 'boolean':
      return text === 'true' ? true : text === 'false' ? false : text;
    case 'list':
      return text
        .split(',')
        .map((part) => part.trim())
        .filter((part) => part !== '');
    case 'map':
      return text.startsWith('{') ? fromJson(text) : namesAndPasswords(text);
    case 'sections':
      return fromJson(text);
    case 'string':
      return text;
  }
}

function fromJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

/**
 * Reads `name:password,name:password`. A password may contain `:`; one that is hashed contains commas, and
 * then has as many as its form says (`-pbkdf2…-KEY,SALT,ITERATIONS`, `-hashed-KEY,SALT`).
 */
function namesAndPasswords(text: string): unknown {
  const hashed = '-pbkdf2(?::[a-z0-9]+)?-[^,]*,[^,]*,[^,]*|-hashed-[^,]*,[^,]*';
  const pairs = new RegExp(`\\s*([^:,]+):(${hashed}|[^,]*)(?:,|$)`, 'y');
  const result = emptyValues();
  while (pairs.lastIndex < text.length) {
    const match = pairs.exec(text);
    if (!match) return text;
    result[match[1] ?? ''] = match[2];
  }
  return result;
}

/** Lays `upper` over `lower`; sections are merged, everything else is replaced. */
export function overlay(lower: Values, upper: Values): Values {
  const merged = Object.assign(emptyValues(), lower);
  for (const [key, value] of Object.entries(upper)) {
    const below = merged[key];
    if (isSection(value)) merged[key] = overlay(isSection(below) ? below : emptyValues(), value);
    // A section whose keys are all commented out reads as null.
    else if (value !== null) merged[key] = value;
  }
  return merged;
}

/** The same values without what stands at a path. */
export function without(values: Values, [first = '', ...rest]: readonly string[]): Values {
  const copy = Object.assign(emptyValues(), values);
  const inner = copy[first];
  if (rest.length === 0) Reflect.deleteProperty(copy, first);
  else if (isSection(inner)) copy[first] = without(inner, rest);
  return copy;
}

export function badConfig(problems: readonly string[], cause?: unknown): StartError {
  return new StartError(
    problems.map((problem) => `bad configuration: ${problem}`),
    exitCodes.config,
    { cause },
  );
}

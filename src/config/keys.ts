import { z } from 'zod';
import { configSchema } from './schema.js';

export type KeyKind = 'string' | 'integer' | 'number' | 'boolean' | 'list' | 'map' | 'sections';

const FLAGLESS: ReadonlySet<KeyKind> = new Set(['list', 'map', 'sections']);

/** One key of the configuration, with everything that is said about it. */
export interface Key {
  /** The path in the YAML file. */
  path: readonly string[];
  /** The path with dots. */
  name: string;
  kind: KeyKind;
  default: string | number | boolean | readonly string[] | undefined;
  doc: string;
  /** What may stand there, in words. */
  allowed: string;
  secret: boolean;
  env: string;
  /** Scalars have one, but for secrets: everybody on the machine sees a command line. */
  flag: string | undefined;
}

/** The part of JSON Schema that the configuration's schema uses. */
interface JsonSchema {
  type?: string;
  properties?: Record<string, JsonSchema>;
  additionalProperties?: JsonSchema | boolean;
  items?: JsonSchema;
  default?: string | number | boolean | string[] | object;
  description?: string;
  minimum?: number;
  maximum?: number;
  enum?: string[];
  allowed?: string;
  secret?: boolean;
  flag?: string;
}

/** Every key of the configuration, in the order of the schema. */
export const keys: readonly Key[] = collect(z.toJSONSchema(configSchema, { io: 'input' }) as JsonSchema, []);

/** The key that holds `path`: the path itself, or what it lies in. */
export function keyOf(path: readonly PropertyKey[]): Key | undefined {
  return keys.find((key) => key.path.every((part, index) => path[index] === part));
}

function collect(schema: JsonSchema, path: string[]): Key[] {
  return Object.entries(schema.properties ?? {}).flatMap(([part, child]) => {
    const childPath = [...path, part];
    return child.properties ? collect(child, childPath) : [describe(child, childPath)];
  });
}

function describe(schema: JsonSchema, path: string[]): Key {
  const kind = kindOf(schema);
  const { secret = false } = schema;
  const words = path.map((part) => part.replace(/[A-Z]/g, (letter) => `_${letter}`).toLowerCase()).join('_');
  return {
    path,
    name: path.join('.'),
    kind,
    default:
      typeof schema.default === 'object' && !Array.isArray(schema.default) ? undefined : schema.default,
    doc: schema.description ?? '',
    allowed: schema.allowed ?? allowedBy(schema, kind),
    secret,
    env: `CAUSEWAY_${words.toUpperCase()}`,
    flag: FLAGLESS.has(kind) || secret ? undefined : (schema.flag ?? `--${words.replaceAll('_', '-')}`),
  };
}

function kindOf(schema: JsonSchema): KeyKind {
  switch (schema.type) {
    case 'integer':
    case 'number':
    case 'boolean':
    case 'string':
      return schema.type;
    case 'array':
      return schema.items?.properties ? 'sections' : 'list';
    default:
      return typeof schema.additionalProperties === 'object' && schema.additionalProperties.properties
        ? 'sections'
        : 'map';
  }
}

function allowedBy(schema: JsonSchema, kind: KeyKind): string {
  if (schema.enum) return `one of ${schema.enum.join(', ')}`;
  if (kind === 'boolean') return 'true or false';
  if (kind === 'list') return 'a list of texts';
  if (kind === 'number') return `a number from ${schema.minimum ?? 0}`;
  if (kind !== 'integer') return 'a text that is not empty';
  const { minimum = Number.MIN_SAFE_INTEGER, maximum = Number.MAX_SAFE_INTEGER } = schema;
  return maximum === Number.MAX_SAFE_INTEGER
    ? `a whole number from ${minimum}`
    : `a whole number from ${minimum} to ${maximum}`;
}

/** One row of the README's table of keys. */
export interface KeyReference {
  key: string;
  env: string;
  flag: string;
  default: string;
  doc: string;
}

/** The table of keys as the README shows it. */
export function keyReference(): KeyReference[] {
  return keys.map((key) => ({
    key: key.name,
    env: key.env,
    flag: key.name === 'cors.origins' ? '--cors' : (key.flag ?? ''),
    default: showDefault(key),
    doc: key.doc,
  }));
}

function showDefault(key: Key): string {
  return typeof key.default === 'object' ? key.default.join(', ') : String(key.default ?? '');
}

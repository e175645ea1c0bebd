import { readFileSync } from 'node:fs';
import path from 'node:path';
import { z } from 'zod';
import { replaceFile } from './files.js';
import { badConfig, emptyValues, type Values } from './layers.js';

/**
 * What DATA/runtime.json holds: the one layer of the configuration that the server itself writes.
 * `passwordHashes` are those of the admins whose passwords the configuration gives in clear text. They are
 * kept so that the salts, on which cookies depend, are the same after a restart.
 */
export interface Runtime {
  config: Values;
  passwordHashes: Map<string, string>;
}

const runtimeSchema = z.strictObject({
  config: z.custom<Values>((value) => z.record(z.string(), z.unknown()).safeParse(value).success).optional(),
  passwordHashes: z.record(z.string(), z.string()).optional(),
});

export function runtimeFile(data: string): string {
  return path.resolve(data, 'runtime.json');
}

/** Reads DATA/runtime.json; when there is none, it says nothing. */
export function readRuntime(data: string): Runtime {
  const file = runtimeFile(data);
  const text = readIfThere(file);
  if (text === undefined) return { config: emptyValues(), passwordHashes: new Map() };
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw badConfig([`${file} is not valid JSON`], error);
  }
  const parsed = runtimeSchema.safeParse(value);
  if (!parsed.success) throw badConfig([`${file} may hold only "config" and "passwordHashes"`]);
  const { config = emptyValues(), passwordHashes = {} } = parsed.data;
  return { config, passwordHashes: new Map(Object.entries(passwordHashes)) };
}

/** Replaces DATA/runtime.json, readable by its owner alone. */
export async function writeRuntime(data: string, { config, passwordHashes }: Runtime): Promise<void> {
  const content = { config, passwordHashes: Object.fromEntries(passwordHashes) };
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

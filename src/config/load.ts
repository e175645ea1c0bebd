import path from 'node:path';
import type { z } from 'zod';
import { type Key, keyOf, keys } from './keys.js';
import {
  badConfig,
  emptyValues,
  environmentLayer,
  fileLayer,
  flagsLayer,
  type Layer,
  overlay,
  type Values,
  valuesLayer,
} from './layers.js';
import { cautions } from './cautions.js';
import { valuesOf } from './couchdb.js';
import { requireKnownFormat } from './datadir.js';
import { nearest } from './nearest.js';
import { type Runtime, readRuntime, runtimeFile } from './runtime.js';
import { type Config, configSchema, type ConfigValues } from './schema.js';

export interface ConfigInput {
  /** A YAML file; CAUSEWAY_CONFIG names one too. */
  file?: string | undefined;
  env?: NodeJS.ProcessEnv;
  /** Flags by the names of their keys. */
  flags?: ReadonlyMap<string, string | readonly string[]>;
  /** What a program that embeds the gateway gives; stands above everything else. */
  values?: ConfigValues;
}

export interface LoadedConfig {
  config: Config;
  /** What is not wrong enough to refuse to start. */
  warnings: string[];
  /** What it was read from, to be read again. */
  input: ConfigInput;
}

/** What is given beside DATA/runtime.json, in each the uppermost last. */
export interface Sources {
  readonly below: readonly Layer[];
  readonly above: readonly Layer[];
}

/**
 * Reads the configuration: defaults < file < DATA/runtime.json < environment < flags.
 * Throws a `StartError` with one line for each thing that is wrong.
 */
export function loadConfig(input: ConfigInput): LoadedConfig {
  const { warnings, data, ...sources } = readSources(input);
  const runtime = typeof data === 'string' ? readRuntimeLayers(data) : [];
  const config = combineAll(sources, runtime);
  return { config, warnings: [...warnings, ...cautions(config)], input };
}

/** Lays all layers over each other. Throws a `StartError` with one line for each thing that is wrong. */
export function combineAll({ below, above }: Sources, runtime: readonly Layer[]): Config {
  const layers = [...below, ...runtime, ...above];
  const parsed = configSchema.safeParse(combine(layers));
  if (!parsed.success) throw badConfig(parsed.error.issues.flatMap((issue) => problems(issue, layers)));
  return parsed.data;
}

/**
 * Where the data directory is, without looking into it: absolute.
 * Throws a `StartError` where the configuration does not say it properly.
 */
export function locateData(input: ConfigInput): string {
  const { data } = readSources(input);
  if (typeof data !== 'string' || data === '') throw badConfig([`data has to be the path of a folder`]);
  return path.resolve(data);
}

/** Reads the layers below and above the one that lies in the data directory, and where that is. */
export function readSources({
  file,
  env = {},
  flags = new Map<string, string>(),
  values = {},
}: ConfigInput): Sources & { readonly warnings: string[]; readonly data: unknown } {
  const given = file ?? env.CAUSEWAY_CONFIG;
  const below = given ? [fileLayer(given)] : [];
  const { layer: environment, warnings } = environmentLayer(env);
  const above = [environment, flagsLayer(flags), valuesLayer(values)];
  const data = combine([...below, ...above]).data ?? configSchema.shape.data.parse(undefined);
  return { below, above, warnings, data };
}

function readRuntimeLayers(data: string): readonly Layer[] {
  requireKnownFormat(data);
  return runtimeLayers(data, readRuntime(data));
}

/** What DATA/runtime.json says, the uppermost last. */
export function runtimeLayers(data: string, { config, couchdb }: Runtime): readonly Layer[] {
  const file = runtimeFile(data);
  if ('data' in config)
    throw badConfig([`data may not be given in ${file}, which lies in the data directory`]);
  return [config, valuesOf(couchdb)].map((values) => ({ values, source: () => file }));
}

export function combine(layers: readonly Layer[]): Values {
  return layers.reduce((values, layer) => overlay(values, layer.values), emptyValues());
}

function problems(issue: z.core.$ZodIssue, layers: readonly Layer[]): string[] {
  if (issue.code === 'unrecognized_keys')
    return issue.keys.map((name) => unknownKey([...issue.path, name].map(String), layers));
  const key = keyOf(issue.path);
  if (!key) return [notASection(issue.path.map(String), layers)];
  const { value, from } = find(issue.path, key, layers);
  const name = issue.path.map(String).join('.');
  const shown = key.secret ? 'a value that is not shown' : shownValue(value);
  return [`${name} is ${shown} (${from}); allowed is ${key.allowed}`];
}

/** Who has put a password into a URL does not want to see it in a log. */
const shownValue = (value: unknown): string =>
  value === undefined ? 'not given' : JSON.stringify(value, withKinds).replace(/\/\/[^/"]*@/g, '//***@');

/** A program may give values that JSON does not know. */
const withKinds = (_key: string, value: unknown): unknown =>
  /^(bigint|function|symbol)$/.test(typeof value) ? `a ${typeof value}` : value;

function notASection(at: readonly string[], layers: readonly Layer[]): string {
  const name = at.join('.');
  const inside = keys.filter((key) => key.name.startsWith(`${name}.`)).map((key) => key.path.at(-1));
  return `${name} (${find(at, undefined, layers).from}) has to hold keys with values; allowed are ${inside.join(', ')}`;
}

function unknownKey(at: readonly string[], layers: readonly Layer[]): string {
  const { from } = find(at, undefined, layers);
  const names = keys.map((key) => key.name);
  const lastParts = keys.map((key) => key.path.at(-1) ?? '');
  const byLast = lastParts.indexOf(nearest(at.at(-1) ?? '', lastParts) ?? '');
  const near = nearest(at.join('.'), names) ?? names[byLast];
  const hint = near ? `did you mean ${near}?` : '`causeway config --docs` names all keys';
  return `${at.join('.')} (${from}) is not a key; ${hint}`;
}

/** The value at a path, and where it was given: by the uppermost layer that has it. */
export function find(
  at: readonly PropertyKey[],
  key: Key | undefined,
  layers: readonly Layer[],
): { value: unknown; from: string } {
  for (const layer of layers.toReversed()) {
    let value: unknown = layer.values;
    // The items of a list come from the layer that gives the list.
    for (const part of at)
      value = isObject(value) && Object.hasOwn(value, part) ? (value as Values)[String(part)] : undefined;
    if (value !== undefined && value !== null) return { value, from: layer.source(key) };
  }
  return { value: undefined, from: 'the defaults' };
}

const isObject = (value: unknown): value is object => typeof value === 'object' && value !== null;

/** The data directory as an absolute path. */
export function dataDirectory(config: Config): string {
  return path.resolve(config.data);
}

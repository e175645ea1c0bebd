import type { Kind, Outcome } from '../protocol.js';
import { compile, compileViews, requireWithin, type DesignFunction } from './compile.js';
import { describe, Failure, isMessage, spell, type Thrown } from './failures.js';
import { getRow, list, type Tell } from './list.js';
import { removeUncertain, seed } from './random.js';
import { valueOf } from './repeated.js';
import { provides, registerType } from './mime.js';
import {
  apply,
  freezeAll,
  hasOwn,
  isArray,
  json,
  parse,
  protectObjects,
  protectStacks,
  stringify,
  text,
} from './primordials.js';
import { send, start } from './output.js';
import { rewrite, show, update } from './render.js';

type Log = (line: string) => void;

let design: Readonly<Record<string, unknown>> = {};
let log: (message: unknown) => void;
let tell: Tell;
/** Keys and values in turns, as JSON text, that were emitted since it was emptied. */
let emitted: string[] = [];
/** The views of the design document. */
let views: readonly string[] = [];
const compiled = new Map<string, DesignFunction>();

/**
 * Makes this context that of a design document.
 * @param source its text
 * @param write where lines of logs go
 * @param feed takes what a list function says, and gives it rows
 * @param random four whole numbers of 32 bits; without them nothing is random, and nothing tells the time
 */
export function load(source: string, write: Log, feed: Tell, ...random: readonly number[]): void {
  tell = feed;
  if (random.length > 0) seed(random);
  else removeUncertain();
  design = parse(source) as Readonly<Record<string, unknown>>;
  views = viewsOf(design.views);
  log = (message) => write(typeof message === 'string' ? message : text(json(plain(message))));
  const offered = {
    emit: (key: unknown, value: unknown) => {
      const keyText = json(key);
      const valueText = json(value);
      emitted[emitted.length] = keyText;
      emitted[emitted.length] = valueText;
    },
    sum,
    log,
    isArray,
    toJSON: stringify,
    provides,
    registerType,
    start,
    send,
    getRow,
    require: requireWithin(design),
  };
  Object.assign(globalThis, offered);
  // Nobody runs what is put off, so there is nothing to wait for; CouchDB has none of it.
  for (const name of ['Promise', 'queueMicrotask']) Reflect.deleteProperty(globalThis, name);
  protectObjects();
  protectStacks();
}

function sum(values: Readonly<Record<string, number>>): number {
  let total = 0;
  for (const key in values) total += values[key] ?? 0;
  return total;
}

/** Errors have no members of their own. */
function plain(message: unknown): unknown {
  if (typeof message !== 'object' || message === null || !('stack' in message && 'message' in message))
    return message;
  return { error: (message as Error).name, message: message.message };
}

/**
 * Calls a function of the design document.
 * @param parameters JSON texts; for filters, views and maps the first is an array of documents
 * @returns for filters and views, `R` with 1 for each document that passes and 0 for others; for maps, `R` with what is
 *   emitted for each document; for validations, null where it may be written; else `R` with the answer. Where it fails, `E` with `["error","reason"]`.
 */
export function call(kind: Kind, name: string, ...parameters: readonly string[]): Outcome {
  try {
    return dispatch(kind, name, parameters);
  } catch (error) {
    return `E${describe(error)}`;
  }
}

function dispatch(kind: Kind, name: string, texts: readonly string[]): Outcome {
  if (kind === 'filters' || kind === 'views') return `R${passing(kind, functionNamed(kind, name), texts)}`;
  if (kind === 'maps') return `R${mapAll(texts[0] ?? '')}`;
  const parameters: unknown[] = [];
  for (let i = 0; i < texts.length; i++) parameters[i] = valueOf(i, texts[i] ?? '');
  if (kind === 'compiles') {
    compileViews(design.views);
    return null;
  }
  const run = functionNamed(kind, name);
  switch (kind) {
    case 'validate_doc_update':
      return validate(run, parameters);
    case 'reduces':
      return `R${reduce(run, parameters)}`;
    case 'shows':
      return `R${show(run, design, parameters, log)}`;
    case 'lists':
      return `R${list(run, design, parameters, tell, log)}`;
    case 'updates': {
      const { document, response } = update(run, design, parameters, log);
      return `R${document.length}:${document}${response}`;
    }
    case 'rewrites': {
      const answer = rewrite(run, design, parameters, log);
      return answer === undefined ? null : `R${answer}`;
    }
    case 'merges':
      return `R${json(apply(run, design, parameters))}`;
  }
}

/** A digit for each document: whether it passes. */
function passing(
  kind: 'filters' | 'views',
  run: DesignFunction,
  [documents = '', request = '']: readonly string[],
): string {
  const all = parse(documents) as readonly unknown[];
  let verdicts = '';
  while (verdicts.length < all.length) {
    const document = all[verdicts.length];
    const passes =
      kind === 'filters' ? apply(run, design, [document, valueOf(1, request)]) : emits(run, document);
    verdicts += passes ? '1' : '0';
  }
  return verdicts;
}

function emits(run: DesignFunction, document: unknown): boolean {
  emitted = [];
  run(document);
  return emitted.length > 0;
}

function viewsOf(value: unknown): readonly string[] {
  if (typeof value !== 'object' || value === null) return [];
  return Object.keys(value)
    .filter((name) => name !== 'lib')
    .sort();
}

/** What all views emit for each of some documents; behind each stands a character that no JSON has. */
function mapAll(documents: string): string {
  const all = parse(documents) as readonly unknown[];
  let mapped = '';
  for (const document of all) {
    // What the function of one view does to it is not there for the others.
    freezeAll(document);
    mapped += `${map(document)}\0`;
  }
  return mapped;
}

/**
 * What all views emit for a document: for each view a line for each key and value, which JSON has no line ends in, and
 * then an empty one.
 */
function map(document: unknown): string {
  let all = '';
  for (const view of views) {
    const run = functionNamed('views', view);
    emitted = [];
    try {
      run(document);
    } catch (error) {
      emitted = [];
      endIfFatal(error);
      const id = (document as { readonly _id?: unknown })._id;
      log(`function raised exception (${spell(error)}) with doc._id ${text(id)}`);
    }
    for (const line of emitted) all += `${line}\n`;
    all += '\n';
  }
  return all;
}

/** What is more than a document, or a reduction, that fails: whoever asks for the view is told. */
function endIfFatal(error: unknown): void {
  const thrown = error as Thrown;
  if (error === 'fatal_error') throw new Failure('map_runtime_error', "function raised 'fatal_error'");
  if (thrown?.[0] === 'fatal') throw error;
  // The rows that there was no room for would be missing.
  if (thrown?.name === 'InternalError' && thrown.message === 'out of memory')
    throw new Failure('os_process_error', 'out of memory');
  // The engine throws this where there is no room for an error either.
  if (error === null) throw new Failure('os_process_error', 'out of memory, or null was thrown');
}

/** A reduction that fails is null. */
function reduce(run: DesignFunction, parameters: readonly unknown[]): string {
  try {
    return json(run(parameters[0], parameters[1], parameters[2]));
  } catch (error) {
    endIfFatal(error);
    log(`function raised exception (${spell(error)})`);
    return 'null';
  }
}

function pathOf(kind: Kind, name: string): readonly string[] {
  if (kind === 'views') return ['views', name, 'map'];
  if (kind === 'reduces') return ['views', name, 'reduce'];
  return name === '' ? [kind] : [kind, name];
}

/** The function that was called last: mostly it is called again. */
let last: { readonly kind: Kind; readonly name: string; readonly run: DesignFunction } | undefined;

function functionNamed(kind: Kind, name: string): DesignFunction {
  if (last?.kind === kind && last.name === name) return last.run;
  const path = pathOf(kind, name);
  const key = path.join('\n');
  let run = compiled.get(key);
  if (run === undefined) {
    const source = memberAt(path);
    if (source === '')
      throw new Failure(
        'not_found',
        `missing ${kind} function ${path.at(-1) ?? ''} on design doc ${spell(design._id)}`,
      );
    run = compile(source);
    compiled.set(key, run);
  }
  last = { kind, name, run };
  return run;
}

function memberAt(path: readonly string[]): unknown {
  let value: unknown = design;
  for (const name of path) {
    if (typeof value !== 'object' || value === null) throw new Failure('not_found', 'json_mismatch');
    if (!hasOwn(value, name)) throw new Failure('not_found', `missing json key: ${name}`);
    value = (value as Readonly<Record<string, unknown>>)[name];
  }
  return value;
}

/** What a validation throws is its verdict, but for errors of the language. */
function validate(run: DesignFunction, parameters: readonly unknown[]): Outcome {
  try {
    apply(run, design, parameters);
    return null;
  } catch (error) {
    const thrown = error as Thrown;
    if (thrown === null || thrown === undefined || (thrown.name && thrown.stack) || isMessage(thrown))
      throw error;
    return `E${verdict(error)}`;
  }
}

/** What the client is told of something that was thrown. */
function verdict(thrown: unknown): string {
  const value: unknown = parse(json(thrown));
  if (typeof value !== 'object' || value === null || isArray(value)) return json(['unknown_error', value]);
  for (const name of ['forbidden', 'unauthorized'])
    if (hasOwn(value, name)) return json([name, (value as Readonly<Record<string, unknown>>)[name]]);
  const members = Object.values(value) as unknown[];
  return json(['unknown_error', members.length === 1 ? members[0] : value]);
}

import { matchesSelector } from 'pouchdb-selector-core';
import { badRequest, notImplemented } from '../errors.js';

type Json = Record<string, unknown>;

const isObject = (value: unknown): value is Json =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** Operators whose argument is an array of selectors, one selector, or a plain value. */
const OVER_SELECTORS = new Set(['$and', '$or', '$nor']);
const OVER_SELECTOR = new Set(['$not', '$elemMatch', '$allMatch']);
const OVER_VALUE = new Set('$lt $lte $eq $ne $gte $gt $exists $type $in $nin $size $mod $all'.split(' '));
/** Mango's, but not to be had here: a regular expression can run for ever, and nothing could stop it. */
const NOT_YET = new Set(['$regex', '$beginsWith', '$keyMapMatch', '$text']);

/**
 * Makes a predicate of a Mango selector.
 * @throws CouchError 400 for a selector that is none, 501 for operators that are not supported
 */
export function compileSelector(selector: unknown): (document: Json) => boolean {
  if (!isObject(selector)) throw badRequest('Selector error: expected a JSON object');
  checkSelector(selector);
  if (Object.keys(selector).length === 0) return () => true;
  return (document) => matchesSelector(document, selector);
}

function checkSelector(selector: Json): void {
  for (const [key, value] of Object.entries(selector)) {
    if (key.startsWith('$')) checkOperator(key, value);
    else if (isObject(value)) checkSelector(value);
  }
}

function checkOperator(operator: string, value: unknown): void {
  if (OVER_SELECTORS.has(operator)) {
    if (!Array.isArray(value))
      throw badRequest(`Bad argument for operator ${operator}: ${JSON.stringify(value)}`);
    for (const part of value as unknown[]) {
      if (!isObject(part)) throw badRequest('Selector error: expected a JSON object');
      checkSelector(part);
    }
  } else if (OVER_SELECTOR.has(operator)) {
    if (!isObject(value)) throw badRequest(`Bad argument for operator ${operator}: ${JSON.stringify(value)}`);
    checkSelector(value);
  } else if (NOT_YET.has(operator)) {
    throw notImplemented(`The selector operator ${operator} is not supported by this version of Causeway.`);
  } else if (!OVER_VALUE.has(operator)) {
    throw badRequest(`Invalid operator: ${operator}`);
  }
}

/**
 * Makes a projection of a Mango `fields` list; undefined for all fields.
 * @throws CouchError 400
 */
export function compileFields(fields: unknown): ((document: Json) => Json) | undefined {
  if (fields === undefined) return undefined;
  if (!Array.isArray(fields) || !fields.every((field) => typeof field === 'string')) {
    throw badRequest('Selector error: fields must be JSON array');
  }
  if (fields.length === 0) return undefined;
  const paths = fields.map((field) => field.split('.'));
  return (document) => {
    const shown: Json = {};
    for (const path of paths) copyPath(document, shown, path);
    return shown;
  };
}

function copyPath(from: Json, to: Json, [name, ...rest]: readonly string[]): void {
  if (name === undefined || !Object.hasOwn(from, name)) return;
  const value = from[name];
  if (rest.length === 0) {
    define(to, name, value);
  } else if (isObject(value)) {
    const inner = Object.hasOwn(to, name) && isObject(to[name]) ? to[name] : {};
    copyPath(value, inner, rest);
    if (Object.keys(inner).length > 0) define(to, name, inner);
  }
}

/** Sets a member as JSON.parse does: `__proto__` is a name like any other. */
function define(object: Json, name: string, value: unknown): void {
  Object.defineProperty(object, name, { value, enumerable: true, configurable: true, writable: true });
}

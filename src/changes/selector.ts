import { badRequest, notImplemented } from '../errors.js';

type Json = Record<string, unknown>;
type Predicate = (value: unknown) => boolean;

const isObject = (value: unknown): value is Json =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** Mango's, but not to be had here: a regular expression can run for ever, and nothing could stop it. */
const NOT_YET = new Set(['$regex', '$text']);

/**
 * Makes a predicate of a Mango selector, with CouchDB's reading: negations move down to the fields, and a field that is
 * not there fits nothing but `$exists: false`.
 * @throws CouchError 400 for a selector that is none, 501 for operators that are not supported
 */
export function compileSelector(selector: unknown): (document: Json) => boolean {
  if (!isObject(selector)) throw badRequest('Selector error: expected a JSON object');
  checkDepth(selector, MAX_DEPTH);
  const [first, ...more] = Object.entries(selector);
  if (first === undefined) return () => true;
  if (more.length === 0 && isTerminal(first[0]))
    throw badRequest('Selector error: operators need a field that they are about');
  return compile(selector, [], false);
}

/** Reading a selector, and comparing documents with the values in it, take stack for each of its levels. */
const MAX_DEPTH = 100;

function checkDepth(value: unknown, left: number): void {
  if (typeof value !== 'object' || value === null) return;
  if (left === 0) throw badRequest(`Selector error: nested deeper than ${MAX_DEPTH}`);
  for (const inner of Object.values(value)) checkDepth(inner, left - 1);
}

const JUNCTIONS = new Set(['$and', '$or', '$nor', '$not']);
const isTerminal = (name: string): boolean => name.startsWith('$') && !JUNCTIONS.has(name);

/** A condition on what stands at `path`, or its opposite. */
function compile(condition: unknown, path: readonly string[], negated: boolean): Predicate {
  if (!isObject(condition)) return terminal('$eq', condition, path, negated);
  const entries = Object.entries(condition);
  if (entries.length === 0) return terminal('$eq', condition, path, negated);
  const parts = entries.map(([name, value]) => entry(name, value, path, negated));
  return negated ? some(parts) : every(parts);
}

function entry(name: string, value: unknown, path: readonly string[], negated: boolean): Predicate {
  switch (name) {
    case '$and':
    case '$or': {
      const parts = selectors(name, value).map((part) => compile(part, path, negated));
      return (name === '$and') !== negated ? every(parts) : some(parts);
    }
    case '$nor': {
      const parts = selectors(name, value).map((part) => compile(part, path, !negated));
      return negated ? some(parts) : every(parts);
    }
    case '$not':
      return compile(oneSelector(name, value), path, !negated);
    default:
      return name.startsWith('$')
        ? terminal(name, value, path, negated)
        : compile(value, [...path, ...parsePath(name)], negated);
  }
}

const every =
  (parts: readonly Predicate[]): Predicate =>
  (value) =>
    parts.every((part) => part(value));

/** None at all is as good as one. */
const some =
  (parts: readonly Predicate[]): Predicate =>
  (value) =>
    parts.length === 0 || parts.some((part) => part(value));

function badArgument(operator: string, value: unknown): Error {
  return badRequest(`Bad argument for operator ${operator}: ${JSON.stringify(value)}`);
}

function selectors(operator: string, value: unknown): readonly Json[] {
  if (!Array.isArray(value)) throw badArgument(operator, value);
  if (!value.every(isObject)) throw badRequest('Selector error: expected a JSON object');
  return value;
}

function oneSelector(operator: string, value: unknown): Json {
  if (!isObject(value)) throw badArgument(operator, value);
  return value;
}

// ---- fields ---------------------------------------------------------------------------------------------------

/** The names between the dots; a dot that belongs to a name has a backslash before it. */
function parsePath(field: string): readonly string[] {
  const names = field.split(/(?<!\\)\./);
  if (names.includes('')) throw badRequest(`Invalid field name: ${field}`);
  return names.map((name) => name.replaceAll('\\', ''));
}

/** What stands at a path, and whether it could stand there where it does not. */
function lookUp(value: unknown, path: readonly string[]): { value: unknown } | 'missing' | 'no path' {
  let found = value;
  for (const name of path) {
    if (Array.isArray(found)) {
      const at = /^\+?[0-9]+$/.test(name) ? Number(name) : -1;
      if (at < 0 || at >= found.length) return 'no path';
      found = found[at] as unknown;
    } else if (isObject(found)) {
      if (!Object.hasOwn(found, name)) return 'missing';
      found = found[name];
    } else {
      return 'no path';
    }
  }
  return { value: found };
}

// ---- operators ------------------------------------------------------------------------------------------------

/** What a negation makes of an operator; the others stay and their result is turned round. */
const OPPOSITES: Readonly<Record<string, string>> = {
  $lt: '$gte',
  $lte: '$gt',
  $eq: '$ne',
  $ne: '$eq',
  $gte: '$lt',
  $gt: '$lte',
  $in: '$nin',
  $nin: '$in',
};

function terminal(operator: string, argument: unknown, path: readonly string[], negated: boolean): Predicate {
  if (operator === '$exists') return exists(argument, path, negated);
  const opposite = negated && Object.hasOwn(OPPOSITES, operator) ? OPPOSITES[operator] : undefined;
  const test = operation(opposite ?? operator, argument);
  const turned = negated && opposite === undefined;
  return (value) => {
    const found = lookUp(value, path);
    return typeof found === 'object' && test(found.value) !== turned;
  };
}

function exists(argument: unknown, path: readonly string[], negated: boolean): Predicate {
  if (typeof argument !== 'boolean') throw badArgument('$exists', argument);
  const wanted = argument !== negated;
  return (value) => {
    const found = lookUp(value, path);
    return wanted ? typeof found === 'object' : found === 'missing';
  };
}

function operation(operator: string, argument: unknown): Predicate {
  switch (operator) {
    case '$lt':
      return (value) => compare(value, argument) < 0;
    case '$lte':
      return (value) => compare(value, argument) <= 0;
    case '$eq':
      return (value) => compare(value, argument) === 0;
    case '$ne':
      return (value) => compare(value, argument) !== 0;
    case '$gte':
      return (value) => compare(value, argument) >= 0;
    case '$gt':
      return (value) => compare(value, argument) > 0;
    case '$in':
      return oneOf(list(operator, argument));
    case '$nin': {
      const within = oneOf(list(operator, argument));
      return (value) => !within(value);
    }
    default:
      return shape(operator, argument);
  }
}

function list(operator: string, argument: unknown): readonly unknown[] {
  if (!Array.isArray(argument)) throw badArgument(operator, argument);
  return argument;
}

/** Of an array it is enough that one of its elements is among them. */
const oneOf =
  (wanted: readonly unknown[]): Predicate =>
  (value) => {
    const values: readonly unknown[] = Array.isArray(value) ? value : [value];
    return values.some((one) => wanted.some((other) => compare(one, other) === 0));
  };

/** Operators on what kind of value it is, and on its parts. */
function shape(operator: string, argument: unknown): Predicate {
  switch (operator) {
    case '$type':
      if (typeof argument !== 'string') throw badArgument(operator, argument);
      return (value) => typeName(value) === argument;
    case '$size':
      if (!Number.isInteger(argument) || Number(argument) < 0) throw badArgument(operator, argument);
      return (value) => Array.isArray(value) && value.length === argument;
    case '$mod':
      return modulus(list(operator, argument));
    case '$all':
      return all(list(operator, argument));
    case '$beginsWith':
      if (typeof argument !== 'string') throw badArgument(operator, argument);
      return (value) => typeof value === 'string' && value.startsWith(argument);
    case '$elemMatch': {
      const test = compile(oneSelector(operator, argument), [], false);
      return (value) => Array.isArray(value) && value.some(test);
    }
    case '$allMatch': {
      const test = compile(oneSelector(operator, argument), [], false);
      return (value) => Array.isArray(value) && value.length > 0 && value.every(test);
    }
    case '$keyMapMatch': {
      const test = compile(oneSelector(operator, argument), [], false);
      return (value) => isObject(value) && Object.keys(value).some(test);
    }
    default:
      if (!NOT_YET.has(operator)) throw badRequest(`Invalid operator: ${operator}`);
      throw notImplemented(`The selector operator ${operator} is not supported by this version of Causeway.`);
  }
}

function modulus(argument: readonly unknown[]): Predicate {
  const [divisor, remainder] = argument;
  if (argument.length !== 2 || !Number.isInteger(divisor) || !Number.isInteger(remainder))
    throw badArgument('$mod', argument);
  return (value) => Number.isInteger(value) && Number(value) % Number(divisor) === remainder;
}

/** Every one is an element; an array that is wanted alone may also be the value itself. */
function all(wanted: readonly unknown[]): Predicate {
  const [only] = wanted;
  return (value) => {
    if (!Array.isArray(value) || wanted.length === 0) return false;
    if (wanted.every((one) => value.some((other) => compare(one, other) === 0))) return true;
    return wanted.length === 1 && Array.isArray(only) && compare(only, value) === 0;
  };
}

// ---- order ----------------------------------------------------------------------------------------------------

const TYPES = ['null', 'boolean', 'number', 'string', 'array', 'object'];

function typeName(value: unknown): string {
  if (value === null) return 'null';
  return Array.isArray(value) ? 'array' : typeof value;
}

/** English has the order of Unicode as it is. */
const { compare: compareText } = new Intl.Collator('en');

/** CouchDB's order of JSON values: by type, then by value; texts as Unicode collates them. */
function compare(a: unknown, b: unknown): number {
  const type = typeName(a);
  const types = TYPES.indexOf(type) - TYPES.indexOf(typeName(b));
  if (types !== 0) return types;
  if (typeof a === 'string') return a === b ? 0 : compareText(a, b as string);
  if (Array.isArray(a)) return compareLists(a, b as readonly unknown[]);
  if (isObject(a)) return compareLists(Object.entries(a), Object.entries(b as Json));
  return Number(a) - Number(b);
}

function compareLists(a: readonly unknown[], b: readonly unknown[]): number {
  for (const [at, value] of a.entries()) {
    if (at >= b.length) return 1;
    const order = compare(value, b[at]);
    if (order !== 0) return order;
  }
  return a.length - b.length;
}

// ---- projection -----------------------------------------------------------------------------------------------

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
  const paths = fields.map(parsePath);
  return (document) => {
    const shown: Json = {};
    for (const path of paths) copyPath(document, shown, path, 0);
    return shown;
  };
}

/** Copies what stands at a path from its name `at` on. */
function copyPath(from: Json, to: Json, path: readonly string[], at: number): void {
  const name = path[at];
  if (name === undefined || !Object.hasOwn(from, name)) return;
  const value = from[name];
  if (at === path.length - 1) {
    define(to, name, value);
  } else if (isObject(value)) {
    const inner = Object.hasOwn(to, name) && isObject(to[name]) ? to[name] : {};
    copyPath(value, inner, path, at + 1);
    if (Object.keys(inner).length > 0) define(to, name, inner);
  }
}

/** Sets a member as JSON.parse does: `__proto__` is a name like any other. */
function define(object: Json, name: string, value: unknown): void {
  Object.defineProperty(object, name, { value, enumerable: true, configurable: true, writable: true });
}

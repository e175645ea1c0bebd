import { badRequest, mangoError, searchMissing, type CouchError } from '../errors.js';
import { erlangTerm } from '../json/erlang.js';
import { parsePath } from './path.js';
import { compileRegex, MOST_PATTERN } from './regex.js';
import { ELEMENT_OPERATORS, isObject, isOperator } from './types.js';
import type { Operator, Path, Selector, Test } from './types.js';

/** Reading a selector, and comparing documents with the values in it, take stack for each of its levels. */
const MAX_DEPTH = 100;

const JUNCTIONS: ReadonlySet<string> = new Set(['$and', '$or', '$nor', '$not']);
const ON_ELEMENTS: ReadonlySet<string> = new Set(ELEMENT_OPERATORS);
const NOT_SUPPORTED: ReadonlySet<string> = new Set([
  '$where',
  '$geoWithin',
  '$geoIntersects',
  '$near',
  '$nearSphere',
]);

/**
 * The normal form of a selector.
 * @param value of JSON
 * @throws CouchError with CouchDB's words for what is wrong with it
 */
export function parseSelector(value: unknown): Selector {
  if (!isObject(value))
    throw mangoError('invalid_selector_json', `Selector must be a JSON object, not: ${erlangTerm(value)}`);
  checkDepth(value, MAX_DEPTH);
  if (Object.keys(value).length === 0) return { kind: 'everything' };
  const selector = new Parser().condition(value, WHOLE);
  if (selector.kind === 'field' && selector.path.length === 0) throw nameless();
  return selector;
}

const nameless = (): CouchError =>
  mangoError('invalid_selector', 'One or more conditions is missing a field name.');

function checkDepth(value: unknown, left: number): void {
  if (typeof value !== 'object' || value === null) return;
  if (left === 0) throw badRequest(`Selector error: nested deeper than ${MAX_DEPTH}`);
  for (const inner of Object.values(value)) checkDepth(inner, left - 1);
}

/** Where a condition stands. */
interface Place {
  readonly path: Path;
  /** Whether its opposite is wanted. */
  readonly negated: boolean;
  /** Whether it is about an element: there negations stay where they are. */
  readonly isWithin: boolean;
}

const WHOLE: Place = { path: [], negated: false, isWithin: false };
const ELEMENT: Place = { path: [], negated: false, isWithin: true };

class Parser {
  /** Characters of expressions that may still come. */
  #patterns = MOST_PATTERN;

  /** A condition on what stands at a path, or its opposite. */
  condition(condition: unknown, place: Place): Selector {
    const entries = isObject(condition) ? Object.entries(condition) : [];
    const [first] = entries;
    // Any other value means to be equal to it.
    if (first === undefined) return this.#field('$eq', condition, place);
    if (entries.length === 1) return this.#entry(...first, place);
    const parts = entries.map(([name, value]) => this.#entry(name, value, place));
    return { kind: place.negated ? 'or' : 'and', parts };
  }

  #entry(name: string, value: unknown, place: Place): Selector {
    if (JUNCTIONS.has(name)) return this.#junction(name, value, place);
    if (name.startsWith('$')) return this.#operator(name, value, place);
    if (name === '') throw nameless();
    return this.condition(value, { ...place, path: [...place.path, ...parsePath(name)] });
  }

  #junction(name: string, value: unknown, place: Place): Selector {
    if (name === '$not') {
      if (!isObject(value)) throw badArgument(name, value);
      if (place.isWithin) return { kind: 'not', part: this.condition(value, place) };
      return this.condition(value, { ...place, negated: !place.negated });
    }
    if (!Array.isArray(value)) throw badArgument(name, value);
    if (name !== '$nor') return this.#parts(name === '$and', value, place);
    if (place.isWithin) return { kind: 'not', part: this.#parts(false, value, place) };
    return this.#parts(false, value, { ...place, negated: !place.negated });
  }

  /** All of the conditions, or one of them; with the opposite of each it is the other way round. */
  #parts(all: boolean, conditions: readonly unknown[], place: Place): Selector {
    const kind = all === place.negated ? 'or' : 'and';
    return { kind, parts: conditions.map((one) => this.condition(one, place)) };
  }

  #operator(name: string, argument: unknown, place: Place): Selector {
    if (name === '$text') throw this.#text(argument, place);
    if (NOT_SUPPORTED.has(name)) throw mangoError('not_supported', `Unsupported operator: ${name}`);
    if (!isOperator(name)) throw invalidOperator(name);
    return this.#field(name, argument, place);
  }

  #text(argument: unknown, { path, isWithin }: Place): CouchError {
    if (typeof argument === 'object') return badArgument('$text', argument);
    if (path.length === 0 && !isWithin) return searchMissing('text');
    const normal = erlangTerm({ $default: { $text: argument } });
    return mangoError('bad_field', `Invalid field normalization on selector: ${normal}`);
  }

  #field(name: Operator, argument: unknown, { path, negated }: Place): Selector {
    checkArgument(name, argument);
    return { kind: 'field', path, test: this.#test(name, argument, negated) };
  }

  #test(name: Operator, argument: unknown, negated: boolean): Test {
    if (ON_ELEMENTS.has(name)) {
      return { operator: name, argument, negated, within: this.condition(argument, ELEMENT) };
    }
    if (name === '$regex')
      return { operator: name, argument, negated, finds: this.#regex(argument as string) };
    if (!negated) return { operator: name, argument, negated };
    if (name === '$exists') return { operator: name, argument: argument !== true, negated: false };
    const opposite = OPPOSITES[name];
    return { operator: opposite ?? name, argument, negated: opposite === undefined };
  }

  #regex(pattern: string): (text: string) => boolean {
    this.#patterns -= pattern.length;
    if (this.#patterns < 0)
      throw badRequest(`Selector error: $regex must not be longer than ${MOST_PATTERN} characters in all`);
    return compileRegex(pattern);
  }
}

const OPPOSITES: Readonly<Partial<Record<Operator, Operator>>> = {
  $lt: '$gte',
  $lte: '$gt',
  $eq: '$ne',
  $ne: '$eq',
  $gte: '$lt',
  $gt: '$lte',
  $in: '$nin',
  $nin: '$in',
};

// ---- arguments ------------------------------------------------------------------------------------------------

const badArgument = (operator: string, value: unknown): CouchError =>
  mangoError('bad_arg', `Bad argument for operator ${operator}: ${erlangTerm(value)}`);

const invalidOperator = (name: string): CouchError =>
  mangoError('invalid_operator', `Invalid operator: ${name}`);

const isText = (value: unknown): boolean => typeof value === 'string';

/** What operators want, where not everything will do. */
const WANTED: Readonly<Partial<Record<Operator, (value: unknown) => boolean>>> = {
  $in: Array.isArray,
  $nin: Array.isArray,
  $all: Array.isArray,
  $elemMatch: isObject,
  $allMatch: isObject,
  $keyMapMatch: isObject,
  $exists: (value) => typeof value === 'boolean',
  $type: isText,
  $size: (value) => Number.isInteger(value) && Number(value) >= 0,
  $mod: (value) => Array.isArray(value) && isModulus(value),
  $regex: isText,
  $beginsWith: isText,
};

const isModulus = (value: readonly unknown[]): boolean =>
  value.length === 2 && value.every(Number.isInteger) && value[0] !== 0;

function checkArgument(name: Operator, value: unknown): void {
  if (WANTED[name]?.(value) ?? true) return;
  throw name === '$beginsWith' || name === '$regex' ? invalidOperator(name) : badArgument(name, value);
}

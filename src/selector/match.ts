import { collate, type Collation } from '../store/collate.js';
import { compareIds } from '../store/order.js';
import { parseSelector } from './parse.js';
import { lookUp, MISSING, NO_PATH } from './path.js';
import { isObject, type Json, type Path, type Selector, type Test } from './types.js';

type Predicate = (value: unknown) => boolean;

/**
 * Makes a predicate of a Mango selector. A field that is not there fits nothing but `$exists: false`.
 * @throws CouchError
 */
export const compileSelector = (selector: unknown): ((document: Json) => boolean) =>
  matcherOf(parseSelector(selector));

/** Whether a document fits a selector. */
export function matcherOf(selector: Selector): Predicate {
  switch (selector.kind) {
    case 'everything':
      return () => true;
    case 'and': {
      const parts = selector.parts.map(matcherOf);
      return (value) => parts.every((part) => part(value));
    }
    case 'or': {
      const parts = selector.parts.map(matcherOf);
      return parts.length === 0 ? () => true : (value) => parts.some((part) => part(value));
    }
    case 'not': {
      const part = matcherOf(selector.part);
      return (value) => !part(value);
    }
    case 'field':
      return field(selector.path, selector.test);
  }
}

function field(path: Path, test: Test): Predicate {
  if (test.operator === '$exists' && test.argument === false && !test.negated) {
    return (value) => lookUp(value, path) === MISSING;
  }
  const fits = operation(test, comparisonOf(path));
  return (value) => {
    const found = lookUp(value, path);
    return found !== MISSING && found !== NO_PATH && fits(found) !== test.negated;
  };
}

/** Ids are in the order in which the database has them; everything else is in that of its views. */
export const comparisonOf = (path: Path): Collation =>
  path.length === 1 && path[0] === '_id' ? compareRaw : collate;

/** Texts come behind everything else there. */
const compareRaw: Collation = (a, b) => {
  if (typeof a !== 'string') return typeof b === 'string' ? -1 : collate(a, b);
  return typeof b === 'string' ? compareIds(a, b) : 1;
};

/** What an operator says of a value that is there. */
function operation({ operator, argument, within, finds }: Test, compare: Collation): Predicate {
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
      return oneOf(argument as readonly unknown[], compare);
    case '$nin': {
      const among = oneOf(argument as readonly unknown[], compare);
      return (value) => !among(value);
    }
    case '$all':
      return all(argument as readonly unknown[]);
    case '$elemMatch':
    case '$allMatch':
    case '$keyMapMatch':
      return onElements(operator, matcherOf(within ?? { kind: 'everything' }));
    case '$exists':
      return () => argument === true;
    case '$type':
      return (value) => typeName(value) === argument;
    case '$size':
      return (value) => Array.isArray(value) && value.length === argument;
    case '$mod': {
      const [divisor, remainder] = argument as readonly number[];
      return (value) => Number.isInteger(value) && Number(value) % Number(divisor) === remainder;
    }
    case '$regex':
      return (value) => typeof value === 'string' && finds?.(value) === true;
    case '$beginsWith':
      return (value) => typeof value === 'string' && value.startsWith(argument as string);
  }
}

/** Of an array it is enough that one of its elements is among them. */
const oneOf =
  (wanted: readonly unknown[], compare: Collation): Predicate =>
  (value) => {
    const values: readonly unknown[] = Array.isArray(value) ? value : [value];
    return values.some((one) => wanted.some((other) => compare(one, other) === 0));
  };

/** Every one is an element; an array that is wanted alone may also be the value itself. */
function all(wanted: readonly unknown[]): Predicate {
  const [only] = wanted;
  return (value) => {
    if (!Array.isArray(value) || wanted.length === 0) return false;
    if (wanted.every((one) => value.some((other) => isSame(one, other)))) return true;
    return wanted.length === 1 && Array.isArray(only) && isSame(only, value);
  };
}

/** The same to the last character, where a comparison would take some texts for one. */
function isSame(a: unknown, b: unknown): boolean {
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return a === b;
  if (Array.isArray(a) !== Array.isArray(b)) return false;
  const names = Object.keys(a);
  const others = Object.keys(b);
  return (
    names.length === others.length &&
    names.every((name, at) => name === others[at] && isSame((a as Json)[name], (b as Json)[name]))
  );
}

function onElements(operator: '$elemMatch' | '$allMatch' | '$keyMapMatch', fits: Predicate): Predicate {
  switch (operator) {
    case '$elemMatch':
      return (value) => Array.isArray(value) && value.some(fits);
    case '$allMatch':
      return (value) => Array.isArray(value) && value.length > 0 && value.every(fits);
    case '$keyMapMatch':
      return (value) => isObject(value) && Object.keys(value).some(fits);
  }
}

function typeName(value: unknown): string {
  if (value === null) return 'null';
  return Array.isArray(value) ? 'array' : typeof value;
}

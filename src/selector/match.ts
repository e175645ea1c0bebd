import { collate, type Collation } from '../store/collate.js';
import { compareIds } from '../store/order.js';
import { parseSelector } from './parse.js';
import { lookUp, MISSING, NO_PATH } from './path.js';
import { isObject, type Json, type Path, type Selector, type Test } from './types.js';
import { every, opposite, Pace, type Predicate, some } from './verdict.js';

/** Whether a document fits a selector, one after the other. */
export type Matcher = Predicate<Json>;

/**
 * Makes a predicate of a Mango selector. A field that is not there fits nothing but `$exists: false`.
 * @throws CouchError
 */
export const compileSelector = (selector: unknown): Matcher => matcherOf(parseSelector(selector));

export function matcherOf(selector: Selector): Matcher {
  const pace = new Pace();
  const fits = compiled(selector, pace);
  return (document) => {
    pace.begin();
    return fits(document);
  };
}

function compiled(selector: Selector, pace: Pace): Predicate {
  switch (selector.kind) {
    case 'everything':
      return () => true;
    case 'and': {
      const parts = selector.parts.map((part) => compiled(part, pace));
      return (value) => every(parts, (part) => part(value), pace);
    }
    case 'or': {
      const parts = selector.parts.map((part) => compiled(part, pace));
      return parts.length === 0 ? () => true : (value) => some(parts, (part) => part(value), pace);
    }
    case 'not': {
      const part = compiled(selector.part, pace);
      return (value) => opposite(part(value));
    }
    case 'field':
      return field(selector.path, selector.test, pace);
  }
}

function field(path: Path, test: Test, pace: Pace): Predicate {
  if (test.operator === '$exists' && test.argument === false && !test.negated) {
    return (value) => lookUp(value, path) === MISSING;
  }
  const fits = operation(test, comparisonOf(path), pace);
  return (value) => {
    const found = lookUp(value, path);
    if (found === MISSING || found === NO_PATH) return false;
    return test.negated ? opposite(fits(found)) : fits(found);
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
function operation({ operator, argument, within, finds }: Test, collation: Collation, pace: Pace): Predicate {
  const compare = paced(collation, [argument], pace);
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
      return oneOf(argument as readonly unknown[], collation, pace);
    case '$nin': {
      const among = oneOf(argument as readonly unknown[], collation, pace);
      return (value) => opposite(among(value));
    }
    case '$all':
      return all(argument as readonly unknown[], pace);
    case '$elemMatch':
    case '$allMatch':
    case '$keyMapMatch':
      return onElements(operator, compiled(within ?? { kind: 'everything' }, pace), pace);
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
      return (value) => {
        if (typeof value !== 'string') return false;
        pace.spend(value.length);
        return finds?.(value) === true;
      };
    case '$beginsWith':
      return (value) => typeof value === 'string' && value.startsWith(argument as string);
  }
}

/** Characters of a text that are compared in one step. */
const STEP = 64;

/**
 * To compare long texts or lists takes as long as to compare many short ones.
 * @param wanted what others are compared with
 */
function paced<T>(
  compare: (a: unknown, b: unknown) => T,
  wanted: readonly unknown[],
  pace: Pace,
): (a: unknown, b: unknown) => T {
  const steps = Math.floor(JSON.stringify(wanted).length / Math.max(1, wanted.length) / STEP);
  if (steps === 0) return compare;
  return (a, b) => {
    pace.spend(steps);
    return compare(a, b);
  };
}

/** Of an array it is enough that one of its elements is among them. */
function oneOf(wanted: readonly unknown[], collation: Collation, pace: Pace): Predicate {
  const compare = paced(collation, wanted, pace);
  return (value) => {
    const values: readonly unknown[] = Array.isArray(value) ? value : [value];
    return some(values, (one) => some(wanted, (other) => compare(one, other) === 0, pace), pace);
  };
}

/** Every one is an element; an array that is wanted alone may also be the value itself. */
function all(wanted: readonly unknown[], pace: Pace): Predicate {
  const [only] = wanted;
  const areSame = paced(isSame, wanted, pace);
  return (value) => {
    if (!Array.isArray(value) || wanted.length === 0) return false;
    if (wanted.length === 1 && Array.isArray(only) && isSame(only, value)) return true;
    return every(wanted, (one) => some(value, (other) => areSame(one, other), pace), pace);
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

function onElements(
  operator: '$elemMatch' | '$allMatch' | '$keyMapMatch',
  fits: Predicate,
  pace: Pace,
): Predicate {
  switch (operator) {
    case '$elemMatch':
      return (value) => Array.isArray(value) && some(value, fits, pace);
    case '$allMatch':
      return (value) => Array.isArray(value) && value.length > 0 && every(value, fits, pace);
    case '$keyMapMatch':
      return (value) => isObject(value) && some(Object.keys(value), fits, pace);
  }
}

function typeName(value: unknown): string {
  if (value === null) return 'null';
  return Array.isArray(value) ? 'array' : typeof value;
}

import { collate } from '../../src/store/collate.js';
import { compareIds } from '../../src/store/order.js';

type Json = Readonly<Record<string, unknown>>;

const MISSING = Symbol('missing');
const NO_PATH = Symbol('no path');

const isObject = (value: unknown): value is Json =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

function valueAt(document: unknown, field: string): unknown {
  let value = document;
  for (const name of field.split('.')) {
    if (!isObject(value)) return NO_PATH;
    if (!Object.hasOwn(value, name)) return MISSING;
    value = value[name];
  }
  return value;
}

/** What a selector means, written down once more in the simplest way: for objects of fields, `$and` and `$or`. */
export function naive(selector: Json, document: Json): boolean {
  return Object.entries(selector).every(([name, value]) => {
    const parts = value as readonly Json[];
    if (name === '$and') return parts.every((part) => naive(part, document));
    if (name === '$or') return parts.length === 0 || parts.some((part) => naive(part, document));
    const found = valueAt(document, name);
    return Object.entries(value as Json).every(([operator, argument]) =>
      holds(name, found, operator, argument),
    );
  });
}

function holds(field: string, found: unknown, operator: string, argument: unknown): boolean {
  if (operator === '$exists' && argument === false) return found === MISSING;
  if (found === MISSING || found === NO_PATH) return false;
  if (operator === '$exists') return true;
  if (operator === '$beginsWith') return typeof found === 'string' && found.startsWith(argument as string);
  const order = field === '_id' ? compareWithId(found as string, argument) : collate(found, argument);
  switch (operator) {
    case '$eq':
      return order === 0;
    case '$ne':
      return order !== 0;
    case '$lt':
      return order < 0;
    case '$lte':
      return order <= 0;
    case '$gt':
      return order > 0;
    case '$gte':
      return order >= 0;
    default:
      throw new Error(`${operator} is not known here`);
  }
}

/** Ids are in the order of the database, behind everything else. */
const compareWithId = (id: string, argument: unknown): number =>
  typeof argument === 'string' ? compareIds(id, argument) : 1;

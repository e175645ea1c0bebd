import { mangoError } from '../errors.js';
import { isObject, type Path } from './types.js';

/** The names between the dots of a field; a dot that belongs to a name has a backslash before it. @throws CouchError 400 */
export function parsePath(field: string): Path {
  const names = field.includes('\\') ? field.split(/(?<!\\)\./) : field.split('.');
  if (names.includes('')) throw mangoError('invalid_field_name', `Invalid field name: ${field}`);
  return field.includes('\\') ? names.map((name) => name.replaceAll('\\', '')) : names;
}

/** The other way round. */
export const joinPath = (path: Path): string => path.map((name) => name.replaceAll('.', '\\.')).join('.');

/** Where the last name of a path could stand, but does not. */
export const MISSING = Symbol('missing');
/** Where a path leads into something that has no names, or not so many elements. */
export const NO_PATH = Symbol('no path');

/** What stands at a path, or one of the two symbols. */
export function lookUp(value: unknown, path: Path): unknown {
  let found = value;
  for (const name of path) {
    if (Array.isArray(found)) {
      const at = /^\+?[0-9]+$/.test(name) ? Number(name) : -1;
      if (at < 0 || at >= found.length) return NO_PATH;
      found = found[at] as unknown;
    } else if (isObject(found)) {
      if (!Object.hasOwn(found, name)) return MISSING;
      found = found[name];
    } else {
      return NO_PATH;
    }
  }
  return found;
}

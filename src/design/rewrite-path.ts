import { CouchError } from '../errors.js';

/**
 * A path without `.`, `..` and empty parts.
 * @param parts behind the path of the database
 * @throws CouchError 500 where it leaves the database: what is elsewhere is not of the design document that leads there
 */
export function requireInside(parts: readonly string[]): readonly string[] {
  const path: string[] = [];
  for (const part of parts) {
    if (part === '..') {
      if (path.pop() === undefined)
        throw new CouchError(500, 'insecure_rewrite_rule', 'too many ../.. segments');
    } else if (part !== '.' && part !== '') {
      path.push(part);
    }
  }
  return path;
}

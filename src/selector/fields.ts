import { mangoError } from '../errors.js';
import { erlangTerm } from '../json/erlang.js';
import { define } from '../json/values.js';
import { lookUp, MISSING, NO_PATH, parsePath } from './path.js';
import { isObject, type Json, type Path } from './types.js';

/** @returns the fields of a list; none where all are wanted. @throws CouchError 400 */
export function parseFields(fields: unknown): readonly string[] {
  if (!Array.isArray(fields))
    throw mangoError('invalid_fields', `Fields must be an array of strings, not: ${erlangTerm(fields)}`);
  return fields.map((field: unknown) => {
    if (typeof field === 'string') return field;
    throw mangoError('invalid_field', `Invalid JSON for field spec: ${erlangTerm(field)}`);
  });
}

/**
 * Makes a projection of a list of fields; undefined where all are wanted. What is asked of an array by position comes
 * as an object, whose members are the positions.
 * @throws CouchError 400
 */
export function compileFields(fields: readonly string[]): ((document: Json) => Json) | undefined {
  if (fields.length === 0) return undefined;
  const paths = fields.map(parsePath);
  return (document) => {
    const shown = {};
    for (const path of paths) {
      const found = lookUp(document, path);
      if (found !== MISSING && found !== NO_PATH) put(shown, path, found);
    }
    return shown;
  };
}

/** Sets what stands at a path of another object, and makes the objects on the way; what is there as a whole stays. */
export function put(object: object, path: Path, value: unknown): void {
  let inner = object;
  for (const name of path.slice(0, -1)) {
    const isThere = Object.hasOwn(inner, name);
    const next = isThere ? (inner as Json)[name] : {};
    if (!isObject(next)) return;
    if (!isThere) define(inner, name, next);
    inner = next;
  }
  define(inner, path.at(-1) ?? '', value);
}

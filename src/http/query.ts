import { badRequest, invalidJson, queryParseError } from '../errors.js';
import { parseJson } from '../json/text.js';

/** The parameters of a URL in their order; a key without `=` has an empty value. */
export type Query = readonly (readonly [key: string, value: string])[];

const NONE: Query = [];

/** Reads a query string as CouchDB does: `+` is a space, `;` separates like `&`. @throws CouchError */
export function parseQuery(text: string): Query {
  if (text === '') return NONE;
  const query: [string, string][] = [];
  for (const part of text.split(/[&;]/)) {
    if (part === '') continue;
    const equals = part.indexOf('=');
    if (equals === -1) query.push([decode(part), '']);
    else query.push([decode(part.slice(0, equals)), decode(part.slice(equals + 1))]);
  }
  return query;
}

function decode(text: string): string {
  const spaced = text.includes('+') ? text.replaceAll('+', ' ') : text;
  if (!spaced.includes('%')) return spaced;
  try {
    return decodeURIComponent(spaced);
  } catch {
    throw badRequest('invalid UTF-8 in the query string');
  }
}

/** The first value of a key, which is what CouchDB takes where it looks up a single parameter. */
export function first(query: Query, key: string): string | undefined {
  for (const [name, value] of query) if (name === key) return value;
  return undefined;
}

/** A value as CouchDB quotes it in its messages, by where it stood. */
function shown(value: unknown, decoded = false): string {
  if (decoded && typeof value === 'string') return `<<${JSON.stringify(value)}>>`;
  return value === '' ? '[]' : JSON.stringify(value);
}

export function parseBoolean(value: unknown): boolean {
  if (typeof value === 'boolean') return value;
  const text = typeof value === 'string' ? value.toLowerCase() : undefined;
  if (text === 'true') return true;
  if (text === 'false') return false;
  throw queryParseError(`Invalid boolean parameter: ${shown(value)}`);
}

const INTEGER = /^[+-]?[0-9]+$/;

/** A whole number as Erlang reads it; undefined for anything else. */
export const integer = (text: string): number | undefined => (INTEGER.test(text) ? Number(text) : undefined);

/** @param decoded the value stood in a body, where only numbers count. */
export function parseCount(value: unknown, decoded = false): number {
  const count =
    typeof value === 'number' && Number.isInteger(value)
      ? value
      : typeof value === 'string' && !decoded
        ? integer(value)
        : undefined;
  if (count === undefined) throw queryParseError(`Invalid value for integer: ${shown(value, decoded)}`);
  if (count < 0) throw queryParseError(`Invalid value for positive integer: ${shown(value)}`);
  return count;
}

/** A parameter that holds JSON. */
export function jsonParameter(text: string): unknown {
  try {
    return parseJson(text);
  } catch {
    throw invalidJson();
  }
}
